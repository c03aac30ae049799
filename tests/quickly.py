"""XLA settings of the tests: compile in half the time with less optimisation, since most programs run once."""

from importlib.metadata import version

# XLA ends the process at a flag that it does not know, and jaxlib 0.12 does not know the second one any more.
HAS_FUSION_EMITTERS_FLAG = tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11)
QUICKLY = "--xla_backend_optimization_level=0" + HAS_FUSION_EMITTERS_FLAG * " --xla_cpu_use_fusion_emitters=false"

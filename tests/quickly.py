"""XLA settings of the tests: compile in half the time with less optimisation, since most programs run once."""

from importlib.metadata import version

# XLA ends the process at a flag that it does not know, and jaxlib 0.12 no longer knows that of the fusion emitters.
HAS_FUSION_EMITTERS_FLAG = tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11)
# Small programs are not worth being divided between threads for compilation.
_SMALL = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
QUICKLY = _SMALL + HAS_FUSION_EMITTERS_FLAG * " --xla_cpu_use_fusion_emitters=false"

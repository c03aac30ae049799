"""How tests have XLA compile: quickly rather than well, in half the time, since most programs are executed once."""

QUICKLY = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"

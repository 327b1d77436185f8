# The benchmark.

ROUNDS ?= 5
FIGURES ?=
OTHERS ?= 0.05

.PHONY: bench

bench: ## Measure everything against its limit on Debian 13, or FIGURES="start status" in ROUNDS=5
	@packaging/testbed/debian-13 python3 -m benchmarks --rounds $(ROUNDS) --others $(OTHERS) $(if $(FIGURES),--figures $(FIGURES))

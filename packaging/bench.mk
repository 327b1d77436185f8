# The benchmark.

ROUNDS ?= 5
FIGURES ?=
OTHERS ?= 0.05

.PHONY: bench

bench: setup ## Measure everything against its limit, or FIGURES="start status" in ROUNDS=5
	@$(PYTHON) -m benchmarks --rounds $(ROUNDS) --others $(OTHERS) $(if $(FIGURES),--figures $(FIGURES))

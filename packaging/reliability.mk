# Faults at random, for as long as told; docs/reliability.md says what is done and what must hold.

SEED ?=

.PHONY: chaos soak

chaos: DURATION := $(or $(DURATION),600)
chaos: setup ## Random histories of faults against a model, for DURATION= seconds
	$(PYTHON) packaging/user-systemd.py --private $(PYTHON) -m tests.support.chaos --duration $(DURATION) $(if $(SEED),--seed $(SEED))

soak: DURATION := $(or $(DURATION),600)
soak: setup ## 100 agents under faults, for DURATION= seconds; no violation, no leak
	$(PYTHON) packaging/user-systemd.py --private $(PYTHON) -m tests.support.soak --duration $(DURATION) $(if $(SEED),--seed $(SEED))

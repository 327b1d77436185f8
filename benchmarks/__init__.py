"""How fast Coredinator is, as ratios to what the machine allows at the same time: `make bench`."""

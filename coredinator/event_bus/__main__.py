"""`python -m coredinator.event_bus`: the proxy."""

from coredinator.event_bus.proxy import main

main()

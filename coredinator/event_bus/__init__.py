"""The ZeroMQ event bus: a proxy in a process of its own, and the manager's publisher."""

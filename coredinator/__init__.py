"""Coredinator: a systemd-native supervisor for reinforcement-learning agents."""

__version__ = "0.1.0"

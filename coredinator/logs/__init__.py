"""Structured logging: console, rotating JSON file, and the journal."""

from coredinator.logs.messages import MessageId
from coredinator.logs.setup import LogSettings, set_up_logging

__all__ = ["LogSettings", "MessageId", "set_up_logging"]

"""The SQLite mirror: what is wanted, what was last observed, and how it came to that."""

from coredinator.store.mirror import Mirror
from coredinator.store.state_file import Row

__all__ = ["Mirror", "Row"]

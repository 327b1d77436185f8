"""Log records as journal entries with fields of their own."""

import logging
import os
from collections.abc import Mapping

from systemd import journal

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_FIELDS = {
    "agent_id": "COREDINATOR_AGENT",
    "service_id": "COREDINATOR_SERVICE",
    "unit": "COREDINATOR_UNIT",
    "state": "COREDINATOR_STATE",
    "previous_state": "COREDINATOR_PREVIOUS_STATE",
    "cause": "COREDINATOR_CAUSE",
    "message_id": "MESSAGE_ID",
}
"""The `extra` of a log call that the journal gets, and their names there (systemd.journal-fields(7))."""


def runs_under_systemd() -> bool:
    """Whether standard error is connected to the journal ($JOURNAL_STREAM in systemd.exec(5))."""
    stream = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.Handler):
    """Sends records to journald with priority, code location, MESSAGE_ID and Coredinator's fields."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; a failure goes where logging's own errors go."""
        try:
            journal.send(
                self.format(record),
                PRIORITY=_priority(record.levelno),
                LOGGER=record.name,
                CODE_FILE=record.pathname,
                CODE_LINE=record.lineno,
                CODE_FUNC=record.funcName,
                SYSLOG_IDENTIFIER="coredinator",
                **fields_of(record),
            )
        except Exception:  # noqa: BLE001  # as logging's own handlers do: a log line never ends the program
            self.handleError(record)


def fields_of(record: logging.LogRecord) -> Mapping[str, str]:
    """The journal fields in a record's `extra`."""
    values = {field: getattr(record, name, None) for name, field in _FIELDS.items()}
    return {field: str(value) for field, value in values.items() if value is not None}


def _priority(level: int) -> int:
    return next((priority for floor, priority in _PRIORITIES if level >= floor), 7)

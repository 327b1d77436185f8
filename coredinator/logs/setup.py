"""Where log lines go and how they look."""

import copy
import logging
import logging.handlers
import sys
from dataclasses import dataclass
from pathlib import Path

import structlog

from coredinator.errors import PathUnavailable
from coredinator.logs.journal import JournalHandler, runs_under_systemd

FILE_SIZE = 10_000_000
"""Bytes after which the log file is rotated."""
FILE_BACKUPS = 5

_SHARED: list[structlog.typing.Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`level` is a name such as INFO; no `file` means no file."""

    level: str
    file: Path | None
    console: bool


def set_up_logging(settings: LogSettings) -> None:
    """Send all logging of the process to the journal (under systemd), the console and the file.

    Under systemd the console is the journal already, so it is left out there. Raises PathUnavailable if
    the file cannot be opened.
    """
    # What no line here shows need not be looked up for each ("Optimization" in the library's guide).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handlers: list[logging.Handler] = []
    if runs_under_systemd():
        journal = JournalHandler()
        journal.setFormatter(logging.Formatter("%(message)s"))
        handlers.append(journal)
    elif settings.console:
        console = logging.StreamHandler(sys.stderr)
        console.setFormatter(_formatter(_without_ids, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())))
        handlers.append(console)
    if settings.file is not None:
        try:
            file = logging.handlers.RotatingFileHandler(
                settings.file, maxBytes=FILE_SIZE, backupCount=FILE_BACKUPS, encoding="utf-8"
            )
        except OSError as error:
            raise PathUnavailable(f"log file {settings.file} cannot be opened: {error.strerror}") from error
        file.setFormatter(_formatter(structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()))
        handlers.append(file)
    for handler in handlers:
        handler.addFilter(on_one_line)
    logging.basicConfig(level=settings.level.upper(), handlers=handlers or [logging.NullHandler()], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)


def on_one_line(record: logging.LogRecord) -> logging.LogRecord:
    """The record, with every control character and lone surrogate of its message escaped.

    Ids and paths come from anywhere: none may begin a line of its own or steer a terminal.
    """
    message = record.getMessage()
    if message.isprintable():
        return record
    message = message.rstrip()
    escaped = copy.copy(record)
    escaped.msg = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)
    escaped.args = None
    return escaped


def _formatter(*renderers: structlog.typing.Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_colours, *renderers],
    )


def _without_ids(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out what only the journal and its catalog need."""
    event.pop("message_id", None)
    return event


def _without_colours(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out the second, coloured copy that uvicorn adds to its messages."""
    event.pop("color_message", None)
    return event

"""The records of all services in memory, each change written, published and logged."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from copy import replace
from dataclasses import dataclass
from datetime import UTC, datetime

from coredinator.errors import CoredinatorError
from coredinator.event_bus.publisher import EventSink
from coredinator.logs import MessageId
from coredinator.service.identity import Identity
from coredinator.service.record import ServiceRecord
from coredinator.service.rows import Transition, record_from_row, record_to_row, transition_from_row, transition_to_row
from coredinator.service.state import Observation, State
from coredinator.services import KindName
from coredinator.store import Mirror

_log = logging.getLogger(__name__)

_VERBS = {
    State.STARTING: ("starting", MessageId.SERVICE_STARTING),
    State.RUNNING: ("started", MessageId.SERVICE_STARTED),
    State.STOPPING: ("stopping", MessageId.SERVICE_STOPPING),
    State.STOPPED: ("stopped", MessageId.SERVICE_STOPPED),
    State.FAILED: ("failed", MessageId.SERVICE_FAILED),
}
_TURNS = 3
"""Turns of the event loop for which changes gather before they are told. What systemd has sent by then is told
in one go, and whoever has waited for the end of a job sends his next call first: he wakes up two turns later."""
_LEVELS = {
    State.STARTING: logging.DEBUG,
    State.STOPPING: logging.DEBUG,
    State.FAILED: logging.WARNING,
}
"""What goes by is in the history and in the unit's own journal; INFO for the rest."""


@dataclass(frozen=True, slots=True)
class Roll:
    """The services of a kind and their units, in the order of the ids."""

    ids: tuple[str, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _News:
    """A change of state that is still to be told."""

    record: ServiceRecord
    previous: State
    cause: str
    at: datetime


class Registry:
    """All records by unit. Reads are answered from memory, which the mirror follows."""

    def __init__(self, mirror: Mirror, events: EventSink) -> None:
        self._mirror = mirror
        self._events = events
        self._records: dict[str, ServiceRecord] = {}
        self._rolls: dict[KindName, Roll] = {}
        self._meta: dict[str, str] = {}
        # What the event bus, the mirror and the log are still to be told.
        self._changed: set[str] = set()
        self._durable = False
        self._transitions: list[Transition] = []
        self._news: list[_News] = []
        self._telling = False

    def load(self) -> None:
        """Read what the mirror holds; a row that makes no sense is left out, and said."""
        rows, self._meta = self._mirror.load()
        for row in rows:
            try:
                record = record_from_row(row)
            except (CoredinatorError, ValueError, TypeError, AttributeError) as error:
                _log.error("left out the record of unit %s: %s", row["unit"], error)
            else:
                self._put(record)

    def get(self, unit: str) -> ServiceRecord | None:
        """The record of a unit."""
        return self._records.get(unit)

    def of_kind(self, kind: KindName) -> list[ServiceRecord]:
        """All records of a kind, in the order of their ids."""
        return [self._records[unit] for unit in self._roll(kind).units]

    def ids(self, kind: KindName) -> tuple[str, ...]:
        """The ids of a kind in their order; the same object until one comes or goes."""
        return self._roll(kind).ids

    def all(self) -> list[ServiceRecord]:
        """All records."""
        return list(self._records.values())

    def meta(self, key: str) -> str | None:
        """A value kept beside the records."""
        return self._meta.get(key)

    def update(self, record: ServiceRecord, cause: str, *, durable: bool = False) -> None:
        """Take over a record that changed; `cause` says why, should its state be another one now.

        It is written soon, if `durable` to stable storage, for which `written` waits.
        """
        previous = self._records.get(record.unit)
        if previous == record:
            return
        self._put(record)
        self._durable |= durable
        self._write_soon(record.unit)
        previous_state = previous.state if previous else State.STOPPED
        if record.state is not previous_state:
            now = datetime.now(UTC)
            self._note(record, cause, previous_state, now)
            self._news.append(_News(record, previous_state, cause, now))

    def observe(self, unit: str, observed: Observation, cause: str) -> None:
        """Take over what systemd says of a known unit."""
        if (record := self._records.get(unit)) is not None:
            self.update(record.with_observation(observed), cause)

    async def commit(self, records: Sequence[ServiceRecord], cause: str, meta: dict[str, str] | None = None) -> None:
        """Take over records whose intent changed, and return when they are on stable storage.

        What was observed of them, and their health, stay what they are now. On StoreError they are as before.
        """
        before = [(record.unit, self._records.get(record.unit)) for record in records]
        for record, (_, current) in zip(records, before, strict=True):
            self.update(_as_observed(record, current) if current else record, cause)
        self.write()
        try:
            await self._mirror.commit([record_to_row(self._records[unit]) for unit, _ in before], meta)
        except BaseException:
            self.restore(before, cause)
            raise
        self._meta.update(meta or {})

    def adopt(self, record: ServiceRecord) -> None:
        """Take over a service that runs but was not known; nothing about it has changed."""
        self._put(record)
        self._write_soon(record.unit)

    def clear_pending(self, unit: str, cause: str) -> None:
        """Note that a start or stop has been seen through."""
        if (record := self._records.get(unit)) is not None:
            self.update(replace(record, pending=None), cause)

    def clear_error(self, unit: str, cause: str) -> None:
        """Note that a start has been seen through, and that what stood against it is over."""
        if (record := self._records.get(unit)) is not None:
            self.update(replace(record, pending=None, error=None), cause)

    async def forget(self, identity: Identity) -> None:
        """Drop the record of a service, and return when that is on stable storage.

        On StoreError it is known as before.
        """
        record = self._records.get(identity.unit)
        if record is None:
            return
        self._drop(record)
        self.write()
        try:
            await self._mirror.commit([], forgotten=[record.unit])
        except BaseException:
            if record.unit not in self._records:
                self._put(record)
            raise

    def note(self, record: ServiceRecord, cause: str) -> None:
        """Add a line to the unit's history that is no change of its state."""
        self._note(record, cause, record.state, datetime.now(UTC))

    def _note(self, record: ServiceRecord, cause: str, previous: State, at: datetime) -> None:
        observed = record.observed
        transition = Transition(
            at=at,
            unit=record.unit,
            previous_state=previous,
            state=record.state,
            cause=cause,
            main_pid=observed.main_pid,
            result=observed.result,
            exit_status=observed.exit_status,
            restarts=observed.restarts,
        )
        self._transitions.append(transition)
        self._write_soon(record.unit)

    def publish(self, record: ServiceRecord, verb: str, more: Mapping[str, object]) -> None:
        """Send an event about a service, with what `more` adds to the usual fields."""
        self.write()
        self._publish(record, verb, more, record.state, datetime.now(UTC))

    def _publish(
        self, record: ServiceRecord, verb: str, more: Mapping[str, object], previous: State, at: datetime
    ) -> None:
        observed = record.observed
        payload: dict[str, object] = {
            "agent_id": record.agent_id,
            "unit": record.unit,
            "state": record.state,
            "previous_state": previous,
            "at": at.isoformat(),
            "main_pid": observed.main_pid,
            "result": observed.result,
            "exit_status": observed.exit_status,
            "restarts": observed.restarts,
        }
        self._events.publish(f"{record.identity.spec.topic}.{verb}", payload | dict(more))

    def write(self) -> None:
        """Tell the event bus, the mirror and the log what has changed."""
        news, self._news = self._news, []
        for item in news:
            self._publish(item.record, _VERBS[item.record.state][0], {}, item.previous, item.at)
        if self._changed:
            records = [self._records[unit] for unit in self._changed if unit in self._records]
            self._mirror.put(
                *map(record_to_row, records),
                transitions=map(transition_to_row, self._transitions),
                durable=self._durable,
            )
            self._changed.clear()
            self._transitions.clear()
            self._durable = False
        for item in news:
            self._log_change(item)

    async def written(self) -> None:
        """Return when what has changed is in the file. Raises StoreError if the disk refuses it for now."""
        self.write()
        await self._mirror.written()

    async def history(self, unit: str, limit: int) -> list[Transition]:
        """The last transitions of a unit, newest first. Raises StoreError."""
        return [transition_from_row(row) for row in await self._mirror.history(unit, limit)]

    def restore(self, before: Sequence[tuple[str, ServiceRecord | None]], cause: str) -> None:
        """Have the records as they were, soon also on the disk; None is that of a unit that was not known."""
        for unit, record in before:
            current = self._records.get(unit)
            if current is None:
                continue  # forgotten meanwhile
            if record is None:
                self._drop(current)
                self.write()
                self._mirror.forget(unit)
            else:
                self.update(_as_observed(record, current), cause)

    def _put(self, record: ServiceRecord) -> None:
        if record.unit not in self._records:
            self._rolls.pop(record.identity.kind, None)
        self._records[record.unit] = record

    def _drop(self, record: ServiceRecord) -> None:
        self._rolls.pop(record.identity.kind, None)
        del self._records[record.unit]

    def _roll(self, kind: KindName) -> Roll:
        if (roll := self._rolls.get(kind)) is None:
            identities = (record.identity for record in self._records.values() if record.identity.kind is kind)
            found = sorted((identity.instance, identity.unit) for identity in identities)
            roll = Roll(tuple(instance for instance, _ in found), tuple(unit for _, unit in found))
            self._rolls[kind] = roll
        return roll

    def _write_soon(self, unit: str) -> None:
        self._changed.add(unit)
        if not self._telling:
            self._telling = True
            self._tell_after(_TURNS)

    def _tell_after(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._tell_after, turns - 1)
        else:
            self._telling = False
            self.write()

    def _log_change(self, news: _News) -> None:
        record, previous, cause = news.record, news.previous, news.cause
        verb, message_id = _VERBS[record.state]
        failed = record.state is State.FAILED
        level = _LEVELS.get(record.state, logging.INFO)
        if _log.isEnabledFor(level):
            _log.log(
                level,
                "%s %s%s", record.identity.service_id, verb, f": {record.error or _why(record)}" if failed else "",
                extra=log_fields(record, message_id) | {"previous_state": previous, "cause": cause},
            )  # fmt: skip


def _as_observed(record: ServiceRecord, current: ServiceRecord) -> ServiceRecord:
    return replace(record, observed=current.observed, health=current.health)


def _why(record: ServiceRecord) -> str:
    observed = record.observed
    if record.health is not None and observed.state is State.RUNNING:
        return record.health.detail
    return f"result {observed.result}, exit status {observed.exit_status}"


def log_fields(record: ServiceRecord, message_id: MessageId) -> dict[str, object]:
    """The fields that a log line about a service carries."""
    return {
        "message_id": message_id,
        "agent_id": record.agent_id,
        "service_id": record.identity.service_id,
        "unit": record.unit,
        "state": record.state,
    }

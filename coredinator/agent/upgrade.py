"""Another version of CoreRL: checked, put in place of the old one, and rolled back unless it becomes healthy."""

import asyncio
import logging
from collections.abc import Coroutine
from copy import replace
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from coredinator.agent.agents import Agents, load_config, pin_of
from coredinator.errors import CoredinatorError, ExecutableNotFound, UnitConflict
from coredinator.logs import MessageId
from coredinator.service.executable import Executable, candidates, find_executable, preference
from coredinator.service.maintenance import Maintenance
from coredinator.service.record import Pending, ServiceRecord
from coredinator.service.registry import Registry, log_fields
from coredinator.service.runnable import why_not_runnable
from coredinator.service.state import Intent, State
from coredinator.services import KINDS, Definition, HealthCheck, KindName
from coredinator.systemd import SystemdError
from coredinator.utils.fleeting_threads import in_file_thread

_log = logging.getLogger(__name__)

_GRACE = 10.0
_GRACE_WITH_PROBE = 30.0
_LOOK_AGAIN = 0.1


class Outcome(StrEnum):
    """How an upgrade ended."""

    UNCHANGED = "unchanged"
    UPGRADED = "upgraded"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The end of an upgrade; `version` is the one that runs now, `reason` says why it is not the one asked for."""

    agent_id: str
    outcome: Outcome
    version: str | None
    previous_version: str | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """The executables of CoreRL that are there, newest first, and the one that an agent runs."""

    running: str | None
    executable: str | None
    pinned: str | None
    available: tuple[Executable, ...]


class Upgrades:
    """Upgrades of agents, at most one of each at a time; they go on when whoever asked for them has gone."""

    def __init__(
        self, agents: Agents, maintenance: Maintenance, registry: Registry, base_path: Path, corerl: Definition
    ) -> None:
        self._agents = agents
        self._maintenance = maintenance
        self._registry = registry
        self._base_path = base_path
        self._corerl = corerl
        self._tasks: dict[str, asyncio.Task[Upgrade]] = {}

    async def versions(self, agent_id: str) -> Versions:
        """What there is to choose from. Raises UnknownService."""
        record = self._agents.known(agent_id)
        found = await in_file_thread(lambda: list(candidates(self._base_path, KINDS[KindName.CORERL])))
        found.sort(key=preference, reverse=True)
        runs = record.observed.main_pid is not None
        return Versions(
            record.version if runs else None, record.executable if runs else None, record.pinned_version, tuple(found)
        )

    async def upgrade(self, agent_id: str, version: str, grace: float | None) -> Upgrade:
        """Run another version, and return once it has proved itself for `grace` seconds, or has been rolled back.

        A version that is named is pinned, also after a rollback; the newest is not. Raises
        UnknownService, ExecutableNotFound, UnitConflict, ConfigError, SystemdUnavailable, StoreError;
        the old version runs on then.
        """
        pin = pin_of(version)
        config_path = self._ready(agent_id).config_path
        target = await self._choose(pin)
        if config_path is not None:
            await load_config(config_path)
        # Once more, for others may have been quicker meanwhile; from here to the task nobody can be.
        record = self._ready(agent_id)
        if str(target.path) == record.executable:
            await self._maintenance.amend(record.identity, lambda now: replace(now, pinned_version=pin), "upgrade")
            return Upgrade(agent_id, Outcome.UNCHANGED, record.version, record.version)
        work = self._replace(record, target, pin, grace or trial_seconds(self._corerl.health))
        return await asyncio.shield(self._keep(agent_id, work))

    def resume(self) -> None:
        """Go on watching over upgrades that a former manager left on trial."""
        grace = trial_seconds(self._corerl.health)
        for record in self._registry.of_kind(KindName.CORERL):
            agent_id, previous = record.identity.instance, record.previous_version
            if previous is None or agent_id in self._tasks:
                continue
            begun = record.version != previous
            self._keep(agent_id, self._on_trial(record, previous, grace) if begun else self._give_up(record))

    async def close(self) -> None:
        """Let go of what is under way; the next manager goes on with it."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ready(self, agent_id: str) -> ServiceRecord:
        """An agent that can be upgraded. Raises UnknownService, UnitConflict."""
        record = self._agents.known(agent_id)
        if agent_id in self._tasks:
            raise UnitConflict(f"an upgrade of agent {agent_id!r} is under way; wait for its end")
        if record.intent is Intent.STOPPED:
            raise UnitConflict(f"agent {agent_id!r} is stopped; start it, with that version if need be")
        return record

    async def _choose(self, pin: str | None) -> Executable:
        target = await in_file_thread(find_executable, self._base_path, self._corerl.spec, pin)
        if (problem := await in_file_thread(why_not_runnable, target.path)) is not None:
            raise ExecutableNotFound(problem)
        return target

    async def _replace(self, record: ServiceRecord, target: Executable, pin: str | None, grace: float) -> Upgrade:
        previous = record.version
        self._tell(record, "upgrading", MessageId.UPGRADING, str(target.version), previous)
        try:
            await self._maintenance.restart(
                record.identity,
                f"upgrade to {target.version}",
                lambda now: replace(now, pinned_version=pin, previous_version=previous),
            )
        except (CoredinatorError, SystemdError) as error:
            self._tell(record, "upgrade_failed", MessageId.UPGRADE_FAILED, record.version, previous, str(error))
            raise
        return await self._on_trial(record, previous, grace)

    async def _give_up(self, record: ServiceRecord) -> Upgrade:
        """End an upgrade that a manager left before the old version was stopped."""
        previous = record.previous_version
        reason = "the manager ended before the version that runs was stopped"
        await self._end_trial(record, pin=previous)
        self._tell(record, "upgrade_failed", MessageId.UPGRADE_FAILED, previous, previous, reason)
        return Upgrade(record.identity.instance, Outcome.FAILED, previous, previous, reason)

    async def _on_trial(self, record: ServiceRecord, previous: str | None, grace: float) -> Upgrade:
        reason = await self._proves_itself(record, grace)
        now = self._registry.get(record.unit) or record
        agent_id, version = now.identity.instance, now.version
        if reason is not None:
            try:
                await self._roll_back(now, previous)
            except (CoredinatorError, SystemdError) as error:
                reason = f"{reason}; and it cannot be rolled back: {error}"
            else:
                self._tell(now, "rolled_back", MessageId.ROLLED_BACK, version, previous, reason)
                return Upgrade(agent_id, Outcome.ROLLED_BACK, previous, previous, reason)
        await self._end_trial(now)
        outcome = Outcome.UPGRADED if reason is None else Outcome.FAILED
        if (given_up := self._why_given_up(record)) is not None:
            outcome, reason = Outcome.STOPPED, given_up
        if reason is None:
            self._tell(now, "upgraded", MessageId.UPGRADED, version, previous)
        else:
            self._tell(now, "upgrade_failed", MessageId.UPGRADE_FAILED, version, previous, reason)
        return Upgrade(agent_id, outcome, version, previous, reason)

    def _why_given_up(self, record: ServiceRecord) -> str | None:
        """Why nobody waits for the agent to run any more, None if somebody does."""
        now = self._registry.get(record.unit)
        if now is None:
            return "the agent was deleted meanwhile"
        return "the agent was stopped meanwhile" if now.intent is Intent.STOPPED else None

    async def _roll_back(self, record: ServiceRecord, previous: str | None) -> None:
        if previous is None:
            raise ExecutableNotFound("the version that ran before is not known")

        def back(now: ServiceRecord) -> ServiceRecord:
            if now.intent is Intent.STOPPED:
                raise UnitConflict("the agent was stopped meanwhile")
            return replace(now, pinned_version=previous, previous_version=None)

        await self._maintenance.restart(record.identity, f"rollback to {previous}", back)

    async def _proves_itself(self, record: ServiceRecord, grace: float) -> str | None:
        """Why the version that runs now is no good, None if it is, or if nobody wants it any more."""
        check = self._corerl.health
        probed = check is not None and check.probed
        deadline = asyncio.get_running_loop().time() + grace
        while True:
            now = self._registry.get(record.unit)
            if now is None or self._why_given_up(record) is not None:
                return None
            if (problem := why_failed(now)) is not None:
                return problem
            if probed and now.health is not None and now.health.ok:
                return None
            if asyncio.get_running_loop().time() >= deadline:
                return why_unproven(now, grace, probed=probed)
            await asyncio.sleep(_LOOK_AGAIN)

    async def _end_trial(self, record: ServiceRecord, *, pin: str | None = None) -> None:
        def ended(now: ServiceRecord) -> ServiceRecord:
            return replace(now, previous_version=None, pinned_version=pin or now.pinned_version)

        await self._maintenance.amend(record.identity, ended, "upgrade")

    def _keep(self, agent_id: str, work: Coroutine[None, None, Upgrade]) -> asyncio.Task[Upgrade]:
        task = self._tasks[agent_id] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._ended(agent_id))
        return task

    def _ended(self, agent_id: str) -> None:
        task = self._tasks.pop(agent_id)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("the upgrade of agent %s was given up: %s", agent_id, error)

    def _tell(
        self,
        record: ServiceRecord,
        verb: str,
        message_id: MessageId,
        version: str | None,
        previous: str | None,
        reason: str | None = None,
    ) -> None:
        self._registry.publish(record, verb, {"version": version, "previous_version": previous, "reason": reason})
        _log.log(
            logging.INFO if reason is None else logging.WARNING,
            "%s: %s, version %s, before %s%s",
            record.identity.service_id, verb.replace("_", " "), version, previous, f": {reason}" if reason else "",
            extra=log_fields(record, message_id) | {"cause": "upgrade"},
        )  # fmt: skip


def trial_seconds(check: HealthCheck | None) -> float:
    """How long a trial lasts: until the first good answer, or as long as a process has to stay once it may be ready."""
    if check is None:
        return _GRACE
    return max(check.grace, _GRACE_WITH_PROBE) if check.probed else check.grace + _GRACE


def why_failed(record: ServiceRecord) -> str | None:
    """What tells at once that a process which was just started is no good."""
    observed = record.observed
    if record.error is not None:
        return record.error
    if record.pending is Pending.START:
        return None  # what ends is the process of the old version
    if record.health is not None and not record.health.ok:
        return record.health.detail
    if record.state is State.FAILED or observed.restarts:
        return f"it ended: result {observed.result}, exit status {observed.exit_status}"
    return None


def why_unproven(record: ServiceRecord, grace: float, *, probed: bool) -> str | None:
    """What tells at the end of the grace period that a process has not come up."""
    if probed:
        return f"it was not healthy within {grace:g} s"
    return None if record.state is State.RUNNING else f"it was {record.state} after {grace:g} s"

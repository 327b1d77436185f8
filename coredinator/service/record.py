"""What is known of a service: what is wanted of it, and what was last observed."""

from copy import replace
from dataclasses import dataclass
from enum import StrEnum

from coredinator.service.identity import Identity
from coredinator.service.state import NOT_LOADED, Intent, Observation, State
from coredinator.services import Limits
from coredinator.utils.quick_replace import quick_replace


class Pending(StrEnum):
    """A start or stop that was asked for and has not been seen through yet."""

    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict of a health check on a process that runs, with its reason."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """A row of the mirror.

    `pending` survives the manager: a start that was cut short is carried out at the next chance.
    `error` says why the last start made no unit. `agent_id` is the agent for which it was started
    first, `coreio_id` links an agent's CoreRL to its CoreIO. `limits` are the service's own, over those
    of the settings file; None if nobody gave any. `health` is None without a health check or a verdict.
    `previous_version` is what an upgrade goes back to, set only while the new version is on trial.
    """

    identity: Identity
    agent_id: str
    config_path: str | None
    intent: Intent
    pending: Pending | None = None
    executable: str | None = None
    version: str | None = None
    pinned_version: str | None = None
    previous_version: str | None = None
    coreio_id: str | None = None
    error: str | None = None
    limits: Limits | None = None
    health: Health | None = None
    observed: Observation = NOT_LOADED

    __replace__ = quick_replace

    @property
    def unit(self) -> str:
        """The unit's name."""
        return self.identity.unit

    @property
    def state(self) -> State:
        """The observed state; a start that made no unit is a failure, and so is a process that is not well."""
        if self.health is not None and not self.health.ok and self.observed.state is State.RUNNING:
            return State.FAILED
        if self.error is not None and self.intent is Intent.RUNNING and self.observed.state is State.STOPPED:
            return State.FAILED
        return self.observed.state

    def with_observation(self, observed: Observation) -> "ServiceRecord":
        """The record as systemd says it is now.

        What was found of a process's health does not outlive it, and no error the start of another one.
        """
        same_process = observed.main_pid == self.observed.main_pid
        error = None if observed.state is State.RUNNING else self.error
        if observed == self.observed and error == self.error:
            return self
        return replace(self, observed=observed, health=self.health if same_process else None, error=error)


@dataclass(frozen=True, slots=True)
class Order:
    """A service that somebody wants to run, as `wanted` says; its config file was read by the caller.

    One that is up already is left alone; with another config it is a conflict unless `any_config`. One that
    is `shared` keeps the config of the agent that it was started for as long as it is up.
    Without a version of its own it keeps the pinned one that it had, unless it is to take the `newest`.
    """

    wanted: ServiceRecord
    any_config: bool = False
    shared: bool = False
    newest: bool = False

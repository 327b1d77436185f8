"""Answers that are asked for again and again, kept as the bytes that they are sent as."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from coredinator.agent.agents import Agents, AgentStatus
from coredinator.web.models import AgentAnswer, UnknownAgent

USAGE_AGE = 1.0
"""Seconds for which the usage in a status is shown without another look at the kernel's figures."""


_KEPT = 10.0
"""Seconds after which a page is dropped unless it was made anew: whoever asks again then has it made from scratch."""


@dataclass(frozen=True, slots=True)
class _Page:
    """The body of a status answer, what it shows, and when on the clock it was made."""

    status: AgentStatus
    body: bytes
    made: float


class Pages:
    """The list of agents and their status as JSON, made anew when what they show has changed.

    `clock` is in seconds. No more pages are kept than agents were asked for lately.
    """

    def __init__(self, agents: Agents, clock: Callable[[], float] = time.monotonic) -> None:
        self._agents = agents
        self._clock = clock
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        """The oldest one is the first."""
        self._listed: tuple[str, ...] = ()
        self._list = b"[]"

    def status(self, agent_id: str) -> bytes:
        """The status of an agent as it is now; only its services' usage may be up to `USAGE_AGE` old."""
        now = self._clock()
        page = self._pages.get(agent_id)
        if page is not None and self._agents.is_current(page.status):
            if now < page.made + USAGE_AGE:
                return page.body
            status = page.status
        else:
            status = self._agents.status(agent_id)
            if not status.services:
                return UnknownAgent(id=agent_id).model_dump_json().encode()
        body = AgentAnswer.of(status).model_dump_json().encode()
        self._keep(agent_id, _Page(status, body, now))
        return body

    def ids(self) -> bytes:
        """The ids of all agents, stopped ones included."""
        ids = self._agents.ids()
        if ids is not self._listed:
            self._listed, self._list = ids, json.dumps(ids, ensure_ascii=False, separators=(",", ":")).encode()
        return self._list

    def _keep(self, agent_id: str, page: _Page) -> None:
        self._pages[agent_id] = page
        self._pages.move_to_end(agent_id)
        while next(iter(self._pages.values())).made <= page.made - _KEPT:
            self._pages.popitem(last=False)

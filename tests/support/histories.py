"""Random histories: what happens to a host, step by step, with all promises checked after each step."""

import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.model import Action, coreio, corerl
from tests.support.scene import PROGRAMS
from tests.support.world import World

type Deed = tuple[object, ...]
"""The name of a method of World that makes an action, and its arguments."""

AGENTS = ("backwash", "ünit 2")

_agents = st.sampled_from(AGENTS)
_coreios = st.sampled_from(["backwash-coreio", "ünit 2-coreio", "shared"])
_units = st.one_of(_agents.map(corerl), _coreios.map(coreio))
_versions = st.sampled_from(["1.0.0", "1.1.0"])
_programs = st.sampled_from(PROGRAMS)


def deed(name: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Deed]:
    return st.tuples(st.just(name), *arguments)


requests = st.one_of(
    deed("start", _agents, st.sampled_from([None, "shared"])),
    deed("stop", _agents),
    deed("restart", _agents),
    deed("delete", _agents),
    deed("start_coreio", _agents, _coreios),
    deed("stop_coreio", _coreios),
)
operations = deed("operator", st.sampled_from(["start", "stop", "restart"]), _units)
crashes = deed("crash", _units, st.sampled_from([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))
disturbances = st.one_of(
    deed("systemd", st.sampled_from(["daemon-reload", "daemon-reexec"])),
    deed("kill_event_bus"),
    deed("cut_bus"),
)
files = st.one_of(
    deed("install", _programs, _versions, st.sampled_from(["good", "crashing", "stubborn"])),
    deed("uninstall", _programs, _versions),
    deed("write_config", _agents),
    deed("remove_config", _agents),
)
damages = deed("damage_database", st.sampled_from(["delete", "delete only the file", "cut", "halve", "overwrite"]))
disks = st.one_of(deed("fill_disk"), deed("protect_disk"), deed("free_disk"))
delays = st.floats(min_value=0, max_value=0.05)


class Histories(RuleBasedStateMachine):
    """One host from its first start to its end."""

    histories = 0
    longer = 0
    """Histories that did not end with their first step."""
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        Histories.histories += 1
        self._steps = 0
        self.violation: str | None = None
        self._stack = contextlib.ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="history-"))
        self.world = self._stack.enter_context(World.running(Path(folder)))

    def teardown(self) -> None:
        """End the host, which has nothing more to do; its log is read only if the history is told."""
        try:
            if self.violation is None and self.world.up:
                with self._telling():
                    self.world.host.wait_idle()
        finally:
            self.log = self.world.host.log.read_text()
            self._stack.close()

    @initialize(shared=st.lists(st.booleans(), min_size=len(AGENTS), max_size=len(AGENTS)))
    def start_all(self, shared: list[bool]) -> None:
        for agent, shares in zip(AGENTS, shared, strict=True):
            self._do(("write_config", agent), ("start", agent, "shared" if shares else None))

    @invariant()
    def all_promises_are_kept(self) -> None:
        Histories.steps += 1
        self._steps += 1
        if self._steps == 2:
            Histories.longer += 1
        with self._telling():
            self.world.settle()

    @rule(deed=requests)
    def request(self, deed: Deed) -> None:
        self._do(deed)

    @rule(deed=operations)
    def operate(self, deed: Deed) -> None:
        self._do(deed)

    @rule(deed=crashes)
    def crash(self, deed: Deed) -> None:
        self._do(deed)

    @rule(deed=st.one_of(disturbances, disks))
    def disturb(self, deed: Deed) -> None:
        self._do(deed)

    @rule(deed=files)
    def change_files(self, deed: Deed) -> None:
        self._do(deed)

    @rule(deed=damages)
    def damage(self, deed: Deed) -> None:
        self._do(deed)

    @rule(
        way=st.sampled_from(["kill", "terminate"]),
        deeds=st.lists(st.one_of(operations, crashes, files, damages, disks), max_size=3),
        killed_after=st.lists(st.floats(min_value=0, max_value=0.5), max_size=2),
    )
    def replace_manager(self, way: str, deeds: list[Deed], killed_after: list[float]) -> None:
        """The manager ends, things happen, the next one starts, killed once or twice as it does."""
        self._do(("end_manager", way), *deeds)
        with self._telling():
            for delay in killed_after:
                self.world.launch_and_kill(delay)
        self._launch()

    @rule(
        deeds=st.lists(
            st.tuples(delays, st.one_of(requests, requests, operations, crashes, disturbances)), min_size=2, max_size=4
        ),
        killed_after=st.one_of(st.none(), delays),
    )
    def at_once(self, deeds: list[tuple[float, Deed]], killed_after: float | None) -> None:
        """Several things happen at the same moment, a SIGKILL to the manager perhaps among them."""
        if killed_after is not None:
            deeds = [*deeds, (killed_after, ("end_manager", "kill"))]
        with self._telling():
            self.world.do(*(self._action(deed) for _, deed in deeds), delays=[delay for delay, _ in deeds])
        if killed_after is not None:
            self._launch()

    def _launch(self) -> None:
        with self._telling():
            self.world.launch()
            if not self.world.up:
                self.world.do(self.world.free_disk())
                self.world.launch()

    def _do(self, *deeds: Deed) -> None:
        with self._telling():
            for deed in deeds:
                self.world.do(self._action(deed))

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            self.violation = str(error)
            raise

    def _action(self, deed: Deed) -> Action:
        name, *arguments = deed
        return getattr(self.world, str(name))(*arguments)

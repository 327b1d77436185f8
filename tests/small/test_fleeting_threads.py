"""Threads that live while there is work."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait

import pytest

from coredinator.errors import FilesUnavailable
from coredinator.utils import fleeting_threads
from coredinator.utils.fleeting_threads import FleetingThreads, in_file_thread
from tests.support.restless import restless

_SOON = 0.001
_IN_TIME = 30.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hangs waits for this, and not for longer than the test."""
    opened = threading.Event()
    yield opened
    opened.set()


def alive(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _IN_TIME
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(_SOON)


def test_no_thread_is_there_before_there_is_work_nor_for_long_after_it() -> None:
    threads = FleetingThreads("comes-and-goes", 2, linger=_SOON)
    assert alive("comes-and-goes") == 0
    for number in range(3):
        assert threads.submit(lambda given=number: given).result(_IN_TIME) == number
        until(lambda: alive("comes-and-goes") == 0)


def test_a_thread_that_lingers_does_the_next_work_too() -> None:
    threads = FleetingThreads("lingers", 1, linger=_IN_TIME)
    first = threads.submit(threading.current_thread).result(_IN_TIME)
    assert threads.submit(threading.current_thread).result(_IN_TIME) is first


def test_work_that_comes_as_a_thread_is_about_to_end_is_done() -> None:
    threads = FleetingThreads("about-to-end", 1, linger=0)
    with restless(fleeting_threads):
        for number in range(1000):
            time.sleep(number % 100 * 1e-5)
            assert threads.submit(lambda given=number: given).result(_IN_TIME) == number
        until(lambda: alive("about-to-end") == 0)


def test_work_of_many_callers_is_done_once_each_by_no_more_threads_than_allowed() -> None:
    threads = FleetingThreads("crowded", 3, linger=_SOON)
    done: list[int] = []
    most = 0

    def work(number: int) -> None:
        nonlocal most
        most = max(most, alive("crowded"))
        done.append(number)

    def call(caller: int) -> None:
        wait([threads.submit(work, caller * 200 + number) for number in range(200)], _IN_TIME)

    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(_IN_TIME)
    assert sorted(done) == list(range(800))
    assert 1 <= most <= 3


def test_one_thread_does_its_work_in_the_order_in_which_it_came(gate: threading.Event) -> None:
    threads = FleetingThreads("in-order", 1)
    threads.submit(gate.wait)
    done: list[int] = []
    rest = [threads.submit(done.append, number) for number in range(50)]
    gate.set()
    wait(rest, _IN_TIME)
    assert done == list(range(50))


def test_an_error_is_for_whoever_asked_and_the_thread_goes_on() -> None:
    threads = FleetingThreads("in-trouble", 1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 / 0).result(_IN_TIME)
    assert threads.submit(lambda: "on").result(_IN_TIME) == "on"


def test_work_that_is_called_off_in_time_is_not_done(gate: threading.Event) -> None:
    threads = FleetingThreads("called-off", 1)
    threads.submit(gate.wait)
    done: list[str] = []
    assert threads.submit(done.append, "called off").cancel()
    last = threads.submit(done.append, "last")
    gate.set()
    last.result(_IN_TIME)
    assert done == ["last"]


def test_a_thread_that_the_system_does_not_grant_is_an_error_and_the_work_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = FleetingThreads("refused", 2)
    done: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.submit(done.append, "refused")
    threads.submit(done.append, "granted").result(_IN_TIME)
    assert done == ["granted"]


def test_work_waits_for_the_threads_there_are_if_the_system_grants_no_more(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    threads = FleetingThreads("no-more", 2)
    threads.submit(gate.wait)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    later = threads.submit(lambda: "done")
    gate.set()
    assert later.result(_IN_TIME) == "done"


async def test_hanging_files_hold_two_threads_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    monkeypatch.setattr(fleeting_threads, "_files", FleetingThreads("hung-files", 2))
    hung = [asyncio.create_task(in_file_thread(gate.wait)) for _ in range(10)]
    async with asyncio.timeout(_IN_TIME):
        while alive("hung-files") < 2:
            await asyncio.sleep(_SOON)
        assert alive("hung-files") == 2
        gate.set()
        await asyncio.gather(*hung)


async def test_files_that_hang_are_given_up_and_others_are_read_by_threads_in_their_place(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    monkeypatch.setattr(fleeting_threads, "_files", FleetingThreads("given-up", 2))
    monkeypatch.setattr(fleeting_threads, "_PATIENCE", 0.05)
    for _ in range(4):
        with pytest.raises(FilesUnavailable):
            await in_file_thread(gate.wait)
    monkeypatch.setattr(fleeting_threads, "_PATIENCE", _IN_TIME)
    assert await in_file_thread(lambda: "read") == "read"


def refuse(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")

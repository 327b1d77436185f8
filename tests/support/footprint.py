"""What the manager holds: memory, descriptors, threads, and what it holds on the bus and in systemd."""

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import psutil

from tests.support.host import systemctl, workload_units


@dataclass(frozen=True)
class Footprint:
    """`rss` in MiB; `references` counts those that the manager holds on workload units."""

    rss: float
    descriptors: int
    threads: int
    bus_matches: int
    references: int

    @classmethod
    def of(cls, pid: int) -> "Footprint":
        process = psutil.Process(pid)
        connections = _bus_names(pid)
        return cls(
            rss=process.memory_info().rss / 2**20,
            descriptors=process.num_fds(),
            threads=process.num_threads(),
            bus_matches=sum(_matches(name) for name in connections),
            references=_references(connections),
        )

    @classmethod
    def least(cls, samples: Sequence["Footprint"]) -> "Footprint":
        """The least of each figure."""
        return cls(*(min(getattr(sample, item.name) for sample in samples) for item in fields(cls)))


def _bus_names(pid: int) -> list[str]:
    lines = _run("busctl", "--user", "list", "--no-legend", "--unique").splitlines()
    return [line.split()[0] for line in lines if line.split()[1] == str(pid)]


def _matches(name: str) -> int:
    bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Debug.Stats")
    text = _run("busctl", "--user", "call", *bus, "GetConnectionStats", "s", name)
    found = re.search(r'"MatchRules" u (\d+)', text)
    assert found, text
    return int(found[1])


def _references(connections: list[str]) -> int:
    units = workload_units()
    if not units:
        return 0
    holders = Counter(systemctl("show", "--property=Refs", "--value", *units).split())
    return sum(holders[name] for name in connections)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout

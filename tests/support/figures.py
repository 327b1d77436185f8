"""What a status says of a unit's use, and where the kernel tells it (cgroup-v2 in the kernel's documentation)."""

from collections.abc import Collection, Mapping, Sequence

FILES: Mapping[str, Sequence[str]] = {
    "memory.current": ["memory_bytes"],
    "memory.peak": ["memory_peak_bytes"],
    "cpu.stat": ["cpu_seconds"],
    "pids.current": ["tasks"],
    "io.stat": ["io_read_bytes", "io_write_bytes"],
}
FIGURES = [figure for figures in FILES.values() for figure in figures]


def not_told(files: Collection[str]) -> list[str]:
    """The figures that cannot be known of a unit whose cgroup has these files."""
    return [figure for file, figures in FILES.items() if file not in files for figure in figures]

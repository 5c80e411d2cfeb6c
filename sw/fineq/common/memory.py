"""How much memory a program may still take."""

from __future__ import annotations

from pathlib import Path

MEMORY_INFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes that can be had without swapping, within what the container allows; None: the system does not tell."""
    limits = []
    try:
        line = next(line for line in MEMORY_INFO.read_text().splitlines() if line.startswith("MemAvailable:"))
        limits.append(1024 * int(line.split()[1]))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        allowed = (GROUP / "memory.max").read_text().strip()
        if allowed != "max":
            cached = [line.split() for line in (GROUP / "memory.stat").read_text().splitlines()]
            given_back = next((int(size) for name, size in cached if name == "inactive_file"), 0)
            used = int((GROUP / "memory.current").read_text()) - given_back
            limits.append(max(0, int(allowed) - used))
    except (OSError, ValueError):
        pass
    return min(limits, default=None)

"""How much memory a path of cases takes, and how many fit."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

DEFAULT: Final = 3 * 2**30
"""Memory a path is taken to need before any was measured [B]."""
MARGIN: Final = 1.2
"""Factor on what was measured: paths of one sweep differ, and a factorisation grows a little with time."""
_CGROUP: Final = Path("/sys/fs/cgroup")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")


def available() -> int:
    """Memory that can still be had [B], of the machine and of the control groups that this process is in."""
    free = int(psutil.virtual_memory().available)
    for group in _groups():
        with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
            limit = int((group / "memory.max").read_text())
            free = min(free, limit - int((group / "memory.current").read_text()) + _reclaimable(group))
    return max(free, 0)


def _groups() -> list[Path]:
    """Control groups of this process, from the innermost to the root, which is a container's own."""
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:
        lines = []
    own = _CGROUP / next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    return [group for group in (own, *own.parents) if group.is_relative_to(_CGROUP)]


def _reclaimable(group: Path) -> int:
    """Files that a group keeps in memory only for as long as nothing else needs the room [B]."""
    try:
        rows = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
        return sum(int(value) for name, value in rows if name == "inactive_file")
    except (OSError, ValueError):
        return 0


def resident(pid: int) -> int:
    """Memory that a process holds [B]; 0 where it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OSError):
        return 0


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Estimate:
    """Memory of a path: a default until a path has built its model, then the most that any took."""

    most: int = 0
    default: int = DEFAULT
    held: dict[int, int] = field(default_factory=dict)

    @property
    def per_job(self) -> int:
        """Memory to be kept free for one more path [B]."""
        return int(self.most * MARGIN) if self.most else self.default

    def look(self, pids: Iterable[int]) -> None:
        """Measure the paths that are running."""
        self.held = {pid: resident(pid) for pid in pids}

    def learn(self) -> None:
        """Take what the running paths hold as what a path needs."""
        self.most = max([self.most, *self.held.values()])

    def fits(self, free: int, unmeasured: int = 0) -> bool:
        """Whether one more path fits beside what the running ones may still grow by.

        Args:
            free: memory that can be had [B].
            unmeasured: paths that were started since the last look.
        """
        growth = sum(max(self.per_job - held, 0) for held in self.held.values()) + unmeasured * self.per_job
        return free - growth >= self.per_job

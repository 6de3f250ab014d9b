"""What a user sees while something runs: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

PLAIN: Final = "BLOODPATCH_PLAIN"
"""Set where lines are wanted although there seems to be a terminal: mpirun gives its ranks one of its own."""

PLAIN_INTERVAL: Final = 15.0
"""Seconds between plain lines."""


TABLE_WIDTH: Final = 110
"""Columns of a table where there is no terminal to give them."""


class _Console(Console):
    """A console that ends nothing when its reader goes."""

    def on_broken_pipe(self) -> None:
        """Show nothing more."""
        _unread(sys.stdout)


def table_console() -> Console:
    """A console for tables: a log has no width of its own, and what matters most is in the last column."""
    console = _Console()
    return console if console.is_terminal else _Console(width=TABLE_WIDTH)


def say(text: str) -> None:
    """A line for the user."""
    _print(text, sys.stdout)


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def complain(text: str) -> None:
    """A line about what went wrong."""
    _print(f"bloodpatch: {text}", sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    """Print a line; where its reader has gone, as in `bloodpatch sweep ... | head -1`, the work goes on."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        _unread(stream)


def _unread(stream: TextIO) -> None:
    """Let a stream without a reader lead nowhere; what is left in its buffer would fail again when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Progressing:
    """A bar on a terminal, or a line now and then.

    Args:
        label: what runs.
        total: value of `update` at which it is complete.
        quiet: show nothing.
    """

    def __init__(self, label: str, total: float, quiet: bool = False) -> None:
        self._label, self._total = label, max(total, 1e-9)
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last = float("-inf")
        self._text = ""

    def __enter__(self) -> Self:
        console = _Console()
        if not self._quiet and console.is_terminal and not os.environ.get(PLAIN):
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=console)
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self._total, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: float, note: str, force: bool = False) -> None:
        """Show how far it is."""
        if self._quiet:
            return
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if note != self._text and (force or now - self._last >= PLAIN_INTERVAL):
            self._last, self._text = now, note
            say(f"{self._label}: {note}")


HEADLINE: Final = (
    ("csf_pressure_rise_mmHg", "peak rise of the CSF pressure"),
    ("csf_pressure_peak_mmHg", "peak CSF pressure"),
    ("epidural_pressure_static_rise_mmHg", "static rise of the epidural pressure at the needle"),
    ("csf_displaced_peak_mL", "CSF displaced at most"),
    ("sac_area_min_ratio", "smallest sac area over its baseline"),
    ("canal_occupancy_max", "largest canal occupancy"),
    ("csf_pressure_half_decay_s", "half of the CSF pressure's rise is gone after"),
    ("sac_compression_half_decay_s", "half of the sac's lost area is back after"),
)


def headline(summary: Mapping[str, Any]) -> list[str]:
    """The few figures that a run is told by."""
    lines = []
    for name, words in HEADLINE:
        value = summary.get(name)
        if isinstance(value, int | float):
            unit = name.rpartition("_")[2] if name.endswith(("mmHg", "mL", "_s")) else ""
            lines.append(f"  {words:<52}{value:8.2f} {unit}".rstrip())
    return lines

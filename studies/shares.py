"""In what share of an ensemble: `bloodpatch shares DIR`, a table and a figure from whatever members have finished.

A share is a count of members over members that have a result, with the exact binomial interval (Clopper & Pearson 1934
Biometrika 26:404). Two kinds of ensemble are told apart by what varies: spread by volume, or, where the level of a leak
is drawn, coverage of the leak by a patch at one level for all (blind) and at the leak's own (targeted).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.clinical import measurements
from studies.errors import InputError
from studies.files import replacing
from studies.meshnote import MESH
from studies.plot.style import GREY, Picture, save, styled
from studies.protocols import outcomes, read_spread
from studies.recorded import BETWEEN, mesh_notes, recorded_of
from studies.relief.statistics import clopper_pearson
from studies.results import table
from studies.standing import RUNS, case_states, is_sweep

BAND: Final = (0.10, 0.90)
"""Quantiles between which eight of ten members lie."""

COVERED: Final = 0.5
"""Share of a leak's patch, or of the ventral width, from which it counts as covered; half of it, by convention."""

VOLUME: Final = "injection.0.volume_mL"
PLACE: Final = "injection.0.level"
LEAK: Final = "leak.0.level"
VENTRAL, UP, DOWN = "spread_ventral_fraction", "spread_cranial_segments", "spread_caudal_segments"
BOTH: Final = "spread_segments"
COVERAGE: Final = "leak_coverage"
TABLE: Final = "shares.csv"


@dataclass(frozen=True)
class Line:
    """One figure of an ensemble.

    Attributes:
        group: which members: all, or a way of aiming.
        members, without_result: with a result, and without one yet or for good.
        count: members of which it is true; NaN for a mean.
        value: share [1], or mean of the members.
        low, high: interval of ``studies.relief.statistics.LEVEL`` of a share; ``BAND`` of the members beside a mean.
        measured: in patients; NaN where not known.
        source: of the measurement.
    """

    group: str
    volume_mL: float
    quantity: str
    members: int
    without_result: int
    count: float
    value: float
    low: float
    high: float
    measured: float = float("nan")
    source: str = ""


def as_seen(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The table of a sweep's folder as the comparison reads it, where the summary holds the largest of a run.

    Spread is that of `studies.protocols.read_spread`, coverage that at the end: what is washed free covers nothing.
    """
    frame = frame.set_index("folder")
    for item in outcomes(folder):
        if item.state == "done":
            spread = {name: read_spread(item, name) for name in (VENTRAL, UP, DOWN, BOTH)}
            seen = {COVERAGE: item.last(COVERAGE)} if LEAK in frame else spread
            for name, value in seen.items():
                frame.loc[f"{RUNS}/{item.path.name}", name] = value
    return frame.reset_index()


def shares(frame: pd.DataFrame) -> list[Line]:
    """Figures of an ensemble from the table of its sweep, finished or not.

    Raises:
        InputError: the sweep varies no volume, or nothing has finished.
    """
    if VOLUME not in frame:
        raise InputError(
            "DIR", "a sweep that does not vary injection.0.volume", "allowed is an ensemble crossed with volumes"
        )
    if not (frame["state"] == "done").any():
        raise InputError("DIR", "a sweep without a finished case", "allowed is one with at least one result")
    aimed = LEAK in frame
    lines: list[Line] = []
    for group, part in _groups(frame):
        for volume in sorted(part[VOLUME].unique()):
            rows = part[part[VOLUME] == volume]
            done = rows[rows["state"] == "done"]
            if len(done):
                lines += _coverage(group, float(volume), rows, done) if aimed else _spread(float(volume), rows, done)
    return lines


def _groups(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    if LEAK not in frame:
        yield "all", frame
        return
    own = frame[PLACE] == frame[LEAK]
    for level in frame.loc[~own, PLACE].unique():
        yield f"blind, {level}", frame[frame[PLACE] == level]
    yield "targeted", frame[own]


def _share(group: str, volume: float, quantity: str, rows: pd.DataFrame, true: pd.Series) -> Line:
    count, members = int(true.sum()), len(true)
    return Line(
        group, volume, quantity, members, len(rows) - members, count, count / members, *clopper_pearson(count, members)
    )


def _spread(volume: float, rows: pd.DataFrame, done: pd.DataFrame) -> list[Line]:
    """Ventral reach, and segments up, down and in all; the dorsal space, where an interlaminar tip lies, is reached."""
    up, down, ventral, both = (pd.to_numeric(done[name], errors="coerce") for name in (UP, DOWN, VENTRAL, BOTH))
    lines = [
        _share("all", volume, "ventral_reached", rows, ventral > 0),
        _share("all", volume, "ventral_half_covered", rows, ventral >= COVERED),
    ]
    for name, values in ((UP, up), (DOWN, down), (BOTH, both)):
        low, high = (float(q) for q in values.quantile(list(BAND)))
        missing = len(rows) - len(done)
        mean = float(values.mean())
        lines.append(Line("all", volume, name, len(done), missing, float("nan"), mean, low, high))
    return [_beside(line) for line in lines]


def _beside(line: Line) -> Line:
    """The line with what was measured at its volume."""
    for row in measurements("validation", line.quantity):
        if abs(row.volume_mL - line.volume_mL) < 0.5:
            return Line(**asdict(line) | {"measured": row.value, "source": row.study})
    return line


def _coverage(group: str, volume: float, rows: pd.DataFrame, done: pd.DataFrame) -> list[Line]:
    coverage = pd.to_numeric(done[COVERAGE], errors="coerce")
    return [
        _share(group, volume, "leak_half_covered", rows, coverage >= COVERED),
        _share(group, volume, "leak_touched", rows, coverage > 0),
    ]


def write_shares(folder: Path, out: Path) -> tuple[Path, Picture]:
    """Write `shares.csv` and the figure of a sweep's folder.

    Raises:
        InputError: as :func:`shares`.
    """
    lines = shares(as_seen(table(folder), folder))
    states = case_states(folder) if is_sweep(folder) else []  # a committed table stands without its runs
    mesh = BETWEEN.join(mesh_notes(recorded_of(states))) or "not known"
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / TABLE) as temporary:
        pd.DataFrame([asdict(line) | {MESH: mesh} for line in lines]).to_csv(
            temporary, index=False, lineterminator="\n"
        )
    with styled():
        aimed = any(line.quantity == "leak_half_covered" for line in lines)
        figure, caption = _coverage_figure(lines) if aimed else _spread_figure(lines)
        members = max(line.members for line in lines)
        missing = sum(line.without_result for line in lines if line.quantity == lines[0].quantity)
        note = f"{members} members; {missing} cases without a result; mesh: {mesh}. Research use only."
        return out / TABLE, save(figure, out, "shares", caption, note)


def _drawn(axes: Axes, lines: list[Line], label: str, index: int) -> None:
    x = np.array([line.volume_mL for line in lines]) + 0.25 * (index - 1)
    value, low, high = (np.array([getattr(line, name) for line in lines]) for name in ("value", "low", "high"))
    bars = np.maximum([value - low, high - value], 0.0)  # a mean may lie outside the quantiles
    axes.errorbar(x, value, bars, fmt="os^"[index % 3] + "-", capsize=3, label=label, color=f"C{index}")
    known = [line for line in lines if np.isfinite(line.measured)]
    if known:
        place = [line.volume_mL + 0.25 * (index - 1) for line in known]
        axes.plot(place, [line.measured for line in known], "D", mfc="white", color=f"C{index}", ms=8, zorder=4)


def _of(lines: list[Line], quantity: str, group: str = "all") -> list[Line]:
    return [line for line in lines if line.quantity == quantity and line.group == group]


def _spread_figure(lines: list[Line]) -> tuple[Figure, str]:
    figure = Figure(figsize=(7.6, 3.6))
    left, right = figure.subplots(1, 2)
    for index, (name, label) in enumerate(
        (("ventral_reached", "ventral"), ("ventral_half_covered", "half of the ventral width"))
    ):
        _drawn(left, _of(lines, name), label, index)
    for index, (name, label) in enumerate(((UP, "up"), (DOWN, "down"), (BOTH, "both, later"))):
        _drawn(right, _of(lines, name), label, index)
    left.set(xlabel="volume injected [mL]", ylabel="share of the ensemble reached [1]", ylim=(-0.03, 1.03))
    right.set(xlabel="volume injected [mL]", ylabel="segments covered [1]", ylim=(0, None))
    for axes in (left, right):
        axes.plot([], [], "D", mfc="white", color=GREY, label="patients")
        axes.legend(fontsize=7)
    return figure, (
        "Where the injectate reaches. Left: shares of the ensemble with their exact 95 % "
        "binomial intervals. Right: means, and eight of ten members. Either way is read at the end of the injection, "
        "as contrast is, both together at the end of the run. Diamonds: patients."
    )


def _coverage_figure(lines: list[Line]) -> tuple[Figure, str]:
    figure = Figure(figsize=(4.6, 3.6))
    axes = figure.add_subplot()
    groups = list(dict.fromkeys(line.group for line in lines))
    for index, group in enumerate(groups):
        _drawn(axes, _of(lines, "leak_half_covered", group), group, index)
    axes.set(xlabel="volume injected [mL]", ylabel="probability that the patch covers the leak [1]", ylim=(-0.03, 1.03))
    axes.legend()
    return figure, (
        "Probability that the patch covers at least half of a leak whose level is uncertain, blind and targeted, with "
        "exact 95 % binomial intervals."
    )

"""What the model predicts for the volume, level and approach of each published row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from studies.case import INTERSPACES
from studies.protocols import Outcome, as_in_patients
from studies.relief.data import ReliefRow, primary

POINTS: Final = 41
"""Volumes over which a prediction is integrated."""

TOLERANCE_ML: Final = 1e-9
"""Round-off of a volume [mL]."""

RISE: Final = "csf_pressure_rise_mmHg"
DECAY: Final = "csf_pressure_half_decay_s"
COVERAGE: Final = "leak_coverage"
APPROACHES: Final[Mapping[str, tuple[str, ...]]] = {
    "blind": ("interlaminar",),
    "targeted": ("interlaminar", "transforaminal", "foraminal"),
    "unknown": ("interlaminar", "transforaminal", "foraminal"),
}
"""Approaches that a row may stand for: its source seldom names one, so that a prediction is a range over them."""

PATIENTS: Final[Mapping[str, str]] = {"PDPH": "pdph", "SIH": "sih"}


@dataclass(frozen=True)
class Band:
    """A prediction over a range of volumes, levels and approaches: mean, smallest and largest."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Prediction:
    """What the model says about one published row.

    Attributes:
        rise: peak rise of the cranial CSF pressure [mmHg].
        half_decay: time to half of that rise [s]; None where no run reached it.
        coverage: share of the leak covered [1]; None where no leak is modelled.
        volume_mL: range of the volume that was integrated over.
        assumed_volume: the range is that of all reported volumes, because the source gives none.
        stand_in: computed with the other patient, because this one's runs are not there.
        words: what was left out, empty if nothing.
    """

    rise: Band
    half_decay: Band | None
    coverage: Band | None
    volume_mL: tuple[float, float]
    assumed_volume: bool
    stand_in: bool
    words: str


def usable(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Runs that stand for a patch: one injection of blood, finished, with a rise."""
    return [
        item
        for item in outcomes
        if as_in_patients(item.case)
        and len(item.case.injection) == 1
        and item.case.injection[0].material == "blood"
        and item.case.patient in PATIENTS.values()
        and item.state == "done"
        and math.isfinite(item.number(RISE))
    ]


def stated_range(rows: Sequence[ReliefRow], syndrome: str) -> tuple[float, float]:
    """Smallest and largest volume [mL] that primary rows of a syndrome report: the range where a row gives none."""
    known = [row for row in primary(rows) if row.syndrome == syndrome and row.volume_basis == "reported"]
    known = [row for row in known if not row.control_kind]
    return min(row.volume_low_mL for row in known), max(row.volume_high_mL for row in known)


def volume_range(row: ReliefRow, rows: Sequence[ReliefRow]) -> tuple[float, float]:
    """The row's volume [mL]; an end that is not known is taken from the stated range."""
    low, high = stated_range(rows, row.syndrome)
    return (
        low if math.isnan(row.volume_low_mL) else row.volume_low_mL,
        high if math.isnan(row.volume_high_mL) else row.volume_high_mL,
    )


def predict(row: ReliefRow, rows: Sequence[ReliefRow], runs: Sequence[Outcome]) -> Prediction | str:
    """The prediction for a row, or why there is none.

    The pressure is that of runs without a leak where there are any, so that it is the mechanical rise alone; the
    coverage is that of runs with one, for a targeted row of those whose patch is at the level of the leak.

    Args:
        row: a published row; a control is predicted to have no rise.
        rows: all rows, for the stated range.
        runs: as from `usable`.
    """
    if row.control_kind:
        nothing = Band(0.0, 0.0, 0.0)
        return Prediction(nothing, None, None, (0.0, 0.0), assumed_volume=False, stand_in=False, words="")
    closed = [run for run in runs if not run.case.leak] or list(runs)
    chosen, stand_in = _alike(row, closed)
    leaking = [run for run in runs if run.case.leak and (row.targeting != "targeted" or _is_aimed(run))]
    covering, _ = _alike(row, leaking)
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for run in chosen:
        groups.setdefault((run.level, run.case.injection[0].approach), []).append(run)
    if not groups:
        return f"no run between {row.level_low} and {row.level_high}"
    low, high = volume_range(row, rows)
    tops = {place: max(run.volume_mL for run in group) for place, group in groups.items()}
    top = max(tops.values())
    if low > top + TOLERANCE_ML:
        return f"{low:g} mL is more than was computed ({top:g} mL)"
    reached = min(high, top)
    # A place that was not computed so far would cut the range of all.
    far = {place: group for place, group in groups.items() if tops[place] >= reached - TOLERANCE_ML}
    volumes = np.linspace(low, reached, POINTS)
    rises = np.array([np.interp(volumes, *_curve(group, RISE)) for group in far.values()])
    near, reaching = (
        [run for run in part if _beside(run.volume_mL, low, reached, {item.volume_mL for item in part})]
        for part in ([run for group in far.values() for run in group], covering)
    )
    left = len(groups) - len(far)
    words = [f"computed to {top:g} mL only"] if reached < high - TOLERANCE_ML else []
    words += [f"{left} of {len(groups)} places not computed so far"] if left else []
    return Prediction(
        rise=Band(float(rises.mean()), float(rises.min()), float(rises.max())),
        half_decay=_band([run.number(DECAY) for run in near]),
        coverage=_band([run.number(COVERAGE) for run in reaching]),
        volume_mL=(low, reached),
        assumed_volume=row.volume_basis != "reported",
        stand_in=stand_in,
        words="; ".join(words),
    )


def _alike(row: ReliefRow, runs: Sequence[Outcome]) -> tuple[list[Outcome], bool]:
    """Runs of the row's patient, levels and approaches; all patients' where its own has none, which is said."""
    own = [run for run in runs if run.case.patient == PATIENTS.get(row.syndrome, "")]
    first, last = INTERSPACES.index(row.level_low), INTERSPACES.index(row.level_high)
    found = [
        run
        for run in own or runs
        if first <= INTERSPACES.index(run.level) <= last and run.case.injection[0].approach in APPROACHES[row.targeting]
    ]
    return found, not own


def _is_aimed(run: Outcome) -> bool:
    """Whether the patch is at the level of the leak."""
    return all(leak.level == run.level for leak in run.case.leak)


def _curve(group: Sequence[Outcome], name: str) -> tuple[list[float], list[float]]:
    """Volumes and values of one level and approach, means over what else varies, and nothing at 0 mL, untreated."""
    points: dict[float, list[float]] = {0.0: [0.0]}
    for run in group:
        points.setdefault(run.volume_mL, []).append(run.number(name))
    volumes = sorted(points)
    return volumes, [sum(points[volume]) / len(points[volume]) for volume in volumes]


def _beside(volume: float, low: float, high: float, volumes: set[float]) -> bool:
    """Whether a computed volume lies in the range or is the nearest to an end of it."""
    nearest = {min(volumes, key=lambda item: abs(item - end)) for end in (low, high)}
    return low <= volume <= high or volume in nearest


def _band(values: Sequence[float]) -> Band | None:
    known = [value for value in values if math.isfinite(value)]
    return Band(sum(known) / len(known), min(known), max(known)) if known else None


@dataclass(frozen=True)
class Held:
    """A published row with what is predicted for it, or why nothing is."""

    row: ReliefRow
    prediction: Prediction | None
    words: str

    @property
    def rise(self) -> float:
        """Predicted rise [mmHg]; NaN where there is none."""
        return self.prediction.rise.value if self.prediction else math.nan

    @property
    def coverage(self) -> float:
        """Predicted share of the leak that is covered [1]; NaN where there is none."""
        return self.prediction.coverage.value if self.prediction and self.prediction.coverage else math.nan

    @property
    def comparable(self) -> bool:
        """Whether the row may enter a rank correlation: its own volume and patient, and no control."""
        return (
            self.prediction is not None
            and not self.prediction.assumed_volume
            and not self.prediction.stand_in
            and not self.row.control_kind
        )


def hold(rows: Sequence[ReliefRow], runs: Sequence[Outcome]) -> list[Held]:
    """Every primary row beside its prediction."""
    made: Callable[[ReliefRow], Prediction | str] = lambda row: predict(row, rows, runs)  # noqa: E731
    held = []
    for row in primary(rows):
        found = made(row)
        held.append(Held(row, None, found) if isinstance(found, str) else Held(row, found, found.words))
    return held

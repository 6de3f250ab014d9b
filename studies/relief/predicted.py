"""What the model predicts for the volume, level and approach of each published row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fem.quantities import THRESHOLD_BAND
from studies.protocols import Outcome, is_patch, of_one_model
from studies.recorded import Recorded
from studies.relief.data import ReliefRow, primary
from studies.spinalshare import applies, at_shares
from studies.values import INTERSPACES

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
        at_shares: `rise.value` at the smaller and the larger spinal share of the compliance [mmHg]; None where the runs
            give a share of their own.
        half_decay: time to half of that rise [s], over the runs that reached it; None where none did.
        half_decay_open: some of the runs ended before half of their rise was gone.
        coverage: share of the leak covered when the runs end [1], with its ends over the thresholds of what counts as
            covered, too; None where no run of the row's own patient has a leak that fits.
        volume_mL: range of the volume that the rise was integrated over.
        cut: the row's volumes reach beyond what was computed, so that the rise is of a part of them.
        coverage_cut: so is the coverage.
        assumed_volume: not reported: the range, or an end of it, is that of all reported volumes, or recalled.
        stand_in: rise and half decay are of the other patient, because no run of this one fits.
        levels: interspaces of the runs that the rise is read off, cranial first; fewer than the row states where no
            others were computed with its leak.
        approaches: of those runs, likewise.
        words: what was left out or put in its place, empty if nothing.
        runs: what the runs that it is read off recorded.
    """

    rise: Band
    at_shares: tuple[float, float] | None
    half_decay: Band | None
    half_decay_open: bool
    coverage: Band | None
    volume_mL: tuple[float, float]
    cut: bool
    coverage_cut: bool
    assumed_volume: bool
    stand_in: bool
    levels: tuple[str, ...]
    approaches: tuple[str, ...]
    words: str
    runs: tuple[Recorded, ...] = ()


def usable(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Runs that stand for a patch: one injection of blood, finished, with a rise; those without a leak of one model."""
    runs = [item for item in outcomes if is_patch(item.case) and item.state == "done"]
    runs = [item for item in runs if math.isfinite(item.number(RISE))]
    return of_one_model(item for item in runs if not item.case.leak) + [item for item in runs if item.case.leak]


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

    After dural puncture the pressure is that of runs without a leak where there are any, so that it is the mechanical
    rise alone. In spontaneous hypotension, which is a leak, it is that of runs with one where there are any, aimed as
    the row's patch was. Where no run of the row's own patient fits, the other patient stands in for the pressure. The
    coverage is always of the row's own patient.

    Args:
        row: a published row; a control is predicted to have no rise.
        rows: all rows, for the stated range.
        runs: as from `usable`.
    """
    if row.control_kind:
        nothing = Band(0.0, 0.0, 0.0)
        return Prediction(
            nothing, (0.0, 0.0), None, half_decay_open=False, coverage=None, volume_mL=(0.0, 0.0), cut=False,
            coverage_cut=False, assumed_volume=False, stand_in=False, levels=(), approaches=(), words="",
        )  # fmt: skip
    low, high = volume_range(row, rows)
    own = _own(row, runs)
    leaking = [run for run in own if run.case.leak]
    closed = [run for run in own if not run.case.leak]
    others = [run for run in runs if run.case.patient != PATIENTS.get(row.syndrome)]
    first = leaking if row.syndrome == "SIH" else closed
    pressing = _span(row, first or own, low, high)
    stand_in = isinstance(pressing, str) and bool(others)
    if stand_in:
        pressing = _span(row, [run for run in others if not run.case.leak] or others, low, high)
    if isinstance(pressing, str):
        return pressing
    decays = pressing.values(lambda run: run.number(DECAY))
    covering = _span(row, leaking, low, high, below=False)
    covered = None if isinstance(covering, str) else _covered(covering)
    words = ["injected at several sites, predicted as one site"] if row.sites_at_once == "several" else []
    words += ["predicted with another patient"] if stand_in else []
    words += pressing.words
    still_raised = np.isnan(decays)
    if still_raised.any():
        words.append("half decay not reached" + ("" if still_raised.all() else " everywhere"))
    if isinstance(covering, str):
        words += [f"leak coverage not computed: {covering}"] if any(run.case.leak for run in runs) else []
    else:
        words += [f"leak coverage: {text}" for text in covering.words if text not in pressing.words]
    rises = pressing.values(lambda run: run.number(RISE), untreated=0.0)
    rise = Band(float(rises.mean()), float(rises.min()), float(rises.max()))
    return Prediction(
        rise=rise,
        at_shares=at_shares(RISE, rise.value) if applies(run.case for run in pressing.runs) else None,
        half_decay=_band(decays),
        half_decay_open=bool(still_raised.any()),
        coverage=covered,
        volume_mL=(float(pressing.volumes[0]), float(pressing.volumes[-1])),
        cut=pressing.cut,
        coverage_cut=not isinstance(covering, str) and covering.cut,
        assumed_volume=row.volume_basis != "reported",
        stand_in=stand_in,
        levels=tuple(sorted({run.level for run in pressing.runs}, key=INTERSPACES.index)),
        approaches=tuple(sorted({run.case.injection[0].approach for run in pressing.runs})),
        words="; ".join(words),
        runs=tuple(run.recorded for run in (*pressing.runs, *([] if isinstance(covering, str) else covering.runs))),
    )


def _own(row: ReliefRow, runs: Sequence[Outcome]) -> list[Outcome]:
    """Runs of the row's patient; in spontaneous hypotension a leak is at the needle if targeted, away from it if blind.

    After dural puncture the place of the leak is known, and every patch lies within a level of it.
    """
    own = [run for run in runs if run.case.patient == PATIENTS.get(row.syndrome)]
    return [run for run in own if _aimed_alike(row, run)] if row.syndrome == "SIH" else own


def _aimed_alike(row: ReliefRow, run: Outcome) -> bool:
    at_the_needle = [leak.level == run.level for leak in run.case.leak]
    if row.targeting == "targeted":
        return all(at_the_needle)
    return row.targeting != "blind" or not any(at_the_needle)


@dataclass(frozen=True)
class _Span:
    """Runs that stand for a row, by place, and the volumes [mL] over which they are integrated: the row's, or a cut."""

    places: tuple[tuple[Outcome, ...], ...]
    volumes: NDArray[np.float64]
    cut: bool
    words: tuple[str, ...]

    @property
    def runs(self) -> list[Outcome]:
        return [run for place in self.places for run in place]

    def values(self, read: Callable[[Outcome], float], untreated: float | None = None) -> NDArray[np.float64]:
        """What is read off a run, a line per place and a column per volume; NaN next to a run that did not reach it.

        Below the smallest computed volume it goes to `untreated` at 0 mL, or stays what it is there.
        """
        return np.array([np.interp(self.volumes, *_curve(place, read, untreated)) for place in self.places])


def _span(row: ReliefRow, runs: Sequence[Outcome], low: float, high: float, below: bool = True) -> _Span | str:
    """Where the row was injected and how far that was computed, or why it cannot be told.

    Args:
        row: a published row.
        runs: those that may stand for it.
        low: smallest of its volumes [mL].
        high: largest of them [mL].
        below: whether volumes below the smallest computed one can be told.
    """
    places, words = _places(row, runs)
    if not places:
        return f"no run at {_named(row.sites)}"
    top = max(run.volume_mL for place in places for run in place)
    if low > top + TOLERANCE_ML:
        return f"{low:g} mL is more than was computed ({top:g} mL)"
    bottom = 0.0 if below else max(min(run.volume_mL for run in place) for place in places)
    if high < bottom - TOLERANCE_ML:
        return f"{high:g} mL is less than was computed ({bottom:g} mL)"
    begun, reached = max(low, bottom), min(high, top)
    # A place that was not computed so far would cut the range of all.
    far = tuple(place for place in places if max(run.volume_mL for run in place) >= reached - TOLERANCE_ML)
    words += [f"computed to {top:g} mL only"] if reached < high - TOLERANCE_ML else []
    words += [f"computed from {bottom:g} mL only"] if begun > low + TOLERANCE_ML else []
    words += [f"{len(places) - len(far)} of {len(places)} places not computed so far"] if len(far) < len(places) else []
    cut = reached - begun < high - low - TOLERANCE_ML
    return _Span(far, np.linspace(begun, reached, POINTS, dtype=np.float64), cut, tuple(words))


def _places(row: ReliefRow, runs: Sequence[Outcome]) -> tuple[list[tuple[Outcome, ...]], list[str]]:
    """Runs at the row's sites, by needle, approach and leak; those at the interspaces beside a site that has none."""
    usual = [run for run in runs if run.case.injection[0].approach in APPROACHES[row.targeting]]
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    words = []
    for site in row.sites:
        first, last = (INTERSPACES.index(end) for end in site)
        found = [run for run in usual if first <= INTERSPACES.index(run.level) <= last]
        if not found:
            found = [run for run in usual if INTERSPACES.index(run.level) in (first - 1, last + 1)]
            beside = sorted({run.level for run in found}, key=INTERSPACES.index)
            words.append(f"no run at {_named([site])}" + (f", predicted at {' and '.join(beside)}" if found else ""))
        elif first < last and len({run.level for run in found}) == 1:
            words.append(f"{_named([site])} predicted at {found[0].level} alone")
        for run in found:
            leaks = (f"{leak.level} {leak.site} {leak.side}" for leak in run.case.leak)
            groups.setdefault((run.level, run.case.injection[0].approach, *leaks), []).append(run)
    return [tuple(group) for group in groups.values()], words


def _named(sites: Iterable[tuple[str, str]]) -> str:
    return " and ".join(first if first == last else f"{first} to {last}" for first, last in sites)


def _curve(
    place: Sequence[Outcome], read: Callable[[Outcome], float], untreated: float | None
) -> tuple[list[float], list[float]]:
    """Volumes and values of one place, means over what else varies, and the value at 0 mL where it is known."""
    points: dict[float, list[float]] = {} if untreated is None else {0.0: [untreated]}
    for run in place:
        points.setdefault(run.volume_mL, []).append(read(run))
    volumes = sorted(points)
    return volumes, [sum(points[volume]) / len(points[volume]) for volume in volumes]


def _covered(span: _Span) -> Band | None:
    """Share of the leak that is covered when the runs end [1]: clot that has been washed away by then plugs nothing.

    Coverage is all or nothing in most runs, so that its mean is rather a share of places and volumes; its ends are over
    the thresholds of what counts as covered, too.
    """
    found = _band(span.values(partial(_last, COVERAGE)))
    if found is None:
        return None
    others = [_band(span.values(partial(_last, f"{COVERAGE}{suffix}"))) for suffix in THRESHOLD_BAND]
    bands = [found, *(band for band in others if band)]
    return Band(found.value, min(band.low for band in bands), max(band.high for band in bands))


def _last(name: str, run: Outcome) -> float:
    return run.last(name)


def _band(values: NDArray[np.float64]) -> Band | None:
    known = values[np.isfinite(values)]
    return Band(float(known.mean()), float(known.min()), float(known.max())) if known.size else None


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

    def rise_left_out(self, any_volume: bool = False) -> str:
        """Why the rise may not enter a rank correlation; empty where it may.

        Args:
            any_volume: a volume that is recalled or bounded counts at the middle of its prediction. One that is not
                known never counts: it says nothing of whether relief goes with the rise.
        """
        if self.prediction is None:
            return "not predicted"
        if self.prediction.stand_in:
            return "predicted with another patient"
        return self._volume_left_out(self.prediction.cut, any_volume)

    def coverage_left_out(self, any_volume: bool = False) -> str:
        """Why the leak coverage may not enter a rank correlation; empty where it may."""
        if self.prediction is None or self.prediction.coverage is None:
            return "without a computed coverage"
        return self._volume_left_out(self.prediction.coverage_cut, any_volume)

    def _volume_left_out(self, cut: bool, any_volume: bool) -> str:
        if self.row.volume_basis == "missing":
            return "without a volume"
        if any_volume:
            return ""
        if self.prediction is not None and self.prediction.assumed_volume:
            return "without a reported volume"
        return "computed for a part of its volumes only" if cut else ""


def hold(rows: Sequence[ReliefRow], runs: Sequence[Outcome]) -> list[Held]:
    """Every primary row beside its prediction."""
    made: Callable[[ReliefRow], Prediction | str] = lambda row: predict(row, rows, runs)  # noqa: E731
    held = []
    for row in primary(rows):
        found = made(row)
        held.append(Held(row, None, found) if isinstance(found, str) else Held(row, found, found.words))
    return held

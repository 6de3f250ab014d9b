"""The clinical protocols as cases: how they are known among results, and how a measurement is read off a run."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from fem.quantities import STATIC_DELAY
from studies.case import Case
from studies.inputs import end_of_injection, planned
from studies.reading import validate_case
from studies.recorded import Recorded, recorded_in
from studies.results import case_states, is_sweep, read_summary
from studies.series import TIME, read_series
from studies.values import LEVELS

DISPLACED: Final = "csf_displaced_lumbosacral_mL"
STATIC_RISE: Final = "epidural_pressure_static_rise_mmHg"
STATIC: Final = "epidural_pressure_needle_rise_mmHg"
BOLUS: Final = "epidural_pressure_bolus_rise_mmHg"
BOLUS_DELAY: Final = 180.0
"""Time after the end of a small bolus at which the pressure is looked at [s]; Thomas 1992."""
HIGUCHI_DELAY: Final = 300.0
"""Time after the end of the injection at which the images were read [s]; Higuchi 2005."""
ML: Final = 1e-6
NO_NUMBERS: Final = pd.DataFrame({TIME: [0.0], "csf_pressure_mmHg": [math.nan], DISPLACED: [math.nan]})
"""Stands for the series of a run whose files are not as it wrote them; every series has these columns."""


@dataclass(frozen=True)
class Outcome:
    """A case of a sweep with what it reached."""

    case: Case
    path: Path
    state: str
    reason: str
    summary: dict[str, object]
    series: pd.DataFrame

    @property
    def volume_mL(self) -> float:
        """Volume of all injections together [mL]."""
        return round(sum(injection.volume for injection in self.case.injection) / ML, 9)

    @property
    def level(self) -> str:
        """Interspace of the first injection."""
        return self.case.injection[0].level

    @property
    def model(self) -> tuple[object, ...]:
        """Window, anatomy and mesh: pressures and displaced CSF of another are not those of a point between volumes."""
        return self.case.anatomy.span, self.case.anatomy.table, self.case.anatomy.mesh, self.case.mesh.size

    @cached_property
    def recorded(self) -> Recorded:
        """What its run wrote down of its model and mesh."""
        return recorded_in(self.case, self.path)

    def at(self, name: str, time: float) -> float:
        """Value of a column of the series at a time [s]; NaN where the run did not get there."""
        if name not in self.series or self.series.empty:
            return math.nan
        times = self.series["time_s"].to_numpy(float)
        if time > times[-1] + 1e-6:
            return math.nan
        return float(np.interp(time, times, self.series[name].to_numpy(float)))

    def last(self, name: str) -> float:
        """Value of a column of the series at its end; NaN where there is none."""
        return math.nan if name not in self.series or self.series.empty else float(self.series[name].iloc[-1])

    def number(self, name: str) -> float:
        """Value of the summary; NaN where it has none."""
        value = self.summary.get(name)
        return float(value) if isinstance(value, int | float) else math.nan


@dataclass(frozen=True)
class Reading:
    """One prediction of a measurement, with the band over the times at which it may have been taken."""

    volume_mL: float
    value: float
    low: float
    high: float


def sweeps_in(folder: Path) -> list[Path]:
    """The folder if it is a sweep, and the sweeps directly in it."""
    found = [folder] if is_sweep(folder) else []
    if folder.is_dir():
        found += sorted(path for path in folder.iterdir() if path.is_dir() and is_sweep(path))
    return found


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Every case of the sweeps in a folder that reached at least its baseline; one that is damaged has no numbers."""
    for sweep in sweeps_in(folder):
        for state in case_states(sweep):
            series = NO_NUMBERS if state.damaged else read_series(state.path)
            if series is None or not {*NO_NUMBERS} <= {*series}:
                continue
            case = validate_case(tomllib.loads(state.entry["case"]))
            summary = {} if state.damaged else read_summary(state.path)
            yield Outcome(case, state.path, state.state, state.reason, summary, series)


def is_lumbar(case: Case) -> bool:
    """Whether every injection is at a lumbar interspace or below."""
    return all(LEVELS.index(injection.level.split("/")[0]) >= LEVELS.index("L1") for injection in case.injection)


def as_in_patients(case: Case) -> bool:
    """Lying, everything acting, and given in full: what a measurement in patients is compared with."""
    acts = case.mechanisms.pressure and case.mechanisms.plug
    return case.posture == "supine" and acts and all(step.stop_at is None for step in case.injection)


def is_higuchi(case: Case) -> bool:
    """One lumbar injection of saline in a healthy adult, followed for at least 5 min."""
    (first, *more) = case.injection
    return (
        as_in_patients(case)
        and not more
        and case.patient == "healthy"
        and first.material == "saline"
        and is_lumbar(case)
        and case.time.follow_up >= HIGUCHI_DELAY
    )


def is_pratt(case: Case) -> bool:
    """Several injections of blood at one lumbar place, pauses of at least 20 s, headache after dural puncture."""
    steps = case.injection
    if not as_in_patients(case) or len(steps) < 2 or case.patient != "pdph":
        return False
    if not is_lumbar(case) or len({step.level for step in steps}) > 1:
        return False
    pauses = [start - end for (_, end), (start, _) in itertools.pairwise(planned(case))]
    return all(step.material == "blood" for step in steps) and min(pauses) >= STATIC_DELAY - 1e-6


def is_volume_and_level(case: Case) -> bool:
    """One interlaminar injection of blood without a leak, headache after dural puncture: of the study of both."""
    alone = is_patch(case) and case.patient == "pdph" and not case.leak
    return alone and case.injection[0].approach == "interlaminar"


def of_one_model(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Those of the window, anatomy and mesh that most of them have: what may be held together and interpolated."""
    found = list(outcomes)
    counts = Counter(item.model for item in found)
    most = max(counts, key=lambda model: counts[model], default=None)
    return [item for item in found if item.model == most]


def is_patch(case: Case) -> bool:
    """One injection of blood for headache after dural puncture or for hypotension; lying, everything acting."""
    return (
        as_in_patients(case)
        and len(case.injection) == 1
        and case.injection[0].material == "blood"
        and case.patient in ("pdph", "sih")
    )


def read_higuchi(outcome: Outcome) -> Reading:
    """Displaced lumbosacral CSF 5 min after the end of the injection; the band is that from 1 to 15 min."""
    end = end_of_injection(outcome.case)
    times = outcome.series["time_s"].to_numpy(float)
    window = outcome.series[DISPLACED].to_numpy(float)[(times >= end + 60.0 - 1e-6) & (times <= end + 900.0 + 1e-6)]
    band = [
        value
        for value in (*window, outcome.at(DISPLACED, end + 60.0), outcome.at(DISPLACED, end + 900.0))
        if not math.isnan(value)
    ]
    value = outcome.at(DISPLACED, end + HIGUCHI_DELAY)
    return Reading(outcome.volume_mL, value, min(band, default=math.nan), max(band, default=math.nan))


def read_pratt(outcome: Outcome) -> list[Reading]:
    """Static rise at the needle 20 s after each step, as far as the run got."""
    readings, volume = [], 0.0
    for index, step in enumerate(outcome.case.injection):
        volume += step.volume / ML
        rise = outcome.at(STATIC, end_of_injection(outcome.case, index) + STATIC_DELAY)
        if not math.isnan(rise):
            readings.append(Reading(round(volume, 6), rise, rise, rise))
    return readings


def read_bolus(outcome: Outcome) -> float:
    """Rise at the needle 3 min after the end of a bolus [mmHg]; NaN where the run did not get there."""
    return outcome.at(STATIC, end_of_injection(outcome.case) + BOLUS_DELAY)


def merged(readings: Iterable[Reading]) -> list[Reading]:
    """One reading for each volume, by volume: the mean where something else varies, too, with the band of all."""
    groups: dict[float, list[Reading]] = {}
    for reading in sorted(readings, key=lambda item: item.volume_mL):
        groups.setdefault(reading.volume_mL, []).append(reading)
    return [
        Reading(
            volume,
            sum(item.value for item in group) / len(group),
            min(item.low for item in group),
            max(item.high for item in group),
        )
        for volume, group in groups.items()
    ]


def interpolate(readings: Iterable[Reading], volume_mL: float) -> Reading | None:
    """The reading at a volume between two that were computed; None outside of them."""
    known = merged(readings)
    if not known or not known[0].volume_mL - 1e-9 <= volume_mL <= known[-1].volume_mL + 1e-9:
        return None
    volumes = [reading.volume_mL for reading in known]
    columns = ([getattr(reading, name) for reading in known] for name in ("value", "low", "high"))
    return Reading(volume_mL, *(float(np.interp(volume_mL, volumes, column)) for column in columns))


SPREADS: Final = ("spread_segments", "spread_cranial_segments", "spread_caudal_segments")
COMPRESSION: Final = ("sac_compression_half_h", "sac_compression_gone_h")
RECOVERED: Final = {"sac_compression_half_h": 0.5, "sac_compression_gone_h": 0.9}
"""Share of the lost sac area that is back."""

HOUR: Final = 3600.0
LEAST_POINTS: Final = 3
"""Volumes that an exponent is fitted to at least."""


def read_spread(outcome: Outcome, quantity: str, threshold: str = "") -> float:
    """Segments reached to both sides together, or to one, or the ventral share; NaN where the run has none.

    Both together are those of blood, looked at later: at the end of the run, after ten minutes in the study. The others
    are those of contrast, which is screened while it goes in: at the end of the injection. The threshold of what counts
    as reached is the fixed one, or that of a suffix of `fem.quantities.THRESHOLD_BAND`.
    """
    if quantity != "spread_segments":
        return outcome.at(f"{quantity}{threshold}", end_of_injection(outcome.case))
    return sum(outcome.last(f"spread_{way}_segments{threshold}") for way in ("cranial", "caudal"))


def read_compression(outcome: Outcome, quantity: str) -> float:
    """Time [h] from the smallest sac area until a share of its loss is back; NaN where the run did not get there."""
    if "sac_area_min_ratio" not in outcome.series:
        return math.nan
    time = outcome.series["time_s"].to_numpy(float)
    lost = 1.0 - outcome.series["sac_area_min_ratio"].to_numpy(float)
    worst = int(np.argmax(lost))
    goal = (1.0 - RECOVERED[quantity]) * lost[worst]
    after = np.flatnonzero(lost[worst:] <= goal)
    if lost[worst] <= 0.0 or not len(after):
        return math.nan
    index = worst + int(after[0])
    back = float(np.interp(-goal, -lost[index - 1 : index + 1], time[index - 1 : index + 1]))
    return (back - float(time[worst])) / HOUR


def around(outcomes: Iterable[Outcome], volume_mL: float, read: Callable[[Outcome], float]) -> list[list[Outcome]]:
    """Lumbar cases that a reading at a volume lies at or between, interspace by interspace.

    Those that have no such reading do not count, nor do interspaces where none lies at both sides.
    """
    groups: dict[str, list[Outcome]] = {}
    for item in outcomes:
        if is_lumbar(item.case) and not math.isnan(read(item)):
            groups.setdefault(item.level, []).append(item)
    found = []
    for level in sorted(groups):
        below = [item.volume_mL for item in groups[level] if item.volume_mL <= volume_mL + 1e-9]
        above = [item.volume_mL for item in groups[level] if item.volume_mL >= volume_mL - 1e-9]
        if below and above:
            nearest = {max(below), min(above)}
            found.append([item for item in groups[level] if item.volume_mL in nearest])
    return found


def read_lumbar(outcomes: Iterable[Outcome], volume_mL: float, read: Callable[[Outcome], float]) -> Reading | None:
    """A reading at a volume from the lumbar cases of a study of volume and level: mean and range over interspaces."""
    values = []
    for cases in around(outcomes, volume_mL, read):
        known = [(item.volume_mL, read(item)) for item in cases]
        found = interpolate([Reading(volume, value, value, value) for volume, value in known], volume_mL)
        assert found is not None
        values.append(found.value)
    return Reading(volume_mL, sum(values) / len(values), min(values), max(values)) if values else None


def exponent(readings: list[Reading], low: float = 10.0, high: float = 30.0) -> float:
    """Growth of a reading with the volume, d ln y / d ln V [1], by least squares; NaN with fewer than three points."""
    chosen = [item for item in readings if low - 1e-9 <= item.volume_mL <= high + 1e-9 and item.value > 0]
    if len(chosen) < LEAST_POINTS:
        return math.nan
    slope, _ = np.polyfit(np.log([item.volume_mL for item in chosen]), np.log([item.value for item in chosen]), 1)
    return float(slope)

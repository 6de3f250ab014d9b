"""The clinical protocols as cases: how they are known among results, and how a measurement is read off a run."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from fem.quantities import STATIC_DELAY
from studies.case import LEVELS, Case
from studies.reading import validate_case
from studies.resolve import end_of_injection
from studies.results import case_states, is_sweep, read_summary

DISPLACED: Final = "csf_displaced_lumbosacral_mL"
STATIC: Final = "epidural_pressure_needle_rise_mmHg"
ML: Final = 1e-6


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

    def at(self, name: str, time: float) -> float:
        """Value of a column of the series at a time [s]; NaN where the run did not get there."""
        if name not in self.series or self.series.empty:
            return math.nan
        times = self.series["time_s"].to_numpy(float)
        if time > times[-1] + 1e-6:
            return math.nan
        return float(np.interp(time, times, self.series[name].to_numpy(float)))

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
    """Every case of the sweeps in a folder that reached at least its baseline."""
    for sweep in sweeps_in(folder):
        for state in case_states(sweep):
            series = _series(state.path)
            if series is None:
                continue
            case = validate_case(tomllib.loads(state.entry["case"]))
            yield Outcome(case, state.path, state.state, state.reason, read_summary(state.path), series)


def _series(path: Path) -> pd.DataFrame | None:
    try:
        frame = pd.read_csv(path / "series.csv")
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError):
        return None
    return frame if "time_s" in frame and len(frame) else None


def _lumbar(case: Case) -> bool:
    return all(LEVELS.index(injection.level.split("/")[0]) >= LEVELS.index("L1") for injection in case.injection)


def is_higuchi(case: Case) -> bool:
    """One lumbar injection of saline in a healthy adult, followed for at least 5 min."""
    (first, *more) = case.injection
    return (
        not more
        and case.patient == "healthy"
        and first.material == "saline"
        and _lumbar(case)
        and case.time.follow_up >= 300.0
    )


def is_pratt(case: Case) -> bool:
    """Several injections of blood at one lumbar place, pauses of at least 20 s, headache after dural puncture."""
    steps = case.injection
    if len(steps) < 2 or case.patient != "pdph" or not _lumbar(case) or len({step.level for step in steps}) > 1:
        return False
    pauses = [(after.start or 0.0) - end_of_injection(before) for before, after in itertools.pairwise(steps)]
    return all(step.material == "blood" for step in steps) and min(pauses) >= STATIC_DELAY - 1e-6


def is_volume_and_level(case: Case) -> bool:
    """One injection of blood, headache after dural puncture: a case of the study of volume and level."""
    return len(case.injection) == 1 and case.injection[0].material == "blood" and case.patient == "pdph"


def read_higuchi(outcome: Outcome) -> Reading:
    """Displaced lumbosacral CSF 5 min after the end of the injection; the band is that from 1 to 15 min."""
    end = end_of_injection(outcome.case.injection[-1])
    times = outcome.series["time_s"].to_numpy(float)
    window = outcome.series[DISPLACED].to_numpy(float)[(times >= end + 60.0 - 1e-6) & (times <= end + 900.0 + 1e-6)]
    band = [
        value
        for value in (*window, outcome.at(DISPLACED, end + 60.0), outcome.at(DISPLACED, end + 900.0))
        if not math.isnan(value)
    ]
    value = outcome.at(DISPLACED, end + 300.0)
    return Reading(outcome.volume_mL, value, min(band, default=math.nan), max(band, default=math.nan))


def read_pratt(outcome: Outcome) -> list[Reading]:
    """Static rise at the needle 20 s after each step, as far as the run got."""
    readings, volume = [], 0.0
    for step in outcome.case.injection:
        volume += step.volume / ML
        rise = outcome.at(STATIC, end_of_injection(step) + STATIC_DELAY)
        if not math.isnan(rise):
            readings.append(Reading(round(volume, 6), rise, rise, rise))
    return readings


def interpolate(readings: list[Reading], volume_mL: float) -> Reading | None:
    """The reading at a volume between two that were computed; None outside of them."""
    if not readings or not readings[0].volume_mL - 1e-9 <= volume_mL <= readings[-1].volume_mL + 1e-9:
        return None
    volumes = [reading.volume_mL for reading in readings]
    columns = ([getattr(reading, name) for reading in readings] for name in ("value", "low", "high"))
    return Reading(volume_mL, *(float(np.interp(volume_mL, volumes, column)) for column in columns))

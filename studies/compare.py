"""Predictions beside clinical measurements: one table, figures, one page."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd

from fem.quantities import THRESHOLD_BAND
from studies import networkband
from studies.calibrate.outcome import fitted_as_default, predicted_sd
from studies.clinical import Measurement, measurements, null_displaced, null_pressure, pratt_exponents
from studies.errors import InputError
from studies.protocols import (
    COMPRESSION,
    DISPLACED,
    SPREADS,
    STATIC_RISE,
    Outcome,
    Reading,
    around,
    exponent,
    interpolate,
    is_higuchi,
    is_pratt,
    is_volume_and_level,
    merged,
    of_one_model,
    outcomes,
    read_compression,
    read_higuchi,
    read_lumbar,
    read_pratt,
    read_spread,
    sweeps_in,
)
from studies.recorded import BETWEEN, Recorded, mesh_notes, step_notes
from studies.relief.data import relief_rows
from studies.relief.predicted import Held, hold, usable
from studies.relief.table import row_table, stratum_table
from studies.spinalshare import SHARES, applies, at_shares
from studies.values import INTERSPACES

TABLE: Final = "comparison.csv"
PAGE: Final = "comparison.html"
RELIEF_TABLE: Final = "relief.csv"
RELIEF_STRATA: Final = "relief_strata.csv"
CURVATURE: Final = "epidural_pressure_static_exponent"
NULL_EXPONENT: Final = 2.0
PRATT_PATCHES: Final = 18
"""In 17 patients."""
NOT_COMPUTED: Final = "not computed"
NO_SPREAD: Final = "spread not given"
NO_BAND: Final = (math.nan, math.nan)

Reader = Callable[[Outcome, str], float]
"""Reads a quantity off a case."""

SPREAD_READERS: Final[tuple[Reader, ...]] = (
    read_spread,
    *(partial(read_spread, threshold=suffix) for suffix in THRESHOLD_BAND),
)
"""At the fixed threshold of what counts as reached, and at those of its band."""


@dataclass(frozen=True)
class Line:
    """One prediction beside one measurement and the null model.

    Attributes:
        predicted_low, predicted_high: over the times of reading, or the runs, interspaces and thresholds that it may be
            of; NaN where there is one of each.
        predicted_sd: what the fit leaves open of the prediction; NaN where it is not known, as of spread, which counts
            whole slabs.
        predicted_at_share_032, predicted_at_share_069: the prediction at these spinal shares of the compliance, by the
            ratios of the production case; NaN where they say nothing.
        predicted_network_low, predicted_network_high: the prediction over the network's invented stiffness, likewise.
        verdict_at_shares: the verdicts there; empty where there are none.
        mesh, steps: of the runs that it is read off, with their errors; empty where it is not computed.
    """

    quantity: str
    measurement: str
    study: str
    use: str
    volume_mL: float
    predicted: float
    predicted_low: float
    predicted_high: float
    predicted_sd: float
    predicted_at_share_032: float
    predicted_at_share_069: float
    predicted_network_low: float
    predicted_network_high: float
    measured: float
    measured_sd: float
    measured_low: float
    measured_high: float
    unit: str
    n: int | None
    verdict: str
    verdict_at_shares: str
    null_model: float
    beats_null: str
    tag: str
    note: str
    mesh: str
    steps: str


@dataclass(frozen=True)
class _Source:
    """What may be told of lines, by the runs that they are read off."""

    mesh: str
    steps: str
    shares: bool
    network: bool
    fitted: bool

    @classmethod
    def of(cls, runs: Sequence[Outcome]) -> _Source:
        """Of runs."""
        cases = [item.case for item in runs]
        ran = [item.recorded for item in runs]
        mesh, steps = BETWEEN.join(mesh_notes(ran)), BETWEEN.join(step_notes(ran))
        return cls(mesh, steps, applies(cases), networkband.applies(cases), fitted_as_default(cases))


@dataclass(frozen=True)
class Comparison:
    """All that the page shows.

    Attributes:
        lines: the table.
        displaced: Higuchi's protocol, by volume.
        static: Pratt's protocol, step by step.
        study: cases of the study of volume and level.
        higuchi, pratt: what the runs of these protocols recorded.
        missing: what the folder lacks, and how it is made.
        troubles: cases that did not finish: name, state and reason.
        relief: published relief rates beside their predictions.
        plug_modelled: whether any case has a leak.
        static_banded: whether Pratt's static rises can be told at other spinal shares of the compliance.
    """

    lines: tuple[Line, ...]
    displaced: tuple[Reading, ...]
    static: tuple[Reading, ...]
    study: tuple[Outcome, ...]
    higuchi: tuple[Recorded, ...]
    pratt: tuple[Recorded, ...]
    missing: tuple[str, ...]
    troubles: tuple[tuple[str, str, str], ...]
    relief: tuple[Held, ...] = ()
    plug_modelled: bool = False
    static_banded: bool = False

    @property
    def banded(self) -> bool:
        """Whether any rise can be told at other spinal shares of the compliance."""
        alone = any(applies([item.case]) for item in self.study)
        return bool(self.static and self.static_banded) or alone

    @property
    def relief_runs(self) -> tuple[Recorded, ...]:
        """What the runs recorded that predictions of relief are read off."""
        return tuple(run for item in self.relief if item.prediction for run in item.prediction.runs)

    @property
    def runs(self) -> tuple[Recorded, ...]:
        """What all runs recorded that are held against something."""
        return (*self.higuchi, *self.pratt, *(item.recorded for item in self.study), *self.relief_runs)

    def frame(self) -> pd.DataFrame:
        """The table."""
        frame = pd.DataFrame([asdict(line) for line in self.lines], columns=list(Line.__dataclass_fields__))
        return frame.astype({"n": "Int64"})  # empty where not given, and whole numbers beside it


def gather(folder: Path) -> Comparison:
    """Predictions and measurements of a folder of sweeps.

    Raises:
        InputError: the folder holds no sweep, or none of the cases that can be compared.
    """
    allowed = "allowed is a folder of a sweep, or one that holds several"
    if not sweeps_in(folder):
        raise InputError(str(folder), "no sweep" if folder.is_dir() else "no such folder", allowed)
    found = list(outcomes(folder))
    higuchi = [item for item in found if is_higuchi(item.case) and not math.isnan(read_higuchi(item).value)]
    pratt = [item for item in found if is_pratt(item.case) and read_pratt(item)]
    displaced = merged(map(read_higuchi, higuchi))
    static = merged(reading for item in pratt for reading in read_pratt(item))
    alike = [item for item in found if is_volume_and_level(item.case)]
    study = of_one_model(alike)
    missing = [_how("displaced CSF (Higuchi 2005)", "higuchi", folder)] if not displaced else []
    missing += [_how("static epidural pressure (Pratt 2014)", "pratt", folder)] if not static else []
    missing += [_how("study of volume and level", "demo", folder)] if not study else []
    if len(missing) == 3:
        raise InputError(str(folder), "no case that has a clinical counterpart", "; ".join(missing))
    of_pratt = _Source.of(pratt)
    lines = [
        *_lines(DISPLACED, displaced, null_displaced, _Source.of(higuchi)),
        *_lines(STATIC_RISE, static, null_pressure, of_pratt),
        _curvature(static, of_pratt),
    ]
    whole = [item for item in study if item.state == "done"]  # what stopped early has not received its volume
    lines += [line for quantity in SPREADS for line in _from_study(quantity, whole, SPREAD_READERS)]
    compressed = [item for item in alike if item.state == "done"]  # a time, of whatever window and mesh
    lines += [line for quantity in COMPRESSION for line in _from_study(quantity, compressed, (read_compression,))]
    return Comparison(
        lines=tuple(lines),
        displaced=tuple(displaced),
        static=tuple(static),
        study=tuple(sorted(study, key=lambda item: (INTERSPACES.index(item.level), item.volume_mL))),
        higuchi=tuple(item.recorded for item in higuchi),
        pratt=tuple(item.recorded for item in pratt),
        missing=tuple(missing),
        troubles=tuple((_name(item), item.state, item.reason) for item in found if item.state != "done"),
        relief=tuple(hold(relief_rows(), usable(found))),
        plug_modelled=any(item.case.leak for item in found),
        static_banded=of_pratt.shares,
    )


def _name(item: Outcome) -> str:
    """Sweep and case of a run, as its folder is named, without the key."""
    return f"{item.path.parents[1].name}/{item.path.name.rpartition('-')[0]}"


def _how(what: str, name: str, folder: Path) -> str:
    return f"{what} is not in this folder: bloodpatch sweep studies/cases/{name}.toml --out {folder / name}"


def _lines(quantity: str, readings: list[Reading], null: Callable[[float], float], source: _Source) -> list[Line]:
    rows = [*measurements("calibration", quantity), *measurements("validation", quantity)]
    return [
        _line(row, interpolate(readings, row.volume_mL), null(row.volume_mL), source)
        for row in sorted(rows, key=lambda row: row.volume_mL)
    ]


def _from_study(quantity: str, study: list[Outcome], readers: Sequence[Reader]) -> list[Line]:
    """Lines of a quantity that is read off the lumbar cases of the study of volume and level; it has no null model.

    The first reader gives the prediction; the band is over interspaces and over all readers.
    """
    rows = [*measurements("calibration", quantity), *measurements("validation", quantity)]
    lines = []
    for row in rows:
        found = [read_lumbar(study, row.volume_mL, _of(read, quantity)) for read in readers]
        low = min((reading.low for reading in found if reading), default=math.nan)
        high = max((reading.high for reading in found if reading), default=math.nan)
        read = list(itertools.chain(*around(study, row.volume_mL, _of(readers[0], quantity))))
        lines.append(_line(row, found[0] and replace(found[0], low=low, high=high), math.nan, _Source.of(read)))
    return lines


def _of(read: Reader, quantity: str) -> Callable[[Outcome], float]:
    return lambda item: read(item, quantity)


def _curvature(static: list[Reading], source: _Source) -> Line:
    """How fast the static pressure grows with the volume: one figure of Pratt's one fit; the null model says 2."""
    low, high = sorted(pratt_exponents())
    predicted = exponent(static)
    middle = pratt_exponents()[0]
    computed = not math.isnan(predicted)
    return Line(
        quantity=CURVATURE,
        measurement="pratt-curvature",
        study="Pratt 2014",
        use="validation",
        volume_mL=math.nan,
        predicted=predicted,
        predicted_low=math.nan,
        predicted_high=math.nan,
        predicted_sd=predicted_sd("pratt-curvature") if computed and source.fitted else math.nan,
        predicted_at_share_032=math.nan,
        predicted_at_share_069=math.nan,
        predicted_network_low=math.nan,
        predicted_network_high=math.nan,
        measured=middle,
        measured_sd=math.nan,
        measured_low=low,
        measured_high=high,
        unit="1",
        n=PRATT_PATCHES,
        verdict=("inside" if low <= predicted <= high else "outside") if computed else NOT_COMPUTED,
        verdict_at_shares="",
        null_model=NULL_EXPONENT,
        beats_null=_closer(predicted, NULL_EXPONENT, middle) if computed else "",
        tag="derived",
        note="d ln P / d ln V between 10 and 30 mL; range: the power fit and the quadratic fit of the same data",
        mesh=source.mesh if computed else "",
        steps=source.steps if computed else "",
    )


def _closer(predicted: float, null: float, measured: float) -> str:
    return "no null model" if math.isnan(null) else "yes" if abs(predicted - measured) < abs(null - measured) else "no"


def _line(row: Measurement, reading: Reading | None, null: float, source: _Source) -> Line:
    predicted = reading.value if reading else math.nan
    low, high = (reading.low, reading.high) if reading and reading.high > reading.low else NO_BAND
    shares = at_shares(row.quantity, predicted) if source.shares else NO_BAND
    network = networkband.at_ends(row.quantity, predicted) if source.network else NO_BAND
    told = [
        f"{'inside' if row.holds(value) else 'outside'} at {share:.2f}"
        for share, value in zip(SHARES, shares, strict=True)
        if row.has_spread and not math.isnan(value)
    ]
    if reading is None:
        verdict, beats = NOT_COMPUTED, ""
    else:
        verdict = ("inside" if row.holds(predicted) else "outside") if row.has_spread else NO_SPREAD
        beats = "" if row.use == "calibration" else _closer(predicted, null, row.value)
    return Line(
        quantity=row.quantity,
        measurement=row.id,
        study=row.study,
        use=row.use,
        volume_mL=row.volume_mL,
        predicted=predicted,
        predicted_low=low,
        predicted_high=high,
        predicted_sd=predicted_sd(row.id) if reading and source.fitted and row.quantity not in SPREADS else math.nan,
        predicted_at_share_032=shares[0],
        predicted_at_share_069=shares[1],
        predicted_network_low=network[0],
        predicted_network_high=network[1],
        measured=row.value,
        measured_sd=row.sd,
        measured_low=row.low,
        measured_high=row.high,
        unit=row.unit,
        n=row.n,
        verdict=verdict,
        verdict_at_shares=", ".join(told),
        null_model=null,
        beats_null=beats,
        tag=row.tag,
        note=row.note,
        mesh=source.mesh if reading else "",
        steps=source.steps if reading else "",
    )


def compare(folder: Path) -> Path:
    """Write table, figures and page of a folder of sweeps, and give the page.

    Raises:
        InputError: the folder holds nothing to compare.
    """
    from studies.figures import draw
    from studies.page import render

    comparison = gather(folder)
    comparison.frame().to_csv(folder / TABLE, index=False, lineterminator="\n")
    row_table(comparison.relief).to_csv(folder / RELIEF_TABLE, index=False, lineterminator="\n")
    stratum_table(comparison.relief).to_csv(folder / RELIEF_STRATA, index=False, lineterminator="\n")
    figures = draw(comparison, folder / "figures")
    page = folder / PAGE
    render(comparison, figures, page)
    return page

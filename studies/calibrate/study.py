"""The study file of a calibration: common tables of its cases, the parameters that are fitted, data they look at."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StrictInt

from fem.materials import parameter_table
from fem.quantities import STATIC_DELAY
from studies.calibrate.likelihood import Beyond, Likelihood, Measured
from studies.case import Case
from studies.clinical import Measurement, measurements
from studies.errors import InputError, shown
from studies.protocols import BOLUS, BOLUS_DELAY, COMPRESSION, DISPLACED, HIGUCHI_DELAY, STATIC_RISE
from studies.quantities import dimension_of
from studies.reading import (
    Tree,
    absolute_mesh,
    parse_value,
    read_toml,
    set_key,
    split_assignment,
    validate,
    validate_case,
)
from studies.resolve import resolve
from studies.values import Section

READABLE: Final = (DISPLACED, STATIC_RISE, BOLUS, COMPRESSION[0])
"""Quantities that can be read off a run; every datum of the calibration folder has one of them."""

NORMAL_95: Final = 1.959963984540054
"""Half width of a 95 % interval of a normal distribution in standard deviations."""


class ParameterSection(Section):
    """`[[calibrate.parameter]]`: one fitted parameter, with a log-normal prior."""

    key: str = Field(description="parameter of a law, such as materials.fat.mobility")
    prior: str | None = Field(
        default=None, description="median of the prior; default the (geometric) middle of the table's range"
    )
    factor: Annotated[float, Field(gt=1.0, le=1e4)] | None = Field(
        default=None,
        description="the prior's 95 % interval is from median / factor to median * factor; default the table's range",
    )


class DataSection(Section):
    """`[[calibrate.data]]`: one datum of the calibration folder and the case that predicts it."""

    id: str = Field(description="row of studies/clinical/calibration")
    case: dict[str, Any] = Field(description="tables of the case that predicts it, on top of the study's own")


class CalibrateSection(Section):
    """`[calibrate]`: what is fitted to what."""

    parameter: list[ParameterSection] = Field(min_length=1, description="parameters that are fitted")
    data: list[DataSection] = Field(min_length=1, description="data that they look at")
    spread: Literal["mean", "patients"] = Field(
        default="patients", description="error of a datum: of the mean of the patients, or between patients"
    )
    step: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=0.1, description="step of the finite differences, in the logarithm of a parameter"
    )
    tolerance: Annotated[float, Field(gt=0.0, le=0.5)] = Field(
        default=0.1,
        description="change of every parameter at which it ends, in standard deviations of its posterior",
    )
    max_iterations: Annotated[StrictInt, Field(ge=1, le=50)] = Field(
        default=8, description="Gauss-Newton steps at most"
    )


@dataclass(frozen=True)
class Parameter:
    """A fitted parameter.

    Attributes:
        key: dotted path in the case file.
        unit: in which values are written.
        median: of the log-normal prior, in `unit` (SI).
        sigma: standard deviation of its logarithm.
        start: where the fit begins, in `unit`: the table's value.
        low, high: the table's range, in `unit`; NaN where it has none.
    """

    key: str
    unit: str
    median: float
    sigma: float
    start: float
    low: float = math.nan
    high: float = math.nan

    def outside(self, value: float) -> bool:
        """Whether a value lies outside the table's range."""
        return value < self.low or value > self.high

    def written(self, logarithm: float) -> Any:
        """The value as the case file takes it."""
        return written(math.exp(logarithm), self.unit)


def written(value: float, unit: str) -> Any:
    """A parameter's value as the case file takes it."""
    rounded = float(f"{value:.10g}")
    return rounded if unit == "1" else dimension_of(unit).format(rounded)


@dataclass(frozen=True)
class Datum:
    """A measured figure or statement, its error, and the case that predicts it.

    Attributes:
        error: standard deviation that the fit weighs it with.
        tree: of the case, without the fitted parameters.
    """

    measurement: Measurement
    error: float
    tree: Tree

    @property
    def likelihood(self) -> Likelihood:
        """What it says about its prediction."""
        row = self.measurement
        if row.sense == "measured":
            return Measured(row.value, self.error)
        return Beyond(row.value, self.error, row.sense)

    @property
    def told(self) -> str:
        """The datum in words: a figure with its error, or the limit and its side."""
        row = self.measurement
        return f"{'measured' if row.sense == 'measured' else row.sense} {row.value:.3g} ± {self.error:.2g} {row.unit}"


@dataclass(frozen=True)
class Calibration:
    """A calibration as it was asked for."""

    parameters: tuple[Parameter, ...]
    data: tuple[Datum, ...]
    section: CalibrateSection
    path: Path
    tree: Tree


def read_calibration(path: Path, settings: Sequence[str] = ()) -> Calibration:
    """The calibration of a study file.

    Raises:
        InputError: something in it cannot be used, looks at other data than the calibration's own, or has more
            parameters than independent data.
    """
    tree = read_toml(path)
    for text in settings:
        key, value = split_assignment(text, "--set")
        set_key(tree, key, parse_value(value))
    if not isinstance(tree.get("calibrate"), dict):
        raise InputError(
            str(path), "no [calibrate]", "allowed is a study file with [[calibrate.parameter]] and [[calibrate.data]]"
        )
    section = validate(CalibrateSection, tree["calibrate"], table="calibrate")
    base = {key: value for key, value in tree.items() if key != "calibrate"}
    if "sweep" in base:
        raise InputError("sweep", "a table", "a calibration has no [sweep]; allowed is [calibrate]")
    parameters = tuple(_parameter(item, f"calibrate.parameter.{i}") for i, item in enumerate(section.parameter))
    data = tuple(_datum(item, f"calibrate.data.{i}", base, section, path) for i, item in enumerate(section.data))
    _refuse_twice([item.key for item in parameters], "calibrate.parameter")
    _refuse_twice([item.measurement.id for item in data], "calibrate.data")
    independent = len({(item.measurement.study, item.measurement.quantity) for item in data})
    if len(parameters) > independent:
        raise InputError(
            "calibrate.parameter",
            f"{len(parameters)} parameters",
            f"allowed are at most as many as there are independent data, {independent}",
        )
    return Calibration(parameters, data, section, path, tree)


def _refuse_twice(names: list[str], key: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(key, f'"{name}" twice', "allowed is once")


def _parameter(item: ParameterSection, where: str) -> Parameter:
    table = parameter_table()
    name = item.key.removeprefix("materials.")
    row = table.get(name)
    if row is None or not item.key.startswith("materials."):
        raise InputError(
            f"{where}.key", shown(item.key), "allowed is a parameter of a law, such as materials.fat.mobility"
        )
    if not row.value > 0.0:
        raise InputError(
            f"{where}.key", shown(item.key), "allowed is a parameter that is positive: its logarithm is fitted"
        )
    ranged = 0.0 < row.low < row.high
    # Not the table's value: once a fit was put there it has seen the data; they would be used twice, and a second fit
    # would not give what the first gave.
    median = math.sqrt(row.low * row.high) if ranged else row.value
    if item.prior is not None:
        try:
            median = float(item.prior) if row.unit == "1" else dimension_of(row.unit).parse(item.prior)
        except ValueError as error:
            allowed = f'allowed is a value such as "{row.value:g} {row.unit}"'
            raise InputError(f"{where}.prior", shown(item.prior), allowed) from error
    if not median > 0.0:
        raise InputError(f"{where}.prior", shown(item.prior), "allowed is a positive value")
    if item.factor is not None:
        sigma = math.log(item.factor) / NORMAL_95
    elif ranged:
        sigma = math.log(row.high / row.low) / (2 * NORMAL_95)
    else:
        raise InputError(f"{where}.factor", "nothing", "needed: the table gives this parameter no range")
    return Parameter(item.key, row.unit, median, sigma, row.value, *((row.low, row.high) if ranged else ()))


def _datum(item: DataSection, where: str, base: Tree, section: CalibrateSection, path: Path) -> Datum:
    known = {row.id: row for name in READABLE for row in measurements("calibration", name)}
    row = known.get(item.id)
    if row is None:
        raise InputError(
            f"{where}.id", shown(item.id), f"allowed are calibration data only: {', '.join(sorted(known))}"
        )
    error = _error(row, section.spread)
    if not error > 0.0:
        raise InputError(f"{where}.id", shown(item.id), "its source gives no spread, so that it cannot be weighed")
    tree = merged(base, item.case)
    case = resolve(absolute_mesh(validate_case(tree, f"{where}.case"), path), None, f"{where}.case")
    _check_protocol(row, case, f"{where}.case")
    return Datum(row, error, tree)


def _error(row: Measurement, spread: Literal["mean", "patients"]) -> float:
    """Standard deviation that a datum is weighed with.

    The spread between patients can stand for the error of a model of one mean anatomy, of which nothing better is
    known; the error of the mean says that the model, which stands for their mean, has none. A statement about a limit
    comes without that spread (the row's SD is that of the resting pressure): beside the error of the mean it is as
    uncertain as its limit is large.
    """
    if spread == "mean":
        return row.sd / math.sqrt(row.n) if row.n else row.sd
    return row.sd if row.sense == "measured" else row.value


def _check_protocol(row: Measurement, case: Case, where: str) -> None:
    volume = round(sum(injection.volume for injection in case.injection) * 1e6, 6)
    if abs(volume - row.volume_mL) > 1e-6:
        raise InputError(
            f"{where}.injection", f"{volume:g} mL in all", f"{row.id} was measured at {row.volume_mL:g} mL"
        )
    materials = {injection.material for injection in case.injection}
    if materials != {row.injectate}:
        raise InputError(
            f"{where}.injection", ", ".join(sorted(materials)), f"{row.id} was measured with {row.injectate}"
        )
    needed = {DISPLACED: HIGUCHI_DELAY, STATIC_RISE: STATIC_DELAY, BOLUS: BOLUS_DELAY}.get(row.quantity, 0.0)
    if case.time.follow_up < needed:
        raise InputError(
            f"{where}.time.follow_up", f"{case.time.follow_up:g} s", f"{row.id} is read {needed:g} s after the end"
        )


def merged(base: Tree, more: Tree) -> Tree:
    """Two trees, the second on top of the first; lists are replaced."""
    tree = copy.deepcopy(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(tree.get(key), dict)
        tree[key] = merged(tree[key], value) if both else copy.deepcopy(value)
    return tree

"""Designs: which values the varied keys of a study take, case by case.

Grid, zip and list take values as they stand. Latin hypercube and Sobol sequence sample distributions; the same seed
gives the same design.
"""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, StrictInt
from pydantic_core import PydanticCustomError

from studies.errors import InputError, shown
from studies.quantities import GIGABYTES, POSITIVE_TIME, dimension_at
from studies.reading import validate
from studies.values import Section

MAX_CASES: Final = 100_000
MAX_SOBOL: Final = 2**16
SAMPLED: Final = ("lhs", "sobol")
DIGITS: Final = 8
"""Digits of a sampled value: enough to tell samples apart, few enough to be read."""

_QUANTITY: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*?)?\s*")

Scalar = str | float | int | bool


class Distribution(Section):
    """How a key is sampled: `{low = "5 mL", high = "20 mL", distribution = "uniform"}`."""

    distribution: Literal["uniform", "loguniform", "normal", "choice"] = Field(
        default="uniform", description="normal is truncated at low and high where they are given"
    )
    low: Any = Field(default=None, description="smallest value, as in the case file")
    high: Any = Field(default=None, description="largest value")
    mean: Any = Field(default=None, description="normal: mean before truncation")
    sd: Any = Field(default=None, description="normal: standard deviation before truncation")
    values: list[Any] | None = Field(default=None, description="choice: the values, equally likely")


class SlurmSection(Section):
    """`[sweep.slurm]`: what the `slurm` executor asks for, per path of cases."""

    partition: str | None = Field(default=None, description="partition; default the cluster's")
    account: str | None = Field(default=None, description="account that is charged")
    qos: str | None = Field(default=None, description="quality of service")
    memory: Annotated[float, GIGABYTES] = Field(default=GIGABYTES.parse("8 GB"), description="memory of a path")
    time: Annotated[float, POSITIVE_TIME] | None = Field(
        default=None, description="time of a job; default what the time limits of its cases add up to, 7 days at most"
    )
    parallel: Annotated[StrictInt, Field(ge=1, le=10_000)] = Field(
        default=256, description="jobs of an array at a time; --jobs replaces it"
    )


class SweepSection(Section):
    """`[sweep]`: what varies, and how."""

    mode: Literal["grid", "zip", "list", "lhs", "sobol"] = Field(
        default="grid",
        description="grid: every combination; zip: values side by side; list: the cases of [[sweep.cases]]; "
        "lhs: Latin hypercube; sobol: scrambled Sobol sequence",
    )
    vary: dict[str, Any] = Field(
        default_factory=dict,
        description="dotted keys with lists of values; sampled modes: with a distribution (low, high, distribution)",
    )
    cases: list[dict[str, Any]] = Field(
        default_factory=list, description="mode list: one table of dotted keys per case"
    )
    cross: list[dict[str, Any]] = Field(
        default_factory=list,
        description="sampled modes: tables of dotted keys, every sample is taken with each of them; "
        '"@KEY" is the value that KEY has in the sample',
    )
    samples: Annotated[StrictInt, Field(ge=1, le=MAX_CASES)] | None = Field(
        default=None, description="sampled modes: how many cases; for sobol a power of 2"
    )
    seed: Annotated[StrictInt, Field(ge=0, le=2**63 - 1)] | None = Field(
        default=None, description="sampled modes: seed; default 0"
    )
    time_limit: Annotated[float, POSITIVE_TIME] = Field(
        default=POSITIVE_TIME.parse("12 h"), description="time of computing after which a case counts as hung"
    )
    slurm: SlurmSection = Field(default_factory=SlurmSection, description="what the slurm executor asks for")


@dataclass(frozen=True)
class _Range:
    """Bounds as numbers of one unit."""

    unit: str
    numbers: Mapping[str, float]

    def text(self, number: float) -> Scalar:
        """A sampled number as the case file writes it."""
        rounded = float(f"{number:.{DIGITS}g}")
        return f"{rounded!r} {self.unit}".replace(".0 ", " ") if self.unit else rounded


def design(sweep: SweepSection) -> list[dict[str, Any]]:
    """The values of the varied keys, case by case.

    Raises:
        InputError: the section contradicts itself, or a distribution cannot be sampled.
    """
    if sweep.mode == "list":
        if not sweep.cases or sweep.vary:
            raise InputError(
                "sweep.cases",
                f"{len(sweep.cases)} cases",
                "mode list takes one [[sweep.cases]] table per case, and no [sweep.vary]",
            )
        return [dict(case) for case in sweep.cases]
    if sweep.cases:
        raise InputError(
            "sweep.cases",
            f"{len(sweep.cases)} cases",
            f'mode {sweep.mode} takes [sweep.vary]; [[sweep.cases]] belongs to mode "list"',
        )
    if not sweep.vary:
        raise InputError(
            "sweep.vary",
            "nothing",
            'allowed are dotted keys with lists, such as "injection.0.volume" = ["5 mL", "10 mL"]',
        )
    return _sampled(sweep) if sweep.mode in SAMPLED else _listed(sweep)


def _listed(sweep: SweepSection) -> list[dict[str, Any]]:
    for key, values in sweep.vary.items():
        if not isinstance(values, list) or not values:
            raise InputError(
                f'sweep.vary."{key}"',
                shown(values),
                f'mode {sweep.mode} takes a list of values, such as ["5 mL", "10 mL"]',
            )
    for name in ("samples", "seed", "cross"):
        if getattr(sweep, name) not in (None, []):
            raise InputError(f"sweep.{name}", str(getattr(sweep, name)), 'it belongs to mode "lhs" or "sobol"')
    lengths = {key: len(values) for key, values in sweep.vary.items()}
    if sweep.mode == "zip":
        if len(set(lengths.values())) > 1:
            raise InputError(
                "sweep.vary",
                ", ".join(f"{key} {length}" for key, length in lengths.items()),
                "mode zip takes lists of one length",
            )
        return [dict(zip(sweep.vary, values, strict=True)) for values in zip(*sweep.vary.values(), strict=True)]
    if math.prod(lengths.values()) > MAX_CASES:
        raise InputError("sweep.vary", f"{math.prod(lengths.values())} cases", f"allowed are at most {MAX_CASES}")
    return [dict(zip(sweep.vary, values, strict=True)) for values in itertools.product(*sweep.vary.values())]


def _sampled(sweep: SweepSection) -> list[dict[str, Any]]:
    if sweep.samples is None:
        raise InputError("sweep.samples", "nothing", f"mode {sweep.mode} needs the number of cases")
    keys = {key: _distribution(key, value) for key, value in sweep.vary.items()}
    points = _points(sweep.mode, sweep.samples, len(keys), sweep.seed or 0)
    columns = {
        key: _values(key, distribution, points[:, index]) for index, (key, distribution) in enumerate(keys.items())
    }
    samples = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if len(samples) * len(sweep.cross) > MAX_CASES:
        raise InputError("sweep.cross", f"{len(sweep.cross)} tables", f"allowed are at most {MAX_CASES} cases")
    return [sample | _crossed(sample, table) for sample in samples for table in sweep.cross or [{}]]


def _crossed(sample: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """A table of `sweep.cross` with what it takes from the sample."""
    found = dict(table)
    for key, value in table.items():
        if key in sample:
            raise InputError(f'sweep.cross."{key}"', shown(value), "it is sampled; allowed is a key that is not")
        if isinstance(value, str) and value.startswith("@"):
            if value[1:] not in sample:
                raise InputError(f'sweep.cross."{key}"', shown(value), f"allowed after @ are {', '.join(sample)}")
            found[key] = sample[value[1:]]
    return found


def _points(mode: str, samples: int, dimensions: int, seed: int) -> npt.NDArray[np.float64]:
    """Points of the open unit cube, shape (samples, dimensions)."""
    random = np.random.default_rng(seed)
    if mode == "lhs":
        strata = np.stack([random.permutation(samples) for _ in range(dimensions)], axis=1)
        points = (strata + random.random((samples, dimensions))) / samples
    else:
        if samples & (samples - 1) or samples > MAX_SOBOL:
            raise InputError(
                "sweep.samples",
                str(samples),
                f"a Sobol sequence is balanced at powers of 2 only: allowed are 1, 2, 4 ... {MAX_SOBOL}",
            )
        from scipy.stats import qmc

        # scipy 1.15 renamed the argument.
        name = "rng" if "rng" in inspect.signature(qmc.Sobol).parameters else "seed"
        engine = qmc.Sobol(dimensions, scramble=True, **{name: random})
        points = np.asarray(engine.random_base2(samples.bit_length() - 1), dtype=float)
    tiny = 2.0**-53
    clipped: npt.NDArray[np.float64] = np.clip(points, tiny, 1.0 - tiny)
    return clipped


def _distribution(key: str, value: Any) -> Distribution:
    """The distribution of a key; a list is a choice between its values."""
    here = f'sweep.vary."{key}"'
    if isinstance(value, list):
        value = {"distribution": "choice", "values": value}
    if not isinstance(value, Mapping):
        raise InputError(here, shown(value), 'a sampled mode takes {low = "5 mL", high = "20 mL"} or a list of values')
    distribution = validate(Distribution, value, table=here)
    needed: Sequence[str] = {"choice": ("values",), "normal": ("mean", "sd")}.get(
        distribution.distribution, ("low", "high")
    )
    optional = ("low", "high") if distribution.distribution == "normal" else ()
    for name in ("low", "high", "mean", "sd", "values"):
        given = getattr(distribution, name)
        if name in needed and given in (None, []):
            raise InputError(f"{here}.{name}", "nothing", f"needed for the distribution {distribution.distribution}")
        if name not in (*needed, *optional) and given is not None:
            raise InputError(
                f"{here}.{name}", shown(given), f"the distribution {distribution.distribution} does not take it"
            )
    return distribution


def _values(key: str, distribution: Distribution, points: npt.NDArray[np.float64]) -> list[Any]:
    """Values of a key at points between 0 and 1."""
    if distribution.distribution == "choice":
        values = distribution.values or []
        return [values[int(point * len(values))] for point in points]
    scale = _range(key, distribution)
    low, high = scale.numbers.get("low", -math.inf), scale.numbers.get("high", math.inf)
    here = f'sweep.vary."{key}"'
    if not low < high:
        raise InputError(f"{here}.low", shown(distribution.low), f"allowed is less than high ({distribution.high})")
    match distribution.distribution:
        case "uniform":
            numbers = low + points * (high - low)
        case "loguniform":
            if low <= 0:
                raise InputError(f"{here}.low", shown(distribution.low), "a loguniform key is above 0")
            numbers = np.exp(math.log(low) + points * (math.log(high) - math.log(low)))
        case _:
            mean, sd = scale.numbers["mean"], scale.numbers["sd"]
            if sd <= 0:
                raise InputError(f"{here}.sd", shown(distribution.sd), "allowed is a spread above 0")
            from scipy.stats import truncnorm

            numbers = np.asarray(truncnorm.ppf(points, (low - mean) / sd, (high - mean) / sd, loc=mean, scale=sd))
    if not np.isfinite(numbers).all():
        raise InputError(here, shown(dict(distribution)), "it has no values between low and high")
    return [scale.text(float(number)) for number in numbers]


def _range(key: str, distribution: Distribution) -> _Range:
    """Bounds and moments in the unit of the first of them."""
    unit: str | None = None
    numbers: dict[str, float] = {}
    for name in ("low", "high", "mean", "sd"):
        value = getattr(distribution, name)
        if value is None:
            continue
        number, own = _number(f'sweep.vary."{key}".{name}', value)
        unit = own if unit is None else unit
        numbers[name] = number if own == unit else _converted(f'sweep.vary."{key}".{name}', value, own, unit)
    return _Range(unit or "", numbers)


def _number(here: str, value: Any) -> tuple[float, str]:
    """Number and unit of a bound; a bare number has none."""
    allowed = 'allowed is a finite value as in the case file, such as "5 mL", or a number where there is no dimension'
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InputError(here, shown(value), allowed)
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, str) and (match is None or not match[2] or dimension_at(match[2]) is None):
        raise InputError(here, shown(value), allowed)
    try:
        number = float(match[1] if match else value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(here, shown(value), allowed)
    return number, match[2] if match else ""


def _converted(here: str, value: Any, unit: str, wanted: str) -> float:
    """A bound in another unit of the same kind."""
    kind = dimension_at(wanted) if wanted else None
    try:
        if kind is None or not unit:
            raise ValueError(unit)
        one = kind.parse(f"1 {wanted}")
        return kind.parse(value) / one
    except (PydanticCustomError, ValueError):
        raise InputError(here, shown(value), f"allowed is a value in {wanted or 'numbers without unit'}") from None

"""Quantities with units at the door: text such as "10 mL" in the case file, SI floats inside."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import pint
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from geometry.size import LENGTH_LIMITS

MMHG: Final = 133.322387415
"""One millimetre of mercury in pascal."""

_NUMBER = re.compile(
    r"\s*([+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|nan|inf|infinity))\s*(.*?)\s*", re.I | re.S
)
_UNIT = re.compile(r"[A-Za-zµμ°%²³·/*^()\d\s.+-]{1,40}")


@lru_cache(maxsize=1)
def registry() -> pint.UnitRegistry[Any]:
    """The unit registry; offset units (degrees Celsius) have no place in a case file."""
    return pint.UnitRegistry(autoconvert_offset_to_baseunit=False)


@lru_cache(maxsize=512)
def _factor(unit: str) -> tuple[float, str]:
    """Factor to SI base units and the dimensionality of a unit.

    Raises:
        ValueError: the text is not a unit.
    """
    if not _UNIT.fullmatch(unit):
        raise ValueError(unit)
    # An exponent beyond one digit is no unit of this world and would let pint compute for ever.
    if re.search(r"(\*\*|\^)\s*[+-]?\s*(\d{2,}|\d*\.)", unit):
        raise ValueError(unit)
    try:
        quantity = registry().Quantity(1.0, registry().parse_units(unit)).to_base_units()
    except Exception as error:  # pint raises tokenizer, attribute and syntax errors alike
        raise ValueError(unit) from error
    return float(quantity.magnitude), str(quantity.dimensionality)


@dataclass(frozen=True)
class Dimension:
    """A kind of quantity: its SI unit, the unit it is written in, an example and its bounds.

    Used as `Annotated[float, Dimension(...)]`: the model holds an SI float, the file holds text with a unit.

    Args:
        name: what it is, for messages ("a volume").
        unit: unit in which it is written back.
        example: a value a user could type.
        low: smallest value, in `unit`; `above` makes it exclusive.
        high: largest value, in `unit`.
    """

    name: str
    unit: str
    example: str
    low: float | None = None
    high: float | None = None
    above: float | None = None

    @property
    def allowed(self) -> str:
        """What is accepted, in words."""
        if self.low is not None and self.high is not None:
            bounds = f", {self.low:g} to {self.high:g} {self.unit}"
        elif self.low is not None:
            bounds = f", at least {self.low:g} {self.unit}"
        elif self.above is not None and self.high is not None:
            bounds = f", above {self.above:g} and up to {self.high:g} {self.unit}"
        elif self.above is not None:
            bounds = f", above {self.above:g} {self.unit}"
        else:
            bounds = ""
        return f'{self.name} with its unit, such as "{self.example}"{bounds}'

    def parse(self, value: object) -> float:
        """SI value of `value`.

        Raises:
            PydanticCustomError: no text, no unit, another dimension, not finite or out of bounds.
        """
        if not isinstance(value, str):
            raise _wrong(f"{self.allowed} (a bare number has no unit)" if _is_number(value) else self.allowed)
        match = _NUMBER.fullmatch(value)
        if match is None:
            raise _wrong(self.allowed)
        number, unit = float(match[1]), match[2]
        if not unit:
            raise _wrong(f"{self.allowed} (the unit is missing)")
        try:
            factor, dimensionality = _factor(unit)
        except ValueError:
            raise _wrong(f"{self.allowed} (the unit is not known)") from None
        if dimensionality != _factor(self.unit)[1]:
            raise _wrong(f"{self.allowed} (the unit is of another kind)")
        if not math.isfinite(number) or not math.isfinite(number * factor):
            raise _wrong(f"{self.allowed} (it must be finite)")
        si = _rounded(number * factor)
        written = si / _factor(self.unit)[0]
        slack = 1e-12 * max(abs(written), 1.0)
        if (
            (self.low is not None and written < self.low - slack)
            or (self.high is not None and written > self.high + slack)
            or (self.above is not None and written <= self.above)
        ):
            raise _wrong(self.allowed)
        return si

    def format(self, si: float) -> str:
        """The shortest text that `parse` turns back into exactly `si`."""
        factor = _factor(self.unit)[0]
        for digits in range(1, 18):
            number = repr(float(f"{si / factor:.{digits}g}")).removesuffix(".0")
            if _rounded(float(number) * factor) == si:
                return f"{number} {self.unit}"
        return f"{si!r} {_si_unit(self.unit)}"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.format, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "description": self.allowed, "examples": [self.example], "x-unit": self.unit}


@lru_cache(maxsize=64)
def _si_unit(unit: str) -> str:
    """SI base unit, spelt so that `parse` reads it back."""
    quantity = registry().Quantity(1.0, registry().parse_units(unit)).to_base_units()
    return f"{quantity.units:~C}"


def _rounded(value: float) -> float:
    """The value to 14 digits, so that "10 mL" and "0.01 L" are the same volume."""
    return float(f"{value:.13e}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(allowed: str) -> PydanticCustomError:
    return PydanticCustomError("quantity", "{allowed}", {"allowed": f"allowed is {allowed}"})


@lru_cache(maxsize=64)
def dimension_of(unit: str) -> Dimension:
    """A quantity of any kind that is written in `unit`."""
    return Dimension("a quantity", unit, f"1 {unit}")


def dimension_at(unit: str) -> Dimension | None:
    """The quantity that is written in `unit`; None where the text is no unit."""
    try:
        _factor(unit)
    except ValueError:
        return None
    return dimension_of(unit)


VOLUME = Dimension("a volume", "mL", "10 mL", low=0, high=150)
RATE = Dimension("a volume rate", "mL/min", "20 mL/min", above=0, high=1000)
PRESSURE = Dimension("a pressure", "mmHg", "4.4 mmHg", low=-50, high=200)
POSITIVE_VOLUME = Dimension("a volume", "mL", "25.9 mL", above=0, high=1000)
RESISTANCE = Dimension("an outflow resistance", "mmHg/(mL/min)", "8.6 mmHg/(mL/min)", low=1e-3, high=1000)
"""Below a ten-thousandth of the normal one absorption is a difference of pressures that differ by round-off."""
FORMATION = Dimension("a volume rate", "mL/min", "0.3 mL/min", low=0, high=10)
TIME = Dimension("a time", "s", "30 s", low=0, high=7 * 86400)
POSITIVE_TIME = Dimension("a time", "s", "10 min", above=0, high=7 * 86400)
OFFSET = Dimension("a length", "mm", "2 mm", low=-30, high=30)
LENGTH = Dimension("a length", "mm", "13 mm", above=0, high=500)
MESH_LENGTH = Dimension("a length", "mm", "3 mm", low=1e3 * LENGTH_LIMITS[0], high=1e3 * LENGTH_LIMITS[1])
SOURCE_RADIUS = Dimension("a radius", "mm", "4 mm", low=1, high=15)
FOLDING_STIFFNESS = Dimension("a second-gradient stiffness", "mN", "0.03 mN", low=0, high=10)
AREA = Dimension("an area", "mm^2", "250 mm^2", above=0, high=5000)
CONDUCTANCE = Dimension("a conductance", "mL/(min mmHg)", "0.5 mL/(min mmHg)", low=1e-9, high=1000)
"""From a millionth of the smallest hole's, 34 gauge (0.0017), to more than the largest formation sustains (10 mL/min at
a drop of 0.0133 mmHg, `fem.regulation.OPENING_DROP`: 750)."""
GIGABYTES = Dimension("a memory", "GB", "8 GB", above=0, high=10_000)
STOP_PRESSURE = Dimension("a pressure", "mmHg", "30 mmHg", above=0)

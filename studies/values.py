"""What the tables of a case file are made of: their base, and values that are no quantities.

Levels, interspaces, gauges, sizes of a mesh, numbers without unit. Quantities with units are in `studies.quantities`.
"""

from __future__ import annotations

import difflib
import itertools
from pathlib import PurePath
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from fem.tolerance import limits
from studies.quantities import MESH_LENGTH, STOP_PRESSURE

LEVELS: Final = (
    *(f"C{i}" for i in range(2, 8)),
    *(f"T{i}" for i in range(1, 13)),
    *(f"L{i}" for i in range(1, 6)),
    "S1",
    "S2",
)
INTERSPACES: Final = tuple(f"{above}/{below}" for above, below in itertools.pairwise(LEVELS))
MESH_SIZES: Final = ("draft", "default", "fine")
TWO_LEVELS: Final = 'two levels from cranial to caudal, such as ["T10", "S2"]'


def refuse(text: str) -> PydanticCustomError:
    """The error that says what is allowed."""
    return PydanticCustomError("allowed", "{allowed}", {"allowed": f"allowed is {text}"})


def nearest(value: object, known: tuple[str, ...], what: str) -> str:
    """The value, if it is one of the known.

    Raises:
        PydanticCustomError: it is not; names what is allowed and the nearest one.
    """
    if not isinstance(value, str):
        raise refuse(what)
    if value in known:
        return value
    near = difflib.get_close_matches(value.upper(), known, n=1, cutoff=0.4)
    raise refuse(f"{what}{f'; the nearest is {chr(34)}{near[0]}{chr(34)}' if near else ''}")


def _interspace(value: object) -> str:
    return nearest(value, INTERSPACES, f'an interspace from "{INTERSPACES[0]}" to "{INTERSPACES[-1]}", such as "L3/L4"')


def _level(value: object) -> str:
    return nearest(value, LEVELS, f'a level from "{LEVELS[0]}" to "{LEVELS[-1]}", such as "T10"')


def number(low: float, high: float, what: str = "a number") -> BeforeValidator:
    """Validator of a dimensionless number between two bounds."""

    def check(value: object) -> float:
        # Bounds are finite, so what is not falls outside; a whole number may be too large to become a float.
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise refuse(f"{what} without unit from {low:g} to {high:g}")
        return float(value)

    return BeforeValidator(check, json_schema_input_type=float)


def _span(value: object) -> object:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise refuse(TWO_LEVELS)
    return tuple(value)


def _ordered(value: tuple[str, str]) -> tuple[str, str]:
    if LEVELS.index(value[0]) > LEVELS.index(value[1]):
        raise refuse(TWO_LEVELS)
    return value


def _mesh_size(value: object) -> str:
    """A named size, or a length kept as text with its unit."""
    if isinstance(value, str) and value in MESH_SIZES:
        return value
    try:
        return MESH_LENGTH.format(MESH_LENGTH.parse(value))
    except PydanticCustomError:
        raise refuse(f'"draft", "default", "fine", or {MESH_LENGTH.allowed}') from None


def _file(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value or not PurePath(value).suffix:
        raise refuse('the name of a mesh file, such as "spine.msh"')
    return value


def _gauge(value: object) -> str:
    if (
        isinstance(value, str)
        and value.removesuffix("G").strip().isdecimal()
        and 10 <= int(value.removesuffix("G")) <= 34
    ):
        return f"{int(value.removesuffix('G'))} G"
    raise refuse('the gauge of a needle, such as "22 G", 10 G to 34 G')


def _stop(value: object) -> str:
    """A limit of tolerance by name, or a needle pressure kept as text with its unit."""
    if isinstance(value, str) and value in limits():
        return value
    try:
        return STOP_PRESSURE.format(STOP_PRESSURE.parse(value))
    except PydanticCustomError:
        names = ", ".join(f'"{name}"' for name in limits())
        raise refuse(f'a pressure above 0 mmHg with its unit, such as "30 mmHg", or one of {names}') from None


Interspace = Annotated[str, BeforeValidator(_interspace)]
Level = Annotated[str, BeforeValidator(_level)]
Span = Annotated[tuple[Level, Level], BeforeValidator(_span), AfterValidator(_ordered)]
Gauge = Annotated[str, BeforeValidator(_gauge)]
Stop = Annotated[str, BeforeValidator(_stop)]
MeshSize = Annotated[str, BeforeValidator(_mesh_size)]
MeshFile = Annotated[str, BeforeValidator(_file)]
Share = Annotated[float, number(0.01, 0.99)]


class Section(BaseModel):
    """A table of the case file: frozen, and an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

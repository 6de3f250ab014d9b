"""The committed outcome of the calibration, as pages tell it: posterior against prior, and what the defaults are."""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Final

import fem
from fem.materials import parameter_table
from studies.case import Case
from studies.inputs import material_values
from studies.provenance import of_version

OUTCOME: Final = Path(__file__).parents[1] / "data" / "calibration.csv"
"""`calibration.csv` of the calibration that the defaults were taken from."""

STUDY: Final = Path(__file__).parent / "default.toml"
"""The study that it is the outcome of."""

ROUNDED: Final = 0.05
"""A default that differs from the posterior by more than this share is not its rounding."""

UNCERTAINTY: Final = Path(__file__).parents[1] / "data" / "uncertainty.csv"
"""`uncertainty.csv` of `bloodpatch uncertainty` for the defaults; without it no prediction has a standard deviation."""


MODE: Final = "mode "
"""Columns of `uncertainty.csv` that begin with it hold the posterior's mode, by key [SI]."""


@cache
def _uncertainty() -> tuple[dict[str, float], frozenset[str]]:
    """Standard deviation of predictions by measurement, and the versions of the model that had them.

    Nothing where they are about other values of the fitted parameters than the defaults.
    """
    rows = [row for row in _rows(UNCERTAINTY) if _about_defaults(row)]
    found = {row["measurement"]: float(row["sd"]) for row in rows if row["sd"]}
    return found, frozenset(row["model_version"] for row in rows)


def _about_defaults(row: dict[str, str]) -> bool:
    modes = {key.removeprefix(MODE): float(value) for key, value in row.items() if key.startswith(MODE)}
    values = {key: parameter_table()[key.removeprefix("materials.")].value for key in modes}
    return bool(modes) and all(abs(values[key] / mode - 1) <= ROUNDED for key, mode in modes.items())


def predicted_sd(measurement: str) -> float:
    """Standard deviation that the fit leaves to a prediction of the defaults, in its unit; NaN where not known."""
    return _uncertainty()[0].get(measurement, math.nan)


def uncertainty_note(ran: Collection[str]) -> str:
    """Words that tell deviations of another version of the model from those of the runs."""
    return "".join(of_version(measured, ran) for measured in sorted(_uncertainty()[1]))


def _rows(path: Path) -> list[dict[str, str]]:
    """The table of an outcome; empty where none is there."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def fitted_version(path: Path = OUTCOME) -> str:
    """Version of the model that was fitted, as the table says."""
    found = {row.get("model_version") or "not recorded" for row in _rows(path)}
    return " and ".join(sorted(found, key=lambda version: (len(version), version))) or "not recorded"  # 7 before 10


def fitted_as_default(cases: Iterable[Case], path: Path = OUTCOME) -> bool:
    """Whether all cases have the fitted parameters at their defaults, about which the fit's uncertainty speaks."""
    names, table = _fitted(path), parameter_table()
    return bool(names) and all(
        math.isclose(material_values(case).get(name, table[name].value), table[name].value, rel_tol=1e-9)
        for case in cases
        for name in names
    )


def outcome_lines(path: Path = OUTCOME) -> list[str]:
    """A line per fitted parameter; one that says so where no outcome is there."""
    rows = _rows(path)
    if not rows:
        return ["No outcome of a calibration is committed: how well the data fix these parameters is not known."]
    return [_line(row) for row in rows]


def _line(row: dict[str, str]) -> str:
    def ranged(name: str) -> str:
        value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
        return f"{value:.2g} ({low:.2g} to {high:.2g})"

    value, default = float(row["posterior"]), parameter_table()[row["key"].removeprefix("materials.")].value
    name = row["key"].removeprefix("materials.")
    said = f"{name}: posterior {ranged('posterior')} {row['unit']}, prior {ranged('prior')}"
    said += f", width {float(row['width_ratio']):.2f} of the prior's (95 % intervals)"
    if row["within_range"] != "yes":
        said += f"; outside its tabulated range, {float(row['range_low']):g} to {float(row['range_high']):g}"
    if abs(default / value - 1) > ROUNDED:
        said += f"; the default is {default:g}, not the fitted value"
    return f"{said}."


def _fitted(path: Path) -> list[str]:
    """Parameters that the fit is about."""
    return [row["key"].removeprefix("materials.") for row in _rows(path)]


def by_hand(path: Path = OUTCOME) -> list[str]:
    """Calibrated parameters that are not the outcome of a fit."""
    fitted = _fitted(path)
    return [key for key, row in parameter_table().items() if row.tag == "calibrated" and key not in fitted]


def by_hand_lines(path: Path = OUTCOME) -> list[str]:
    """A line per parameter that was chosen by hand: value, range, on what."""
    rows = [parameter_table()[key] for key in by_hand(path)]
    return [f"{row.key}: {row.value:g} {row.unit}, range {row.low:g} to {row.high:g}: {row.source}." for row in rows]


def calibrated_words(path: Path = OUTCOME) -> str:
    """Names of the calibrated parameters: those of the fit, and those by hand."""
    hand = by_hand(path)
    fitted = [row.key for row in parameter_table().values() if row.tag == "calibrated" and row.key not in hand]
    return (
        f"Fitted by bloodpatch calibrate: {', '.join(fitted) or 'none'}. Chosen by hand: {', '.join(hand) or 'none'}."
    )


@cache
def fitted_on() -> frozenset[str]:
    """Rows of the calibration data that the fit looked at; the others are for what is chosen by hand."""
    return frozenset(item["id"] for item in tomllib.loads(STUDY.read_text(encoding="utf-8"))["calibrate"]["data"])


def outcome_heading(path: Path = OUTCOME) -> str:
    """What the lines of the outcome stand under: the version of the model that was fitted."""
    fitted = fitted_version(path)
    now = "" if fitted == fem.MODEL_VERSION else f" (this is {fem.MODEL_VERSION}; it was not fitted again)"
    return f"What the fit found, with model version {fitted}{now}"

"""The committed outcome of the calibration, as pages tell it: posterior against prior, and what the defaults are."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

from fem.parameters import parameter_table

OUTCOME: Final = Path(__file__).parents[1] / "data" / "calibration.csv"
"""`calibration.csv` of the calibration that the defaults were taken from."""

ROUNDED: Final = 0.05
"""A default that differs from the posterior by more than this share is not its rounding."""


def outcome_lines(path: Path = OUTCOME) -> list[str]:
    """A line per fitted parameter; one that says so where no outcome is there."""
    if not path.is_file():
        return ["No outcome of a calibration is committed: how well the data fix these parameters is not known."]
    with path.open(newline="", encoding="utf-8") as stream:
        return [_line(row) for row in csv.DictReader(stream)]


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

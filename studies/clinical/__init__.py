"""Clinical data: rows to calibrate on and rows to be held against, kept in different folders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

FOLDER = Path(__file__).parent

NULL_FRACTION = 0.44
"""Null model of the displaced CSF: this share of whatever is injected; Higuchi 2005, 10 mL."""


@dataclass(frozen=True)
class Measurement:
    """One measured figure.

    Attributes:
        use: folder it comes from; parameters may be chosen by `calibration` only.
        n: patients; None where not given.
        sd: standard deviation between patients, or of a fit's residuals where the note says so; NaN where not given.
        stated_low, stated_high: range of the source; NaN where not given.
        sense: whether the value was measured, or the source says only that the true one lies below or above it.
    """

    id: str
    use: Literal["calibration", "validation"]
    study: str
    doi: str
    n: int | None
    population: str
    injectate: str
    volume_mL: float
    quantity: str
    unit: str
    value: float
    sd: float
    tag: str
    note: str
    stated_low: float = math.nan
    stated_high: float = math.nan
    sense: Literal["measured", "below", "above"] = "measured"

    @property
    def has_spread(self) -> bool:
        """Whether anything is known of the spread between patients."""
        return not math.isnan(self.low) and not math.isnan(self.high)

    @property
    def low(self) -> float:
        """Lower end of one standard deviation, not negative, or of the stated range; NaN where neither is given."""
        return self.stated_low if math.isnan(self.sd) else max(self.value - self.sd, 0.0)

    @property
    def high(self) -> float:
        """Upper end of one standard deviation or of the stated range; NaN where neither is given."""
        return self.stated_high if math.isnan(self.sd) else self.value + self.sd

    def holds(self, predicted: float) -> bool:
        """Whether a prediction lies within one standard deviation, or within the stated range."""
        return self.low <= predicted <= self.high


def measurements(use: Literal["calibration", "validation"], quantity: str) -> list[Measurement]:
    """Measured figures of a quantity from one of the two folders, smallest volume first."""
    found: list[Measurement] = []
    for path in sorted((FOLDER / use).glob("*.csv")):
        frame = pd.read_csv(path, keep_default_na=False)
        if "quantity" not in frame.columns:
            continue
        for row in frame[frame["quantity"] == quantity].to_dict("records"):
            found.append(
                Measurement(
                    id=str(row["id"]),
                    use=use,
                    study=str(row["study"]),
                    doi=str(row["doi"]),
                    n=int(row["n"]) if row["n"] else None,
                    population=str(row["population"]),
                    injectate=str(row["injectate"]),
                    volume_mL=float(row["volume_mL"]),
                    quantity=quantity,
                    unit=str(row["unit"]),
                    value=float(row["value"]),
                    sd=_number(row["sd"]),
                    tag=str(row["tag"]),
                    note=str(row["note"]),
                    stated_low=_number(row["low"]),
                    stated_high=_number(row["high"]),
                    sense=row.get("sense", "measured"),
                )
            )
    return sorted(found, key=lambda row: row.volume_mL)


def _number(text: object) -> float:
    return float(str(text)) if str(text).strip() else math.nan


def pratt_exponents() -> tuple[float, float]:
    """Growth of Pratt's pressure, d ln P / d ln V [1], between 10 and 30 mL: power fit, quadratic fit."""
    low, high = 10.0, 30.0
    quadratic = math.log(pratt(high) / pratt(low)) / math.log(high / low)
    return math.log(pratt(high, "power") / pratt(low, "power")) / math.log(high / low), quadratic


def pratt(volume_mL: float, form: Literal["quadratic", "power"] = "quadratic") -> float:
    """Static epidural pressure [mmHg] of Pratt's fit (2014) at a volume [mL]; it holds from 6 to 38 mL."""
    curves = pd.read_csv(FOLDER / "validation" / "curves.csv").set_index("id")
    a, b = (float(curves[name][f"pratt-{form}"]) for name in ("a", "b"))
    return a * volume_mL**2 + b * volume_mL if form == "quadratic" else float(a * volume_mL**b)


def null_displaced(volume_mL: float) -> float:
    """Displaced CSF [mL] of the null model: a constant share of the volume."""
    return NULL_FRACTION * volume_mL


def null_pressure(volume_mL: float) -> float:
    """Static rise [mmHg] of the null model: grows with the square of the volume through the calibration point."""
    (point,) = measurements("calibration", "epidural_pressure_static_rise_mmHg")
    return point.value * (volume_mL / point.volume_mL) ** 2

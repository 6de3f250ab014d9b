"""What the invented stiffness of the subarachnoid network may change, from the production case's own study.

The study changes it in one case, 20 mL of blood at L3/L4; its ratios are carried over to other cases, which is an
estimate and said so.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Final

from fem.materials import parameter_table
from studies.case import Case
from studies.inputs import material_values
from studies.provenance import of_version

TABLE: Final = Path(__file__).parent / "data" / "network_band.csv"
STIFFNESS: Final = "network.youngs_modulus"


@cache
def rows() -> dict[str, dict[str, str]]:
    """Rows that ``bloodpatch verify production`` wrote, by quantity."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return {row["quantity"]: row for row in csv.DictReader(stream)}


def stiffnesses(cases: Iterable[Case]) -> list[float]:
    """Young's moduli of the cases' networks [Pa], each once, by size."""
    usual = parameter_table()[STIFFNESS].value
    return sorted({material_values(case).get(STIFFNESS, usual) for case in cases})


def applies(cases: Iterable[Case]) -> bool:
    """Whether the band is meant for all of the cases: it is relative to the default."""
    return stiffnesses(cases) == [parameter_table()[STIFFNESS].value]


def at_ends(quantity: str, value: float) -> tuple[float, float]:
    """Smallest and largest prediction over the band; NaN where the study does not tell."""
    row = rows().get(quantity)
    return (math.nan, math.nan) if row is None else (value * float(row["ratio_low"]), value * float(row["ratio_high"]))


def change(quantity: str) -> str:
    """The band as changes in per cent; empty where the study does not tell."""
    row = rows().get(quantity)
    return "" if row is None else f"{_percent(row['ratio_low'])} to {_percent(row['ratio_high'])} %"


def settings() -> str:
    """Softest and stiffest setting of the study; empty where there is none."""
    return next((f"{row['softest']} to {row['stiffest']}" for row in rows().values()), "")


def version_note(ran: Collection[str]) -> str:
    """Words that tell a band of another version of the model from one of the runs'."""
    return "".join(sorted({of_version(row["model_version"], ran) for row in rows().values()}))


def _percent(ratio: str) -> str:
    change = round(100 * (float(ratio) - 1), 1)
    return f"{change:+.1f}" if change else "0"

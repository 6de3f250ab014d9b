"""What the predicted rises would be at other spinal shares of the compliance, from the production case's own study.

The share that the model measures in its window is small, a twentieth from T10 to S2 and a tenth of the whole canal; the
literature has .32 (supine) to .69. The study changes it in one case, 20 mL of blood at L3/L4 in the smaller window; its
ratios are carried over to other volumes, windows and patients, which is an estimate and said so.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Final

from studies.case import Case
from studies.provenance import of_version

TABLE: Final = Path(__file__).parent / "data" / "spinal_share.csv"
SHARES: Final = (0.32, 0.69)
"""Between which headline rises are stated [1]."""

QUANTITIES: Final = ("csf_pressure_rise_mmHg", "epidural_pressure_static_rise_mmHg")
"""Headline rises, for which the band is stated."""

SOURCE: Final = (
    "ratio to the case as it is, measured in one case (20 mL of blood at L3/L4, results/production), carried over"
)


@cache
def ratios() -> dict[str, tuple[float, float]]:
    """Value at the smaller and the larger share over that of the case as it is [1], by quantity.

    Written by ``bloodpatch verify production``.
    """
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return {row["quantity"]: (float(row["ratio_0.32"]), float(row["ratio_0.69"])) for row in csv.DictReader(stream)}


def source(ran: Collection[str]) -> str:
    """Where the ratios come from; `ran` are the versions of the model of the runs that they are carried over to."""
    return SOURCE + version_note(ran)


def version_note(ran: Collection[str]) -> str:
    """Words that tell ratios of another version of the model from those of the runs."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return "".join(sorted({of_version(row["model_version"], ran) for row in csv.DictReader(stream)}))


def at_shares(quantity: str, value: float) -> tuple[float, float]:
    """A predicted rise at the smaller and the larger share; NaN where the study does not tell."""
    low, high = ratios().get(quantity, (math.nan, math.nan))
    return value * low, value * high


def applies(cases: Iterable[Case]) -> bool:
    """Whether the ratios are meant for all of the cases: none gives a share of its own."""
    return all(case.csf.spinal_share is None for case in cases)

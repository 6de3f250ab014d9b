"""What roots and cord tolerate: the volume at which each published limit is first reached along an injection.

Limits are the rows of ``fem/data/tolerance.csv``. Most come from animals or cadavers; none decides about a patient.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from fem.arrays import Array

TABLE = Path(__file__).parent / "data" / "tolerance.csv"


@dataclass(frozen=True)
class Limit:
    """A published limit.

    Attributes:
        name: short, as in ``tolerance_<name>_volume_mL``.
        quantity: column of the series that it is about.
        value: in that column's unit.
        falling: whether it is reached from above.
        what: in words.
        source, tag: where it comes from and how far it can be trusted.
    """

    name: str
    quantity: str
    value: float
    falling: bool
    what: str
    source: str
    tag: str

    @property
    def output(self) -> str:
        """Name of the volume at which it is reached."""
        return f"tolerance_{self.name}_volume_mL"


@cache
def limits() -> Mapping[str, Limit]:
    """All limits by name."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return {
            row["limit"]: Limit(
                row["limit"],
                row["quantity"],
                float(row["value"]),
                row["falling"] == "1",
                row["what"],
                row["source"],
                row["tag"],
            )
            for row in csv.DictReader(stream)
        }


def tolerated_volumes(column: Mapping[str, Array]) -> dict[str, float]:
    """Volume injected [mL] when each limit is first reached; NaN where it is not.

    Args:
        column: of the series by name, with ``injected_mL``.
    """
    volume, found = column["injected_mL"], {}
    for limit in limits().values():
        values = column.get(limit.quantity)
        if values is None:
            found[limit.output] = float("nan")
            continue
        excess = (limit.value - values) * (1.0 if limit.falling else -1.0)
        beyond = np.flatnonzero(excess >= 0)
        if len(beyond) == 0:
            found[limit.output] = float("nan")
            continue
        k = int(beyond[0])
        share = 1.0 if k == 0 or excess[k] == excess[k - 1] else -excess[k - 1] / (excess[k] - excess[k - 1])
        found[limit.output] = float(volume[k] if k == 0 else volume[k - 1] + share * (volume[k] - volume[k - 1]))
    return found

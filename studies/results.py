"""The table of a sweep and its series."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from studies.files import replacing
from studies.ladder import LADDER
from studies.series import write_series
from studies.standing import (
    RUNS,
    CaseState,
    case_states,
    counts,
    is_run,
    is_sweep,
    last_time,
    read_plan,
    read_summary,
)
from studies.study import numeric_column

__all__ = [
    "CaseState",
    "case_states",
    "collect",
    "counts",
    "is_run",
    "is_sweep",
    "last_time",
    "read_plan",
    "read_summary",
    "shortfall",
    "table",
    "with_numbers",
]

TABLE: Final = "results.csv"
PARQUET: Final = "results.parquet"
_NAMED: Final = ("case", "folder", "state", "reason", "retry_rung", "shared_path")


def with_numbers(varied: Mapping[str, Any]) -> dict[str, Any]:
    """Varied keys as columns: the text of the case file and, of a quantity, its number with the unit in the name."""
    row: dict[str, Any] = {}
    for key, value in varied.items():
        row[key] = value if isinstance(value, str | int | float | bool) else json.dumps(value)
        column = numeric_column(key, value)
        if column is not None:
            row[column[0]] = column[1]
    return row


def table(folder: Path) -> pd.DataFrame:
    """One row per case: varied keys, state, reason, rung of the ladder, shared path, and the names of the summary."""
    return _table(case_states(folder))


def _table(states: list[CaseState]) -> pd.DataFrame:
    sizes = Counter(case.group for case in states)
    varied: dict[str, None] = {}
    rows = []
    for case in states:
        keys = with_numbers(case.entry["varied"])
        varied.update(dict.fromkeys(keys))
        row = {"case": case.name, "folder": f"{RUNS}/{case.entry['folder']}", **keys}
        row |= {
            "state": case.state,
            "reason": case.reason,
            "retry_rung": LADDER[case.status.rung].name if case.status else "",
            "shared_path": case.group if sizes[case.group] > 1 else "",
        }
        rows.append(row | (read_summary(case.path) if case.status else {}))
    frame = pd.DataFrame(rows)
    first = [*_NAMED[:2], *varied]
    middle = list(_NAMED[2:])
    rest = [name for name in frame.columns if name not in first and name not in middle]
    return frame[[*first, *middle, *rest]]


def shortfall(frame: pd.DataFrame) -> str:
    """One line that says how many cases have no result, and in which corner of the design; empty where all have.

    Args:
        frame: the table of a sweep.
    """
    without = frame[frame["state"] != "done"]
    if without.empty:
        return ""
    states = ", ".join(f"{number} {state}" for state, number in without["state"].value_counts().items())
    varied = [name for name in frame.columns[2 : list(frame.columns).index("state")] if frame[name].nunique() > 1]
    corner = [
        f"{name} = {without[name].iloc[0]}"
        for name in varied
        if without[name].nunique() == 1 and not any(name.startswith(f"{other}_") for other in varied)
    ]
    where = f"; all of them at {', '.join(corner)}" if corner and len(without) > 1 else ""
    reasons = without["reason"][without["reason"] != ""]
    why = f"; the first: {reasons.iloc[0]}" if len(reasons) else ""
    return f"{len(without)} of {len(frame)} cases have no result ({states}){where}{why}"


def collect(folder: Path) -> pd.DataFrame:
    """Write `results.csv`, `results.parquet` and `series.nc` from whatever has finished, and give the table."""
    states = case_states(folder)
    frame = _table(states)
    with replacing(folder / TABLE) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
    with replacing(folder / PARQUET) as temporary:
        frame.to_parquet(temporary, index=False)
    write_series(folder, states)
    return frame

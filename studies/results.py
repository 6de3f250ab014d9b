"""Where a sweep stands, and its table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from studies.errors import InputError
from studies.runfolder import CASE, SUMMARY, Status, read_status
from studies.study import numeric_column
from studies.worker import PLAN

TABLE: Final = "results.csv"
STATES: Final = ("done", "failed", "invalid", "interrupted", "started", "waiting")
_NAMED: Final = ("case", "folder", "state", "reason", "shared_path")


@dataclass(frozen=True)
class CaseState:
    """State of one case of a sweep."""

    entry: dict[str, Any]
    path: Path
    state: str
    status: Status | None

    @property
    def reason(self) -> str:
        """Why it ended as it did."""
        return self.status.reason if self.status else ""


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep."""
    return (folder / PLAN).is_file()


def is_run(folder: Path) -> bool:
    """Whether a folder is a run folder."""
    return (folder / CASE).is_file()


def read_plan(folder: Path) -> dict[str, Any]:
    """`plan.json` of a sweep.

    Raises:
        InputError: the folder holds no sweep.
    """
    allowed = "allowed is a folder that a sweep was written to"
    if not is_sweep(folder):
        raise InputError(str(folder), "no sweep" if folder.is_dir() else "no such folder", allowed)
    try:
        plan: dict[str, Any] = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        if not all({"name", "group", "key", "case", "varied"} <= set(entry) for entry in plan["cases"]):
            raise KeyError("cases")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(str(folder / PLAN), "a damaged file", allowed) from error
    return plan


def case_states(folder: Path) -> list[CaseState]:
    """State of every case: done, failed, invalid, interrupted, started (no end yet) or waiting."""
    states = []
    for entry in read_plan(folder)["cases"]:
        path = folder / "runs" / entry["name"]
        status = read_status(path)
        if status is not None and status.key != entry["key"]:
            status = None
            state = "waiting"
        elif status is not None:
            state = status.state
        else:
            state = "started" if (path / CASE).is_file() else "waiting"
        states.append(CaseState(entry, path, state, status))
    return states


def counts(states: Sequence[CaseState]) -> dict[str, int]:
    """Number of cases in each state that occurs."""
    counter = Counter(case.state for case in states)
    return {state: counter[state] for state in STATES if counter[state]}


def last_time(path: Path) -> float:
    """Time of the last accepted step of a run [s]; 0 where there is none yet."""
    try:
        with (path / "steps.jsonl").open("rb") as stream:
            stream.seek(max(stream.seek(0, 2) - 400, 0))
            return float(json.loads(stream.read().splitlines()[-1])["time_s"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return 0.0


def read_summary(path: Path) -> dict[str, Any]:
    """Values of `summary.json` by name; empty where there is none."""
    try:
        data = json.loads((path / SUMMARY).read_text(encoding="utf-8"))
        return {name: quantity["value"] for name, quantity in data.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def table(folder: Path) -> pd.DataFrame:
    """One row per case: varied keys, state, reason, shared path, and the names of the summary."""
    states = case_states(folder)
    sizes = Counter(case.entry["group"] for case in states)
    rows = []
    for case in states:
        row: dict[str, Any] = {"case": case.entry["name"], "folder": f"runs/{case.entry['name']}"}
        for key, value in case.entry["varied"].items():
            row[key] = value if isinstance(value, str | int | float | bool) else json.dumps(value)
            column = numeric_column(key, value)
            if column is not None:
                row[column[0]] = column[1]
        row |= {
            "state": case.state,
            "reason": case.reason,
            "shared_path": case.entry["group"] if sizes[case.entry["group"]] > 1 else "",
        }
        rows.append(row | read_summary(case.path))
    frame = pd.DataFrame(rows)
    first = [name for name in frame.columns if name in _NAMED[:2] or name in _varied_columns(states)]
    middle = [name for name in _NAMED[2:] if name in frame.columns]
    rest = [name for name in frame.columns if name not in first and name not in middle]
    return frame[[*first, *middle, *rest]]


def _varied_columns(states: Sequence[CaseState]) -> set[str]:
    names: set[str] = set()
    for case in states:
        for key, value in case.entry["varied"].items():
            names.add(key)
            column = numeric_column(key, value)
            if column is not None:
                names.add(column[0])
    return names


def collect(folder: Path) -> pd.DataFrame:
    """Write `results.csv` and `results.parquet` from whatever has finished, and give the table."""
    frame = table(folder)
    temporary = folder / ".results.tmp"
    frame.to_csv(temporary, index=False, lineterminator="\n")
    temporary.replace(folder / TABLE)
    frame.to_parquet(temporary, index=False)
    temporary.replace(folder / "results.parquet")
    return frame

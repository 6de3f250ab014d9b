"""Where a sweep stands: its plan, the state of every case, and what is to be computed next."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fem.parameters import TimeControl
from studies.errors import InputError
from studies.files import finite, read_json
from studies.ladder import LADDER
from studies.runfolder import CASE, RETRY, SUMMARY, Status, damage, read_status

PLAN: Final = "plan.json"
RUNS: Final = "runs"
LOGS: Final = "logs"
STATES: Final = ("done", "failed", "invalid", "interrupted", "started", "waiting")
ENDED: Final = ("done", "failed", "invalid")


@dataclass(frozen=True)
class CaseState:
    """State of one case of a sweep.

    Attributes:
        entry: its entry in the plan.
        path: its run folder.
        state: done, failed, invalid, interrupted, started (no end yet) or waiting.
        status: how it ended; None where it has not, or where what is there cannot be used.
        damaged: what is wrong with a folder that says it is done.
    """

    entry: dict[str, Any]
    path: Path
    state: str
    status: Status | None
    damaged: str = ""

    @property
    def name(self) -> str:
        """Name of the case."""
        return str(self.entry["name"])

    @property
    def group(self) -> str:
        """The path of cases that it belongs to."""
        return str(self.entry["group"])

    @property
    def reason(self) -> str:
        """Why it ended as it did."""
        return self.status.reason if self.status else self.damaged

    @property
    def due(self) -> int | None:
        """The rung of the ladder on which it is to be computed now; None where nothing is to be done."""
        if self.state in ("done", "invalid"):
            return None
        if self.status is None:
            return _begun_on(self.path, self.entry["key"])
        return self.status.rung if self.state == "interrupted" else self.status.again

    @property
    def attempt(self) -> int:
        """Number of the next attempt on that rung."""
        again = self.status is not None and self.status.state == "failed" and self.status.again == self.status.rung
        return self.status.attempts + 1 if again and self.status is not None else 1

    @property
    def ended(self) -> bool:
        """Whether it is done, or stays as it is."""
        return self.state in ENDED and self.due is None


def _begun_on(path: Path, key: str) -> int:
    """The rung on which a case was being solved when it was cut off."""
    data = read_json(path / RETRY)
    try:
        return min(max(int(data["rung"]), 0), len(LADDER) - 1) if data["key"] == key else 0
    except (TypeError, KeyError, ValueError, OverflowError):
        return 0


def due_together(states: Iterable[CaseState]) -> list[CaseState]:
    """Cases of a path that one worker computes next: those that are due on the lowest rung on which any is.

    One that was lost or ran out of time is computed alone, after the others: which of them it was due to is not known.
    """
    due = [(case.due, case) for case in states if case.due is not None]
    lowest = min((rung for rung, _ in due), default=0)
    cases = [case for rung, case in due if rung == lowest]
    return [case for case in cases if case.attempt == 1] or sorted(cases, key=lambda case: case.attempt)[:1]


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep."""
    return (folder / PLAN).is_file()


def is_run(folder: Path) -> bool:
    """Whether a folder is a run folder."""
    return (folder / CASE).is_file()


def read_plan(folder: Path) -> dict[str, Any]:
    """`plan.json` of a sweep.

    Raises:
        InputError: the folder holds no sweep, or a damaged one.
    """
    allowed = "allowed is a folder that a sweep was written to"
    if not is_sweep(folder):
        raise InputError(str(folder), "no sweep" if folder.is_dir() else "no such folder", allowed)
    plan = read_json(folder / PLAN)
    if not isinstance(plan, dict) or plan.get("mark") != plan_mark(plan):
        raise InputError(str(folder / PLAN), "a damaged file", allowed)
    return plan


def plan_mark(plan: Mapping[str, Any]) -> str:
    """Hash of what a plan holds, kept in it: a plan that was damaged is known."""
    held = {name: value for name, value in plan.items() if name != "mark"}
    return hashlib.sha256(json.dumps(finite(held), sort_keys=True).encode()).hexdigest()


def state_of(folder: Path, entry: dict[str, Any], check: bool = False) -> CaseState:
    """State of one case.

    Args:
        folder: of the sweep.
        entry: of the case in its plan.
        check: hold the files of a finished case against what its status says of them.
    """
    path = folder / RUNS / entry["folder"]
    status = read_status(path)
    if status is not None and status.key != entry["key"]:
        return CaseState(entry, path, "waiting", None)
    if status is None:
        return CaseState(entry, path, "started" if (path / CASE).is_file() else "waiting", None)
    wrong = damage(path, status) if check and status.state == "done" else ""
    if wrong:
        return CaseState(entry, path, "started", None, f"damaged: {wrong}")
    return CaseState(entry, path, status.state, status)


def case_states(folder: Path, check: bool = True) -> list[CaseState]:
    """State of every case: done, failed, invalid, interrupted, started (no end yet) or waiting.

    Args:
        folder: of the sweep.
        check: hold the files of finished cases against what their status says of them.
    """
    return [state_of(folder, entry, check) for entry in read_plan(folder)["cases"]]


def counts(states: Iterable[CaseState]) -> dict[str, int]:
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
    data = read_json(path / SUMMARY)
    try:
        return {name: quantity["value"] for name, quantity in data.items()}
    except (KeyError, TypeError, AttributeError):
        return {}


def steps(injection: float, follow_up: float) -> float:
    """Steps in time of an injection [s] and what follows it [s] with the default control, which work goes with.

    Steps grow with the time since the injection, so that three hours are not eighteen times the work of ten minutes.
    """
    control = TimeControl()
    even = control.max_step / control.late_step
    growing = math.log(max(follow_up / even, 1.0)) / math.log1p(control.late_step)
    return injection / control.injection_step + min(follow_up, even) / control.max_step + growing


def work(members: Sequence[dict[str, Any]]) -> float:
    """Steps in time that a path of cases takes: one injection up to the largest volume, every follow-up."""
    last = max(entry["injection_s"] for entry in members)
    return steps(last, 0.0) + sum(steps(0.0, entry["follow_up_s"]) for entry in members)


def behind(case: CaseState) -> float:
    """Share of a case's steps in time that lie behind it, from 0 to 1."""
    if case.ended:
        return 1.0
    time, injection = last_time(case.path), case.entry["injection_s"]
    done = steps(min(time, injection), max(time - injection, 0.0))
    return min(done / max(work([case.entry]), 1e-9), 1.0)

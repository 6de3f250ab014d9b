"""Many cases: a folder that holds a study, what is missing of it computed, safe to interrupt and to call again.

A sweep folder holds `study.toml`, `design.csv` and `design.parquet` (what varies, case by case), `plan.json` (every
case as resolved, its path and content key), `runs/NAME-KEY/` and the tables. Cases that differ in the volume of their
last injection only are one path, computed by one worker with one rank and one BLAS thread.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from studies.case import Case
from studies.console import Progressing, complain, counted, say
from studies.errors import InputError
from studies.executors import named_executor
from studies.files import LOCK, finite, is_no_space, is_temporary, locked, read_json, replacing, write_json, write_text
from studies.inputs import end_of_injection
from studies.pool import Pool, StoppedError
from studies.posable import check_posable
from studies.reading import case_toml
from studies.results import PARQUET, TABLE, collect, shortfall, with_numbers
from studies.series import SERIES
from studies.solver import run_key
from studies.standing import LOGS, PLAN, RUNS, CaseState, case_states, counts, is_sweep, plan_mark, read_plan
from studies.study import Plan, StudyCase
from studies.worker import DONE, FAILED, INTERRUPTED, SIMULATOR

SOURCE: Final = "study.toml"
DESIGN: Final = ("design.csv", "design.parquet")
PILOT: Final = "pilot"
KEY_DIGITS: Final = 12
"""Digits of the content key in the name of a run folder."""
MAX_COMPLAINTS: Final = 10
MINUTE: Final = 60.0
HOUR: Final = 3600.0
TELLING: Final = 0.01
"""Share of a call's work after which the time it took tells of the rest: a path begins with meshing and small steps."""


@dataclass(frozen=True)
class Sweep:
    """A study that has been written to a folder."""

    folder: Path
    plan: Plan


def plan_tree(plan: Plan) -> dict[str, Any]:
    """`plan.json` of a plan."""
    settings = {"time_limit_s": plan.sweep.time_limit, "slurm": plan.sweep.slurm.model_dump(mode="json")}
    tree = {"identity": plan.identity, "settings": settings, "cases": [_entry(case) for case in plan.cases]}
    return {**tree, "mark": plan_mark(tree)}


def _entry(case: StudyCase) -> dict[str, Any]:
    key = run_key(case.case)
    return {
        "name": case.name,
        "folder": f"{case.name}-{key[:KEY_DIGITS]}",
        "group": case.group,
        "key": key,
        "varied": dict(case.varied),
        "injection_s": end_of_injection(case.case),
        "follow_up_s": case.case.time.follow_up,
        "case": case_toml(case.case),
    }


def design_table(plan: Plan) -> pd.DataFrame:
    """The design: one row per case with what varies in it, as text and as number, and its path."""
    return pd.DataFrame(
        [{"case": case.name, **with_numbers(case.varied), "shared_path": case.group} for case in plan.cases]
    )


def write_design(plan: Plan, folder: Path) -> None:
    """Write the design as CSV and parquet, for review before anything runs."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = design_table(plan)
    with replacing(folder / DESIGN[0]) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
    with replacing(folder / DESIGN[1]) as temporary:
        frame.to_parquet(temporary, index=False)


def check(plan: Plan, folder: Path, resume: bool) -> None:
    """Refuse a folder that holds another study, or something else, and a study of which nothing can be posed.

    Raises:
        InputError: see above.
    """
    _posable(plan)
    allowed = "allowed is a new or empty folder, or one that holds the same study"
    if folder.exists() and not folder.is_dir():
        raise InputError("--out", f'"{folder}", a file', allowed)
    for name in (RUNS, LOGS, PILOT):
        if (folder / name).is_symlink():
            raise InputError("--out", f'"{folder / name}", a link', "allowed is a folder of the sweep itself")
        if (folder / name).exists() and not (folder / name).is_dir():
            raise InputError("--out", f'"{folder / name}", a file', "a sweep has a folder there")
    for name in (PLAN, SOURCE, *DESIGN, TABLE, PARQUET, SERIES):
        if (folder / name).is_dir():
            raise InputError("--out", f'"{folder / name}", a folder', "a sweep has a file there")
    if not is_sweep(folder):
        names = {path.name for path in folder.iterdir()} - {LOCK, PILOT, *DESIGN} if folder.is_dir() else set()
        if not all(is_temporary(name) for name in names):
            raise InputError("--out", f'"{folder}", which holds other files', allowed)
        return
    try:
        identity = read_plan(folder)["identity"]
    except InputError:
        if resume:
            return
        raise InputError(
            "--out", f'"{folder}", whose plan.json is damaged', "allowed is --resume to write it again, or a new folder"
        ) from None
    if identity != plan.identity:
        raise InputError("--out", f'"{folder}", which holds another study', allowed)


def _posable(plan: Plan) -> None:
    """Refuse a study of which no case has an anatomy, or a mesh of the user's own, with places for what it asks.

    Where some can be posed the others are corners of a design, and end as invalid.
    """
    refused = None
    for case in {repr(_asked(case.case)): case.case for case in plan.cases}.values():
        try:
            check_posable(case)
        except InputError as error:
            refused = refused or error
        else:
            return
    if refused is not None:
        raise refused


def _asked(case: Case) -> tuple[object, ...]:
    """What places a case asks for, and of what."""
    steps = [(step.level, step.approach, step.side, step.offset, step.stop_at) for step in case.injection]
    return case.anatomy, steps, case.leak


def prepare(plan: Plan, folder: Path, resume: bool = False) -> Sweep:
    """Write the plan to its folder; what has finished there stays.

    Args:
        plan: the study.
        folder: of the sweep.
        resume: compute failed cases again, too.
    """
    check(plan, folder, resume)
    with locked(folder):
        tree = plan_tree(plan)
        whole = all((folder / name).is_file() for name in (SOURCE, *DESIGN))
        if not whole or read_json(folder / PLAN) != finite(tree):
            write_json(folder / PLAN, tree)  # first: by it a folder is known as a sweep
            write_text(folder / SOURCE, plan.source)
            write_design(plan, folder)
        for name in (RUNS, LOGS):
            (folder / name).mkdir(exist_ok=True)
    return Sweep(folder, plan)


def execute(
    sweeps: Sequence[Sweep],
    jobs: int | None = None,
    resume: bool = False,
    simulator: str = SIMULATOR,
    label: str = "sweep",
    executor: str = "local",
) -> int:
    """Compute what is missing of one or more sweeps, and write their tables.

    Args:
        sweeps: prepared sweeps.
        jobs: paths of cases at a time.
        resume: compute failed cases again, too.
        simulator: what simulates.
        label: put before every line about progress.
        executor: name of where they are computed.

    Returns:
        Exit status: 0 all done, 3 some failed or invalid, 130 interrupted.

    Raises:
        InputError: another process works on one of the sweeps, or the executor is not to be had.
    """
    named_executor(executor).need()
    folders = [sweep.folder for sweep in sweeps]
    with contextlib.ExitStack() as locks:
        for folder in folders:
            locks.enter_context(locked(folder))
        interrupted = False
        try:
            stopped = _compute(folders, jobs, resume, simulator, label, executor)
        except KeyboardInterrupt:
            interrupted = True
            stopped = f"interrupted: {note(_states(folders))}; the same command goes on from here"
        except OSError as error:
            if not is_no_space(error):
                raise
            stopped = f"{error.filename or folders[0]}: no space left on the disk; make room and call again"
        frames = _tables(folders)
    if stopped:
        complain(stopped)
        return INTERRUPTED if interrupted else FAILED
    for frame in frames:
        if said := shortfall(frame):
            complain(said)
    wrong = [case for case in _states(folders) if case.state in ("failed", "invalid")]
    for case in wrong[:MAX_COMPLAINTS]:
        complain(f"{case.path}: {case.state}: {case.reason}")
    if len(wrong) > MAX_COMPLAINTS:
        complain(f"and {len(wrong) - MAX_COMPLAINTS} more; see bloodpatch status")
    whole = len(frames) == len(folders) and all((frame["state"] == "done").all() for frame in frames)
    return DONE if whole else FAILED


def _states(folders: Sequence[Path]) -> list[CaseState]:
    """States of all cases as they say themselves: to look into finished ones takes too long for whoever interrupts."""
    return [case for folder in folders for case in case_states(folder, check=False)]


def _tables(folders: Sequence[Path]) -> list[pd.DataFrame]:
    """Write the tables of sweeps and say so; those that the disk has no room for are said to be missing."""
    frames = []
    for folder in folders:
        try:
            frame = collect(folder)
        except OSError as error:
            if not is_no_space(error):
                raise
            complain(
                f"{folder}: no space left on the disk, its tables are not up to date; "
                f"make room and call bloodpatch collect {folder}"
            )
            continue
        frames.append(frame)
        say(f"{folder / TABLE}: {counted(len(frame), 'case')}, {int((frame['state'] == 'done').sum())} done")
    return frames


def _compute(folders: Sequence[Path], jobs: int | None, resume: bool, simulator: str, label: str, executor: str) -> str:
    """Run an executor; what stopped it, or nothing."""
    pool = Pool(folders, jobs, simulator)
    if resume:
        pool.forget_failures()
    with Progressing(label, len(pool.states)) as progress:
        watch = Watch(progress)
        watch(pool, True)
        try:
            named_executor(executor).run(pool, jobs, watch)
        except StoppedError as stop:
            return str(stop)
    return ""


class Watch:
    """Shows how far a pool is, with an estimate of the time left from what this call has computed so far."""

    def __init__(self, progress: Progressing) -> None:
        self._progress = progress
        self._begun = time.monotonic()
        self._before: float | None = None

    def __call__(self, pool: Pool, ended: bool) -> None:
        """Show it; `ended` says that something has."""
        states = list(pool.states.values())
        shares = [pool.share(job) for job in pool.running]
        total, done = 0.0, 0.0
        running = {id(job.path): share for job, share in zip(pool.running, shares, strict=True)}
        for path in pool.paths:
            finished = sum(pool.states[path.folder, entry["name"]].ended for entry in path.members) / len(path.members)
            total += path.work
            done += path.work * max(running.get(id(path), 0.0), finished)
        if self._before is None:
            self._before = done
        left = ""
        gained = done - self._before
        if gained >= TELLING * (total - self._before) and done < total:
            left = f"; about {duration((total - done) / gained * (time.monotonic() - self._begun))} left"
        cases = sum(len(job.due) for job in pool.running)
        shown = sum(case.ended for case in states) + 0.999 * sum(
            share * len(job.path.members) for job, share in zip(pool.running, shares, strict=True)
        )
        self._progress.update(min(shown, len(states)), note(states, cases, shares) + left, force=ended)


def note(states: Sequence[CaseState], running: int = 0, shares: Sequence[float] = ()) -> str:
    """How far a sweep is, in a line.

    Args:
        states: of all cases.
        running: cases on the running paths.
        shares: how much of each running path lies behind it.
    """
    found = counts(case for case in states if case.ended)
    left = sum(not case.ended for case in states) - running
    parts = [f"{number} {state}" for state, number in found.items()]
    if running:
        parts.append(f"{running} running")
    if left or not running:
        parts.append(f"{left or 'nothing'} to go")
    if shares:
        parts.append(f"{counted(len(shares), 'path')} at {', '.join(f'{share:.0%}' for share in shares)}")
    return f"{counted(len(states), 'case')}: " + ", ".join(parts)


def duration(seconds: float) -> str:
    """A time in words, to two digits or so."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h"


def varied_text(values: Mapping[str, Any]) -> str:
    """What varies in a case, in a line."""
    return ", ".join(f"{key} = {value}" for key, value in values.items())

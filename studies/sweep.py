"""Many cases: a local pool of workers, safe to interrupt and to call again.

A sweep folder holds `study.toml`, `plan.json` (every case as resolved, its group and key), `design.csv`, `runs/NAME/`
and the table. Every group of cases that share an injection path is one worker process with one rank and one BLAS
thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import pandas as pd
import psutil  # type: ignore[import-untyped]

from studies.console import Progressing, complain, counted
from studies.errors import InputError
from studies.reading import case_toml
from studies.resolve import end_of_injection
from studies.results import CaseState, case_states, collect, counts, is_sweep, last_time
from studies.runfolder import Status, locked, read_status, write_json, write_status, write_text
from studies.runner import search_path, stop_process
from studies.solver import run_key
from studies.study import Plan, StudyCase
from studies.worker import DONE, FAILED, INTERRUPTED, PLAN, SIMULATOR

MEMORY_PER_JOB: Final = 3 * 2**30
"""Memory a default case may take; fewer jobs are started where the machine has less."""
POLL: Final = 0.2
LOOK: Final = 2.0
"""Seconds between looks at the state of all cases while no worker ends."""
MAX_COMPLAINTS: Final = 10


@dataclass(frozen=True)
class Sweep:
    """A study that has been written to a folder."""

    folder: Path
    plan: Plan


@dataclass
class _Job:
    """A worker that is running."""

    sweep: Sweep
    group: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def cases(self) -> list[StudyCase]:
        """The cases that it computes."""
        return self.sweep.plan.groups[self.group]


def default_jobs() -> int:
    """As many jobs as cores, and no more than the free memory holds."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(psutil.virtual_memory().available // MEMORY_PER_JOB)))


def plan_tree(plan: Plan) -> dict[str, Any]:
    """`plan.json` of a plan."""
    cases = [
        {
            "name": case.name,
            "group": case.group,
            "key": run_key(case.case),
            "varied": dict(case.varied),
            "case": case_toml(case.case),
        }
        for case in plan.cases
    ]
    return {"identity": plan.identity, "cases": cases}


def check(plan: Plan, folder: Path, resume: bool) -> None:
    """Refuse a folder that holds another study, or something else.

    Raises:
        InputError: see above.
    """
    allowed = "allowed is a new or empty folder, or one that holds the same study"
    if folder.exists() and not folder.is_dir():
        raise InputError("--out", f'"{folder}", a file', allowed)
    if not is_sweep(folder):
        if folder.is_dir() and {path.name for path in folder.iterdir()} - {".lock"}:
            raise InputError("--out", f'"{folder}", which holds other files', allowed)
        return
    try:
        identity = json.loads((folder / PLAN).read_text(encoding="utf-8"))["identity"]
    except (OSError, ValueError, KeyError, TypeError):
        if resume:
            return
        raise InputError(
            "--out", f'"{folder}", whose plan.json is damaged', "allowed is --resume to write it again, or a new folder"
        ) from None
    if identity != plan.identity:
        raise InputError("--out", f'"{folder}", which holds another study', allowed)


def prepare(plan: Plan, folder: Path, resume: bool = False) -> Sweep:
    """Write the plan to its folder; what has finished there stays.

    Args:
        plan: the study.
        folder: of the sweep.
        resume: compute failed cases again, too.
    """
    check(plan, folder, resume)
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    write_text(folder / "study.toml", plan.source)
    rows = [{"case": case.name, **case.varied, "shared_path": case.group} for case in plan.cases]
    pd.DataFrame(rows).to_csv(folder / "design.csv", index=False, lineterminator="\n")
    write_json(folder / PLAN, plan_tree(plan))
    return Sweep(folder, plan)


def describe(plan: Plan) -> list[str]:
    """What `--dry-run` says."""
    groups = plan.groups
    lines = [f"{counted(len(plan.cases), 'case')} along {counted(len(groups), 'injection path')}"]
    spans = sorted({"-".join(case.case.anatomy.span) for case in plan.cases if case.case.anatomy.span})
    lines.append(f"window {', '.join(spans)}; mesh {', '.join(sorted({case.case.mesh.size for case in plan.cases}))}")
    lines += [
        f"  {case.name}: " + ", ".join(f"{key} = {value}" for key, value in case.varied.items()) + f" ({case.group})"
        for case in plan.cases
    ]
    return lines


def _pending(sweep: Sweep, resume: bool) -> list[str]:
    """Groups with something left to compute."""
    again = {"failed"} if resume else set()
    groups: dict[str, None] = {}
    for case in case_states(sweep.folder):
        if case.state in {"started", "waiting", "interrupted"} | again:
            groups[case.entry["group"]] = None
            if case.state in again:
                (case.path / "status.json").unlink(missing_ok=True)
    return list(groups)


def execute(
    sweeps: Sequence[Sweep],
    jobs: int | None = None,
    resume: bool = False,
    simulator: str = SIMULATOR,
    label: str = "sweep",
) -> int:
    """Compute what is missing of one or more sweeps in one pool, and write their tables.

    Returns:
        Exit status: 0 all done, 3 some failed or invalid, 130 interrupted.
    """
    with contextlib.ExitStack() as locks:
        for sweep in sweeps:
            locks.enter_context(locked(sweep.folder))
        queue = [(sweep, group) for sweep in sweeps for group in _pending(sweep, resume)]
        # The longest first, so that none is left over at the end.
        queue.sort(key=lambda item: -_work(item[0], item[1]))
        running: list[_Job] = []
        states = _all_states(sweeps)
        with Progressing(label, len(states)) as progress:
            progress.update(_ended(states), _note(states), force=True)
            try:
                _run_queue(queue, running, sweeps, jobs or default_jobs(), simulator, progress)
            except KeyboardInterrupt:
                _stop(running)
                for sweep in sweeps:
                    collect(sweep.folder)
                complain(f"interrupted: {_note(_all_states(sweeps))}; the same command goes on from here")
                return INTERRUPTED
        frames = [collect(sweep.folder) for sweep in sweeps]
    wrong = [case for case in _all_states(sweeps) if case.state in ("failed", "invalid")]
    for case in wrong[:MAX_COMPLAINTS]:
        complain(f"{case.path}: {case.state}: {case.reason}")
    if len(wrong) > MAX_COMPLAINTS:
        complain(f"and {len(wrong) - MAX_COMPLAINTS} more; see bloodpatch status")
    return DONE if all((frame["state"] == "done").all() for frame in frames) else FAILED


def _work(sweep: Sweep, group: str) -> float:
    """A measure of how long a group takes: follow-ups and injections that it computes."""
    members = sweep.plan.groups[group]
    return len(members) * members[0].case.time.follow_up + 30.0 * len(members[0].case.injection)


def _run_queue(
    queue: list[tuple[Sweep, str]],
    running: list[_Job],
    sweeps: Sequence[Sweep],
    jobs: int,
    simulator: str,
    progress: Progressing,
) -> None:
    told, looked = -1, 0.0
    while queue or running:
        while queue and len(running) < jobs:
            running.append(_start(*queue.pop(0), simulator))
        time.sleep(POLL)
        ended = [job for job in running if job.process.poll() is not None]
        for job in ended:
            running.remove(job)
            _finish(job)
        if not ended and time.monotonic() - looked < LOOK:
            continue
        looked = time.monotonic()
        states = _all_states(sweeps)
        shares = [_share(job) for job in running]
        done = _ended(states) + 0.999 * sum(share * len(job.cases) for share, job in zip(shares, running, strict=True))
        progress.update(min(done, len(states)), _note(states, shares), force=_ended(states) != told)
        told = _ended(states)


def _all_states(sweeps: Sequence[Sweep]) -> list[CaseState]:
    return [case for sweep in sweeps for case in case_states(sweep.folder)]


def _ended(states: Sequence[CaseState]) -> int:
    return sum(case.state in ("done", "failed", "invalid") for case in states)


def _share(job: _Job) -> float:
    """How much of the time that a worker has to simulate lies behind it."""
    past = [min(last_time(job.sweep.folder / "runs" / case.name) / _end(case), 1.0) for case in job.cases]
    return sum(past) / len(past)


def _end(case: StudyCase) -> float:
    return max(end_of_injection(case.case.injection[-1]) + case.case.time.follow_up, 1e-9)


def _note(states: Sequence[CaseState], shares: Sequence[float] = ()) -> str:
    parts = [f"{number} {state}" for state, number in counts(states).items() if state not in ("waiting", "started")]
    left = len(states) - _ended(states)
    parts.append(f"{left} to go" if left else "nothing to go")
    if shares:
        parts.append(f"{counted(len(shares), 'path')} at {', '.join(f'{share:.0%}' for share in shares)}")
    return f"{counted(len(states), 'case')}: " + ", ".join(parts)


def _start(sweep: Sweep, group: str, simulator: str) -> _Job:
    log = (sweep.folder / "logs" / f"{group}.log").open("wb")
    command = [sys.executable, "-m", "studies.worker", str(sweep.folder), group, "--simulator", simulator, "--leash"]
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    environment: Mapping[str, str] = {**os.environ, **one, "PYTHONPATH": search_path()}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
    )
    return _Job(sweep, group, process, log)


def _finish(job: _Job) -> None:
    """Close a worker's log; a case that it left without a status was cut off with it."""
    job.log.close()
    if job.process.stdin is not None:
        job.process.stdin.close()
    if job.process.returncode == INTERRUPTED:
        return
    for case in case_states(job.sweep.folder):
        if case.entry["group"] == job.group and case.state in ("started", "waiting"):
            case.path.mkdir(parents=True, exist_ok=True)
            if not (case.path / "case.toml").is_file():
                write_text(case.path / "case.toml", case.entry["case"])
            ended = f"the worker ended with status {job.process.returncode}"
            reason = f"{ended}{_last_line(job.log.name)}; see logs/{job.group}.log"
            write_status(case.path, Status("failed", reason, case.entry["key"]))


def _last_line(log: str) -> str:
    """The last thing a worker said, for the reason of its failure."""
    lines = Path(log).read_text(encoding="utf-8", errors="replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" ({said[:160]})" if said else ""


def _stop(running: Sequence[_Job]) -> None:
    """Let every worker keep what it has, then see to it that it ends."""
    for job in running:
        if job.process.stdin is not None:
            job.process.stdin.close()
    for job in running:
        stop_process(job.process)
        job.log.close()
        for case in case_states(job.sweep.folder):
            if case.entry["group"] == job.group and case.state == "started" and read_status(case.path) is None:
                write_status(case.path, Status("interrupted", "stopped by the user", case.entry["key"]))

"""The local executor: as many paths of cases at a time as cores and memory allow, each tried again by cause.

The first path starts alone until its model stands: it compiles the forms and shows what memory a path takes.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from studies.errors import InputError
from studies.files import is_no_space, make_way, write_text
from studies.ladder import ATTEMPTS, Cause, next_rung
from studies.launcher import LOST, Launcher, Worker
from studies.memory import Estimate, available, cores
from studies.runfolder import CASE, RETRY, STATUS, Status, write_status
from studies.standing import LOGS, CaseState, behind, due_together, last_time, read_plan, state_of, work
from studies.worker import BUSY, INTERRUPTED, NO_SPACE, SIMULATOR, STALE

POLL: Final = 1.0
"""Seconds between looks at the running paths while none ends."""
BUSY_WAIT: Final = 3.0
"""Seconds after which a path that another process holds is tried again, and by which this time grows."""
BUSY_LONGEST: Final = 60.0
"""Seconds that it grows to."""
LOST_MOST: Final = 10
"""How often a path is started again whose worker was stopped by others, or whose launcher was lost."""
FREE_DISK: Final = 256 * 2**20
"""No path is started with less room on the disk [B]."""


class StoppedError(Exception):
    """The pool cannot go on; what has finished is kept."""


@dataclass
class CasePath:
    """A path of cases: what it consists of and how often it was refused.

    Attributes:
        folder: of the sweep.
        group: its name.
        members: entries of its cases in the plan.
        limit: time a case may take [s].
        busy: how often another process held it.
        lost: how often its worker was stopped by others.
        not_before: when it may be tried again, as of `time.monotonic`.
    """

    folder: Path
    group: str
    members: list[dict[str, Any]]
    limit: float
    busy: int = 0
    lost: int = 0
    not_before: float = 0.0

    @property
    def work(self) -> float:
        """Simulated time that it takes [s]."""
        return work(self.members)


@dataclass
class Job:
    """A path that is running on a rung of the ladder.

    Attributes:
        path: what is computed.
        rung: of the ladder.
        worker: its process.
        due: names of the cases that it has yet to end.
        written: when the steps of each of them had been written as it was started, see `_written`.
        since: when it took up the case that it is at, as of `time.monotonic`.
        overdue: whether that case took too long.
    """

    path: CasePath
    rung: int
    worker: Worker
    due: list[str]
    written: dict[str, int | None] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)
    overdue: bool = False


class Pool:
    """Computes what is due of one or more sweeps.

    Args:
        folders: of the sweeps, each with its plan.
        jobs: paths at a time; default as many as cores, and fewer where memory is short.
        simulator: what simulates.
        only: names of the paths that are wanted, by folder; default all.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        jobs: int | None = None,
        simulator: str = SIMULATOR,
        only: Mapping[Path, Sequence[str]] | None = None,
    ) -> None:
        self.jobs, self.simulator = jobs or cores(), simulator
        self.memory = Estimate()
        self.launcher = Launcher()
        self.states: dict[tuple[Path, str], CaseState] = {}
        self.paths: list[CasePath] = []
        self.running: list[Job] = []
        self.waiting: list[CasePath] = []
        self.warm = False
        for folder in folders:
            plan = read_plan(folder)
            wanted = None if only is None else set(only.get(folder, ()))
            groups: dict[str, list[dict[str, Any]]] = {}
            for entry in plan["cases"]:
                if wanted is None or entry["group"] in wanted:
                    groups.setdefault(entry["group"], []).append(entry)
                    self.states[folder, entry["name"]] = state_of(folder, entry, check=True)
            limit = float(plan.get("settings", {}).get("time_limit_s") or float("inf"))
            self.paths += [CasePath(folder, group, members, limit) for group, members in groups.items()]

    # -- what is seen from outside -------------------------------------------------------------------------------------

    def forget_failures(self) -> None:
        """Let failed cases be computed again from the first rung."""
        for key, case in self.states.items():
            if case.state == "failed":
                make_way(case.path)
                (case.path / STATUS).unlink(missing_ok=True)
                (case.path / RETRY).unlink(missing_ok=True)
                self.states[key] = state_of(key[0], case.entry)

    def share(self, job: Job) -> float:
        """How much of what a running path has to compute lies behind it."""
        past = [behind(self.states[job.path.folder, entry["name"]]) for entry in job.path.members]
        return sum(past) / len(past)

    def run(self, watch: Callable[[Pool, bool], None]) -> None:
        """Compute until nothing is due any more.

        Args:
            watch: called now and then; its second argument says whether a path has ended.

        Raises:
            StoppedError: the disk is full, or the model changed.
        """
        self.waiting = sorted((path for path in self.paths if self._due(path)), key=self._turn)
        self.warm = len(self.waiting) < 2
        try:
            while self.waiting or self.running:
                self._start_what_fits()
                self.launcher.wait(POLL)
                ended = [job for job in self.running if job.worker.status is not None]
                for job in ended:
                    self.running.remove(job)
                    self._finish(job)
                if ended:
                    self._start_what_fits()  # before anything is shown
                self._look()
                watch(self, bool(ended))
        finally:
            self.stop()

    def stop(self) -> None:
        """Let every worker keep what it has, then see to it that all end."""
        self.launcher.stop()
        for job in self.running:
            self._refresh(job.path)
            for case in self._computed(job):
                if case.state == "started":
                    with contextlib.suppress(OSError):
                        write_status(
                            case.path, Status("interrupted", "stopped by the user", case.entry["key"], rung=job.rung)
                        )
        self.running.clear()

    # -- starting ------------------------------------------------------------------------------------------------------

    def _due(self, path: CasePath) -> list[CaseState]:
        """Cases of a path that its next worker computes."""
        return due_together(self.states[path.folder, entry["name"]] for entry in path.members)

    def _turn(self, path: CasePath) -> tuple[int, int, float]:
        """What a waiting path is sorted by.

        First tries come before retries: what most likely ends well is not kept waiting by what most likely does not.
        Among these the longest path comes first, so that none is left over at the end.
        """
        due = self._due(path)
        return (due[0].due or 0, due[0].attempt, -path.work) if due else (0, 0, 0.0)

    def _queue(self, path: CasePath) -> None:
        """Put a path back among those that wait."""
        self.waiting = sorted([*self.waiting, path], key=self._turn)

    def _computed(self, job: Job) -> list[CaseState]:
        """Cases that a worker was started for and that had not ended at the last look."""
        return [self.states[job.path.folder, name] for name in job.due]

    def _start_what_fits(self) -> None:
        now = time.monotonic()
        for path in list(self.waiting):
            if len(self.running) >= self.jobs or (self.running and not self._room()):
                return
            if path.not_before > now:
                continue
            if not self._has_disk(path.folder):
                return
            self.waiting.remove(path)
            due = self._due(path)
            if not due:
                continue
            rung = due[0].due or 0
            arguments = [str(path.folder), path.group, "--rung", str(rung), "--simulator", self.simulator, "--leash"]
            written = {case.name: _written(case) for case in due}
            worker = self.launcher.start(arguments, path.folder / LOGS / f"{path.group}.log")
            self.running.append(Job(path, rung, worker, [case.name for case in due], written))

    def _room(self) -> bool:
        unmeasured = sum(job.worker.pid not in self.memory.held for job in self.running)
        return self.warm and self.memory.fits(available(), unmeasured)

    def _has_disk(self, folder: Path) -> bool:
        """Whether there is room for one more path; running ones may end where there is none."""
        enough = shutil.disk_usage(folder).free >= FREE_DISK
        if not enough and not self.running:
            raise StoppedError(f"{folder}: less than {FREE_DISK // 2**20} MB are free on the disk")
        return enough

    # -- looking -------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Measure memory, let the others start once the first model stands, and end what takes too long."""
        self.memory.look(job.worker.pid for job in self.running if job.worker.pid)
        if any(self._stands(job) for job in self.running):
            self.memory.learn()
            self.warm = True
        for job in self.running:
            done = [name for name in job.due if self._ended_since(job, name)]
            if done:
                job.due = [name for name in job.due if name not in done]
                job.since = time.monotonic()
            if time.monotonic() - job.since > job.path.limit:
                job.overdue = True
                job.worker.signal(signal.SIGKILL)  # at every look: a worker may not have been told of yet

    def _stands(self, job: Job) -> bool:
        """Whether the model of a running path stands: its baseline has been written since it was started."""
        if not job.due:
            return True
        now = _written(self.states[job.path.folder, job.due[0]])
        return now is not None and now != job.written.get(job.due[0])

    def _ended_since(self, job: Job, name: str) -> bool:
        """Whether a case of a running path has its status; the time of the others counts from then."""
        old = self.states[job.path.folder, name]
        if not (old.path / STATUS).is_file():
            return False
        new = self.states[job.path.folder, name] = state_of(job.path.folder, old.entry)
        return new.due != job.rung or new.state == "done"

    # -- ending --------------------------------------------------------------------------------------------------------

    def _refresh(self, path: CasePath) -> None:
        for entry in path.members:
            self.states[path.folder, entry["name"]] = state_of(path.folder, entry)

    def _finish(self, job: Job) -> None:
        """Take up the states that a worker left, and queue what is to be done again."""
        path, status = job.path, job.worker.status
        self.warm = True
        before = {entry["name"]: self.states[path.folder, entry["name"]].attempt for entry in path.members}
        self._refresh(path)
        if status == NO_SPACE:
            raise StoppedError(f"{path.folder}: no space left on the disk; make room and call the same command again")
        if status == STALE:
            raise StoppedError("the model or a mesh file changed while the sweep ran; call the same command again")
        if status == BUSY:
            path.busy += 1
            path.not_before = time.monotonic() + min(path.busy * BUSY_WAIT, BUSY_LONGEST)
            self._queue(path)
            return
        if status in (INTERRUPTED, LOST):
            path.lost += 1
            if path.lost > LOST_MOST:
                raise StoppedError(
                    f"{path.folder}: workers are stopped or cannot be started; see logs/{path.group}.log"
                )
        else:
            for case in self._computed(job):
                if case.due == job.rung and not _is_of(case, before[case.name]):
                    self._cut_off(job, case, before[case.name])
        if self._due(path):
            self._queue(path)

    def _cut_off(self, job: Job, case: CaseState, attempt: int) -> None:
        """Give a case that a worker left without a status the reason."""
        cause: Cause = "time limit" if job.overdue else "infrastructure"
        log = job.path.folder / LOGS / f"{job.path.group}.log"
        if job.overdue:
            reason = f"not done after {job.path.limit:g} s, the time limit of a case"
            reason += f" (at t = {last_time(case.path):.6g} s)"
        else:
            reason = f"the worker ended with status {job.worker.status}{_last_line(log)}; see logs/{log.name}"
        tries = ATTEMPTS[cause]
        if next_rung(cause, job.rung, attempt) is None:
            reason += f"; tried {min(attempt, tries)} times"
        try:
            make_way(case.path)
            case.path.mkdir(parents=True, exist_ok=True)
            if not (case.path / CASE).is_file():
                write_text(case.path / CASE, case.entry["case"])
            write_status(
                case.path, Status("failed", reason, case.entry["key"], cause=cause, rung=job.rung, attempts=attempt)
            )
        except OSError as error:
            if is_no_space(error):
                raise StoppedError(f"{case.path}: no space left on the disk; make room and call again") from error
            raise InputError(str(case.path), "", f"it cannot be written ({error.strerror})") from error
        self.states[job.path.folder, case.name] = state_of(job.path.folder, case.entry)


def _is_of(case: CaseState, attempt: int) -> bool:
    """Whether an attempt has left its own failure; a worker that died before it began leaves the one before."""
    return case.state == "failed" and case.status is not None and case.status.attempts >= attempt


def _written(case: CaseState) -> int | None:
    """When a case's steps were last written [ns]; none where there are none.

    Only ever compared with an earlier answer: a file system's clock is not this process's own, and coarser even on one
    machine.
    """
    try:
        return (case.path / "steps.jsonl").stat().st_mtime_ns
    except OSError:
        return None


def _last_line(log: Path) -> str:
    """The last thing a worker said, for the reason of its failure."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" ({said[:160]})" if said else ""

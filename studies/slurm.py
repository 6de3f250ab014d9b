"""The `slurm` executor: one job of an array per path of cases, submitted with submitit.

A job runs the same pool as the local executor for its one path: time limits, retries and the ladder are the same.
Jobs go on when the sweep that submitted them is gone; the same command finds them again.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from studies.compute import compute
from studies.design import SlurmSection
from studies.errors import InputError
from studies.files import read_json, write_json
from studies.launcher import Worker
from studies.pool import CasePath, Job, Pool, StoppedError
from studies.quantities import GIGABYTES
from studies.reading import validate
from studies.runfolder import Status, write_status
from studies.standing import LOGS, read_plan, state_of

COMMANDS: Final = ("sbatch", "squeue", "srun", "scancel")
SUBMITTED: Final = "slurm.json"
"""Which job computes which path, for the next call."""
ARRAY: Final = 1000
"""Jobs of one array; clusters allow 1001 unless told otherwise."""
ROUNDS: Final = 3
"""How often a path is submitted whose job ended without a result."""
LOOK: Final = 2.0
"""Seconds between looks at the run folders, and the shortest time between two calls of squeue."""
ASK: Final = 15.0
"""Seconds between calls of squeue while nothing ends."""
SLACK: Final = 600.0
"""Time of a job beyond the limits of its cases: to start, and to write [s]."""
LONGEST: Final = 7 * 86400.0
MINUTE: Final = 60.0
MEGABYTE: Final = GIGABYTES.parse("1 GB") / 1000


class Slurm:
    """The executor."""

    def need(self) -> None:
        """Refuse where Slurm is not.

        Raises:
            InputError: a command of Slurm is missing.
        """
        missing = [name for name in COMMANDS if shutil.which(name) is None]
        if missing:
            raise InputError(
                "--executor", '"slurm"', f'{", ".join(missing)} not found on PATH; allowed here is "local"'
            )

    def run(self, pool: Pool, jobs: int | None, watch: Callable[[Pool, bool], None]) -> None:
        """Submit what is due of a pool's sweeps, and wait for it.

        Args:
            pool: of the sweeps; its own workers are not started.
            jobs: jobs of an array at a time; default as the study says.
            watch: called now and then; its second argument says whether a path has ended.

        Raises:
            StoppedError: Slurm does not take the jobs.
        """
        _Submitted(pool, jobs).run(watch)


def compute_path(folder: str, group: str, simulator: str) -> int:
    """What a job does."""
    from studies.worker import stop_on_signals

    stop_on_signals()
    return compute(Path(folder), [group], simulator)


class _Submitted:
    """The jobs of one call."""

    def __init__(self, pool: Pool, jobs: int | None) -> None:
        self.pool, self.jobs = pool, jobs
        self.numbers: dict[int, str] = {}
        self.rounds: dict[int, int] = {}
        self.asked = 0.0

    def run(self, watch: Callable[[Pool, bool], None]) -> None:
        """Compute until nothing is due any more."""
        logging.getLogger("submitit").setLevel(logging.ERROR)
        due = [path for path in self.pool.paths if self._is_due(path)]
        self._find_again(due)
        self._submit([path for path in due if id(path) not in self.numbers])
        watch(self.pool, True)
        while self.numbers:
            time.sleep(LOOK)
            ended = self._look()
            again = [path for path in ended if self._is_due(path)]
            self._submit([path for path in again if self.rounds.get(id(path), 0) < ROUNDS])
            for path in again:
                if id(path) not in self.numbers:
                    self._give_up(path)
            watch(self.pool, bool(ended))

    def _is_due(self, path: CasePath) -> bool:
        return any(not self.pool.states[path.folder, entry["name"]].ended for entry in path.members)

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def _submit(self, paths: Sequence[CasePath]) -> None:
        """Submit paths, an array per sweep and thousand."""
        for folder in dict.fromkeys(path.folder for path in paths):
            mine = [path for path in paths if path.folder == folder]
            for start in range(0, len(mine), ARRAY):
                some = mine[start : start + ARRAY]
                for path, number in zip(some, self._submit_array(folder, some), strict=True):
                    self.numbers[id(path)] = number
                    self.rounds[id(path)] = self.rounds.get(id(path), 0) + 1
        self._write()

    def _submit_array(self, folder: Path, paths: Sequence[CasePath]) -> list[str]:
        import submitit

        settings = read_plan(folder).get("settings", {})
        section = validate(SlurmSection, settings.get("slurm", {}), table="sweep.slurm")
        longest = max(path.limit * len(path.members) for path in paths)
        seconds = section.time or min(longest + SLACK, LONGEST)
        executor = submitit.SlurmExecutor(folder / LOGS / "slurm", max_num_timeout=0, python=_python())
        given = {"partition": section.partition, "account": section.account, "qos": section.qos}
        executor.update_parameters(
            job_name="bloodpatch",
            time=max(1, round(seconds / MINUTE)),
            mem=f"{max(1, round(section.memory / MEGABYTE))}MB",
            nodes=1,
            cpus_per_task=1,
            use_srun=False,
            array_parallelism=self.jobs or section.parallel,
            **{name: value for name, value in given.items() if value is not None},
        )
        arguments = [(str(path.folder.resolve()), path.group, self.pool.simulator) for path in paths]
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # what sbatch says comes with the error, too
                jobs = executor.map_array(compute_path, *zip(*arguments, strict=True))
        except (submitit.core.utils.FailedJobError, subprocess.SubprocessError, OSError) as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise StoppedError(
                f"Slurm does not take the jobs: {lines[-1].strip() if lines else type(error).__name__}"
            ) from None
        return [str(job.job_id) for job in jobs]

    def _write(self) -> None:
        """Keep which job computes which path."""
        by_id = {id(path): path for path in self.pool.paths}
        for folder in dict.fromkeys(path.folder for path in self.pool.paths):
            mine = {by_id[key].group: number for key, number in self.numbers.items() if by_id[key].folder == folder}
            write_json(folder / SUBMITTED, mine)

    def _find_again(self, paths: Iterable[CasePath]) -> None:
        """Take up jobs that an earlier call submitted and that are still there."""
        known: dict[int, str] = {}
        for path in paths:
            held = read_json(path.folder / SUBMITTED)
            if isinstance(held, dict) and isinstance(held.get(path.group), str):
                known[id(path)] = held[path.group]
        there = _queued(known.values()) if known else set()
        self.numbers = {key: number for key, number in known.items() if number in there}

    # -- looking -------------------------------------------------------------------------------------------------------

    def _look(self) -> list[CasePath]:
        """Take up new states; the paths whose job has ended."""
        pool, ended = self.pool, []
        for path in [path for path in pool.paths if id(path) in self.numbers]:
            for entry in path.members:
                if not pool.states[path.folder, entry["name"]].ended:
                    pool.states[path.folder, entry["name"]] = state_of(path.folder, entry)
            if not self._is_due(path):
                ended.append(path)
        if ended or time.monotonic() - self.asked > ASK:
            self.asked = time.monotonic()
            there = _queued(self.numbers.values())
            for path in pool.paths:
                if id(path) in self.numbers and path not in ended and self.numbers[id(path)] not in there:
                    for entry in path.members:
                        pool.states[path.folder, entry["name"]] = state_of(path.folder, entry)
                    ended.append(path)
        for path in ended:
            del self.numbers[id(path)]
        pool.running = [
            Job(path, 0, Worker(), [entry["name"] for entry in path.members])
            for path in pool.paths
            if id(path) in self.numbers
            and any((self._folder(path, entry) / "case.toml").is_file() for entry in path.members)
        ]
        if ended:
            self._write()
        return ended

    def _folder(self, path: CasePath, entry: dict[str, Any]) -> Path:
        return self.pool.states[path.folder, entry["name"]].path

    def _give_up(self, path: CasePath) -> None:
        """Say of cases whose jobs leave no result that they failed."""
        for entry in path.members:
            case = self.pool.states[path.folder, entry["name"]]
            if not case.ended:
                case.path.mkdir(parents=True, exist_ok=True)
                reason = f"its Slurm job ended {ROUNDS} times without a result; see logs/slurm"
                status = Status("failed", reason, entry["key"], cause="infrastructure", attempts=ROUNDS)
                write_status(case.path, status)
                self.pool.states[path.folder, entry["name"]] = state_of(path.folder, entry)


def _python() -> str:
    """The command that starts Python in a job: by way of `env/run`, whose interpreter exists only inside."""
    run = Path(__file__).parents[1] / "env" / "run"
    return f"{shlex.quote(str(run))} python" if run.is_file() else shlex.quote(sys.executable)


def _queued(numbers: Iterable[str]) -> set[str]:
    """Which jobs Slurm still has, running or waiting; all of them where it does not answer."""
    wanted = set(numbers)
    arrays = sorted({number.partition("_")[0] for number in wanted})
    if not arrays:
        return set()
    command = ["squeue", "--noheader", "--array", "--format=%i %T", f"--jobs={','.join(arrays)}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return wanted
    if answer.returncode != 0:
        # squeue fails for a job that it does not know any more, and when the controller is away.
        return set() if "Invalid job id" in answer.stderr else wanted
    over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}
    rows = (line.split() for line in answer.stdout.splitlines())
    there = {row[0] for row in rows if len(row) == 2 and row[1] not in over}
    return wanted & there

"""Runs cases and keeps their folders: one command per path of cases, that can be called again at any time.

`python -m studies.worker DIR PATH` computes what is due of one path of a sweep, on one rung of the ladder. A pipe on
its standard input ties it to the sweep: when the sweep is gone, however it ended, the worker stops as if by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
import tomllib
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from geometry import SpineMesh
from studies.case import Case
from studies.errors import InputError
from studies.files import BusyError, is_no_space, locked, make_way, write_json, write_text
from studies.inputs import end_of_injection
from studies.ladder import LADDER, Cause, cause_of, changes, is_invalid, on_rung
from studies.provenance import mesh_note, provenance
from studies.reading import case_toml, validate_case
from studies.runfolder import CASE, RETRY, RunFolder, State, Status, read_status, write_status
from studies.solver import run_key
from studies.standing import CaseState, due_together, read_plan, state_of

if TYPE_CHECKING:
    from mpi4py import MPI

SIMULATOR: Final = "studies.solver:simulate_group"
DONE, BAD_INPUT, FAILED, INTERRUPTED = 0, 2, 3, 130
"""Exit statuses."""
NO_SPACE, BUSY, STALE = 74, 75, 76
"""Exit statuses of a worker: the disk is full; another process computes the path; the model is not that of the plan."""
PATIENCE: Final = 2.0
"""Seconds that a worker waits for another one to let go of a run folder."""

Simulator = Callable[..., list[RunFolder]]


@dataclass(frozen=True)
class Target:
    """Where a case is computed to.

    Attributes:
        path: run folder.
        text: `case.toml`, the case as asked for.
        key: content key.
        rung: of the ladder, on which it is solved.
        attempt: number of this attempt on that rung.
        changes: keys that the rung changes, with their values there.
    """

    path: Path
    text: str
    key: str
    rung: int = 0
    attempt: int = 1
    changes: Mapping[str, Any] = field(default_factory=dict)


def named_simulator(name: str) -> Simulator:
    """The function that simulates a group of cases, by `module:function`."""
    module, _, function = name.partition(":")
    simulator: Simulator = getattr(importlib.import_module(module), function)
    return simulator


def folder_maker(
    comm: MPI.Comm | None,
    targets: Mapping[str, Target],
    watch: Callable[[Path, Any], None] | None = None,
) -> Callable[[Case, SpineMesh, float], RunFolder]:
    """A function that makes the run folder of a case, looked up by the text of the case as it is solved."""
    rank, ranks = (comm.rank, comm.size) if comm is not None else (0, 1)

    def make(case: Case, mesh: SpineMesh, begin: float) -> RunFolder:
        target = targets[case_toml(case)]
        record = provenance(case, mesh, ranks) if rank == 0 else {}
        if target.rung:
            record["retry"] = {"rung": LADDER[target.rung].name, "changes": dict(target.changes)}
        folder = RunFolder(
            target.path,
            target.text,
            record,
            target.key,
            injection_end=end_of_injection(case),
            rank=rank,
            fields=case.output.fields,
            mesh_note=mesh_note(case),
            begin=begin,
            rung=target.rung,
            attempt=target.attempt,
        )
        if watch is not None:
            folder.on_row.append(lambda row: watch(target.path, row))
        return folder

    return make


def run_group(folder: Path, group: str, simulator: str = SIMULATOR, rung: int | None = None) -> int:
    """Compute what is due of one path of a sweep.

    Args:
        folder: of the sweep.
        group: name of the path.
        simulator: what simulates, as `module:function`.
        rung: of the ladder; default the lowest on which something is due.

    Returns:
        Exit status: 0 all done, 3 some failed or invalid, 74 the disk is full, 75 another process is at it, 76 the
        model changed since the sweep was planned, 130 interrupted.

    Raises:
        InputError: there is no such sweep or path.
    """
    members = [entry for entry in read_plan(folder)["cases"] if entry["group"] == group]
    if not members:
        raise InputError("PATH", f'"{group}"', f"{folder} has no such path")
    with contextlib.ExitStack() as locks:
        states = []
        for entry in members:
            case = state_of(folder, entry, check=True)
            if case.due is not None:
                make_way(case.path)
                try:
                    locks.enter_context(locked(case.path, PATIENCE))
                except BusyError as error:
                    print(error, file=sys.stderr)
                    return BUSY
                case = state_of(folder, entry, check=True)  # another process may have finished it meanwhile
            states.append(case)
        cases = due_together(case for case in states if rung in (None, case.due))
        if not cases:
            return DONE if all(case.state == "done" for case in states) else FAILED
        return _compute(cases, cases[0].due or 0, simulator)


def _compute(states: Sequence[CaseState], rung: int, simulator: str) -> int:
    """Compute cases whose folders are held."""
    targets: dict[str, Target] = {}
    cases: list[Case] = []
    for state in states:
        asked = validate_case(tomllib.loads(state.entry["case"]))
        if run_key(asked) != state.entry["key"]:
            print("the model or a mesh file changed since the sweep was planned", file=sys.stderr)
            return STALE
        case = on_rung(asked, rung)
        cases.append(case)
        target = Target(
            state.path, case_toml(asked), state.entry["key"], rung, state.attempt, changes(asked, rung) if rung else {}
        )
        targets[case_toml(case)] = target
    cases.sort(key=lambda case: -case.injection[-1].volume)
    from mpi4py import MPI

    try:
        for target in targets.values():
            _note_rung(target)
        sinks = named_simulator(simulator)(MPI.COMM_WORLD, cases, folder_maker(MPI.COMM_WORLD, targets))
    except KeyboardInterrupt:
        _end_all(targets.values(), "interrupted", "stopped by the user")
        return INTERRUPTED
    except Exception as error:
        if is_no_space(error):
            print(f"no space left: {error}", file=sys.stderr)
            return NO_SPACE
        if is_invalid(error):
            _end_all(targets.values(), "invalid", str(error))
        else:
            _end_all(targets.values(), "failed", f"{type(error).__name__}: {error}", cause_of(error))
            traceback.print_exc()
        return FAILED
    return DONE if all(sink.status is not None and sink.status.state == "done" for sink in sinks) else FAILED


def _note_rung(target: Target) -> None:
    """Keep in the folder on which rung a case is being solved, so that a new start goes on there."""
    if target.rung == 0:
        (target.path / RETRY).unlink(missing_ok=True)
        return
    write_json(
        target.path / RETRY,
        {"key": target.key, "rung": target.rung, "name": LADDER[target.rung].name, "changes": dict(target.changes)},
    )


def _end_all(targets: Iterable[Target], state: State, reason: str, cause: Cause = "") -> None:
    """Give every case of a path that this attempt has not ended the state of the whole."""
    for target in targets:
        status = read_status(target.path)
        attempt = (target.key, target.rung, target.attempt)
        if status is None or status.state == "interrupted" or (status.key, status.rung, status.attempts) != attempt:
            target.path.mkdir(parents=True, exist_ok=True)
            write_text(target.path / CASE, target.text)
            write_status(
                target.path,
                Status(
                    state,
                    " ".join(reason.split()),
                    target.key,
                    cause=cause,
                    rung=target.rung,
                    attempts=target.attempt,
                ),
            )


def stop_on_signals() -> None:
    """Let SIGTERM stop a run the way Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _watch_leash() -> None:
    """Stop this process when the other end of its standard input is closed."""

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of `python -m studies.worker`."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.worker", description="Compute what is due of one path of cases of a sweep."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("path")
    parser.add_argument("--rung", type=int, choices=range(len(LADDER)), help="of the ladder; default the lowest due")
    parser.add_argument("--simulator", default=SIMULATOR, help=argparse.SUPPRESS)
    parser.add_argument("--leash", action="store_true", help="stop when standard input is closed")
    options = parser.parse_args(arguments)
    stop_on_signals()
    if options.leash:
        _watch_leash()
    try:
        return run_group(options.folder, options.path, options.simulator, options.rung)
    except KeyboardInterrupt:
        return INTERRUPTED
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())

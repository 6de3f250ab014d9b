"""Runs cases and keeps their folders: one command per group of cases, that can be called again at any time.

`python -m studies.worker DIR GROUP` computes what is missing of one group of a sweep. A pipe on its standard input ties
it to the sweep: when the sweep is gone, however it ended, the worker stops as if by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import tomllib
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Literal

from geometry import AnatomyError, MeshError, SpineMesh
from studies.case import Case
from studies.errors import InputError
from studies.provenance import mesh_note, provenance
from studies.reading import case_toml, validate_case
from studies.resolve import end_of_injection
from studies.runfolder import RunFolder, Status, locked, read_status, write_status, write_text

if TYPE_CHECKING:
    from mpi4py import MPI

PLAN: Final = "plan.json"
SIMULATOR: Final = "studies.solver:simulate_group"
DONE, BAD_INPUT, FAILED, INTERRUPTED = 0, 2, 3, 130
"""Exit statuses."""

Simulator = Callable[..., list[RunFolder]]


def named_simulator(name: str) -> Simulator:
    """The function that simulates a group of cases, by `module:function`."""
    module, _, function = name.partition(":")
    simulator: Simulator = getattr(importlib.import_module(module), function)
    return simulator


def folder_maker(
    comm: MPI.Comm | None,
    paths: dict[str, Path],
    keys: dict[str, str],
    watch: Callable[[Path, Any], None] | None = None,
) -> Callable[[Case, SpineMesh, float], RunFolder]:
    """A function that makes the run folder of a case, looked up by its text."""
    rank, ranks = (comm.rank, comm.size) if comm is not None else (0, 1)

    def make(case: Case, mesh: SpineMesh, begin: float) -> RunFolder:
        text = case_toml(case)
        folder = RunFolder(
            paths[text],
            text,
            provenance(case, mesh, ranks) if rank == 0 else {},
            keys[text],
            injection_end=end_of_injection(case.injection[-1]),
            rank=rank,
            fields=case.output.fields,
            mesh_note=mesh_note(case),
            begin=begin,
        )
        if watch is not None:
            folder.on_row.append(lambda row: watch(paths[text], row))
        return folder

    return make


def is_invalid(error: BaseException) -> bool:
    """Whether an error means that the case cannot be posed, rather than not be solved."""
    if isinstance(error, AnatomyError | MeshError | InputError):
        return True
    return type(error).__name__ == "ModelError"


def run_group(folder: Path, group: str, simulator: str = SIMULATOR) -> int:
    """Compute what is missing of one group of a sweep.

    Returns:
        Exit status: 0 all done, 3 some failed or invalid, 130 interrupted.
    """
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    members = [entry for entry in plan["cases"] if entry["group"] == group]
    cases: list[Case] = []
    paths: dict[str, Path] = {}
    keys: dict[str, str] = {}
    with contextlib.ExitStack() as locks:
        for entry in members:
            path = folder / "runs" / entry["name"]
            status = read_status(path)
            if status is not None and status.key == entry["key"] and status.state in ("done", "invalid"):
                continue
            locks.enter_context(locked(path))
            case = validate_case(tomllib.loads(entry["case"]))
            text = case_toml(case)
            cases.append(case)
            paths[text], keys[text] = path, entry["key"]
        if not cases:
            return DONE
        cases.sort(key=lambda case: -case.injection[-1].volume)
        from mpi4py import MPI

        try:
            sinks = named_simulator(simulator)(MPI.COMM_WORLD, cases, folder_maker(MPI.COMM_WORLD, paths, keys))
        except KeyboardInterrupt:
            _end_all(paths, keys, "interrupted", "stopped by the user")
            return INTERRUPTED
        except Exception as error:
            state: Literal["invalid", "failed"] = "invalid" if is_invalid(error) else "failed"
            _end_all(paths, keys, state, str(error) if is_invalid(error) else f"{type(error).__name__}: {error}")
            if not is_invalid(error):
                traceback.print_exc()
            return FAILED
    return DONE if all(sink.status is not None and sink.status.state == "done" for sink in sinks) else FAILED


def _end_all(
    paths: dict[str, Path], keys: dict[str, str], state: Literal["invalid", "failed", "interrupted"], reason: str
) -> None:
    """Give every case of a group that has no status of its own the group's."""
    for text, path in paths.items():
        status = read_status(path)
        if status is None or status.key != keys[text] or status.state == "interrupted":
            path.mkdir(parents=True, exist_ok=True)
            write_text(path / "case.toml", text)
            write_status(path, Status(state, " ".join(reason.split()), keys[text]))


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
        prog="python -m studies.worker", description="Compute what is missing of one group of a sweep."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("group")
    parser.add_argument("--simulator", default=SIMULATOR, help=argparse.SUPPRESS)
    parser.add_argument("--leash", action="store_true", help="stop when standard input is closed")
    options = parser.parse_args(arguments)
    stop_on_signals()
    if options.leash:
        _watch_leash()
    try:
        return run_group(options.folder, options.group, options.simulator)
    except KeyboardInterrupt:
        return INTERRUPTED
    except InputError as error:
        print(error, file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())

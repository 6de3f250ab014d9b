"""One case to one run folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geometry import AnatomyError, MeshError
from studies.answer import answer
from studies.case import Case
from studies.console import PLAIN, Progressing, complain, headline, say
from studies.errors import InputError
from studies.files import locked
from studies.inputs import end_of_injection
from studies.ladder import is_invalid
from studies.memory import cores
from studies.posable import check_posable
from studies.process import search_path, stop_process
from studies.provenance import mesh_note
from studies.reading import case_toml, read_case, validate_case
from studies.resolve import resolve
from studies.runfolder import CASE, Status, check_folder, read_status, write_status
from studies.solver import mesh_of, run_key
from studies.standing import read_summary
from studies.worker import BAD_INPUT, DONE, FAILED, INTERRUPTED, SIMULATOR, Target, folder_maker, named_simulator

if TYPE_CHECKING:
    from mpi4py import MPI

REFUSAL: Final = "BLOODPATCH_REFUSAL"
"""Names the file in which ranks say why they refuse a case. A refusal, or a failure, which the run folder holds, is no
status of theirs: `mpirun` has a paragraph of its own to say about every one but 0."""

_MPI_VARIABLES: Final = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")


def ranks_here() -> int:
    """Number of MPI ranks this process was started with; 1 outside of `mpirun`. Does not start MPI."""
    return max(int(os.environ.get(name, "1") or "1") for name in _MPI_VARIABLES)


USUAL_RANKS: Final = 2
"""Ranks of a single case where nothing else is asked for: two take 0.6 of one's time, more gain little at its size."""


def usual_ranks() -> int:
    """Ranks of a single case on this machine: as many as it has cores up to two, one without `mpirun`."""
    return min(USUAL_RANKS, cores()) if _mpirun() is not None else 1


def _mpirun() -> str | None:
    return shutil.which("mpirun") or shutil.which("mpiexec")


def run(
    case_file: Path,
    out: Path,
    settings: Sequence[str] = (),
    ranks: int = 1,
    quiet: bool = False,
    simulator: str = SIMULATOR,
) -> int:
    """Run a case file.

    Args:
        case_file: the case.
        out: run folder.
        settings: `KEY=VALUE` of `--set`.
        ranks: MPI ranks; more than one starts `mpirun`.
        quiet: say nothing while it runs.
        simulator: what simulates, for tests.

    Returns:
        Exit status.

    Raises:
        InputError: the case or the folder cannot be used.
    """
    if ranks_here() > 1:
        return _run_under_mpirun(case_file, out, settings, quiet, simulator)
    case = _to_run(case_file, out, settings, quiet, simulator)
    if case is None:
        return DONE
    if ranks > 1:
        return _launch(case_toml(case), run_key(case), out, ranks, quiet, simulator)
    return run_resolved(case, out, quiet, simulator)


def _to_run(case_file: Path, out: Path, settings: Sequence[str], quiet: bool, simulator: str) -> Case | None:
    """The resolved case; None where it is finished already."""
    case = resolve(read_case(case_file, settings))
    if check_folder(out, run_key(case), case_toml(case)):
        if not quiet:
            say(f"{out}: this case is finished already")
        return None
    if simulator == SIMULATOR:
        _check_mesh(case)
    return case


def _run_under_mpirun(case_file: Path, out: Path, settings: Sequence[str], quiet: bool, simulator: str) -> int:
    """Run as one of the ranks of an `mpirun` of the user's: the first one looks at case and folder for all."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD

    def together() -> int:
        text, refused = "", False
        if comm.rank == 0:
            try:
                case = _to_run(case_file, out, settings, quiet, simulator)
                text = case_toml(case) if case else ""
            except InputError as error:
                complain(str(error))
                refused = True
        text, refused = comm.bcast((text, refused))
        if refused:
            return BAD_INPUT
        return run_resolved(validate_case(tomllib.loads(text)), out, quiet, simulator) if text else DONE

    return _answered(comm, together)


def _answered(comm: MPI.Comm, work: Callable[[], int]) -> int:
    """The exit status of what all ranks do; an error of one ends all, since the others may be waiting for it."""
    try:
        return work()
    except Exception as error:
        returned = answer(error)
        if comm.size > 1:
            comm.Abort(returned)
        return returned


def _check_mesh(case: Case) -> None:
    """Refuse a case whose mesh cannot be had, or has no place for what is asked, before anything is written."""
    check_posable(case)
    try:
        mesh_of(case)
    except (AnatomyError, MeshError, OSError) as error:
        raise InputError("anatomy" if case.anatomy.mesh is None else "anatomy.mesh", "", str(error)) from error


def run_resolved(case: Case, out: Path, quiet: bool = False, simulator: str = SIMULATOR) -> int:
    """Run a resolved case with the ranks of this process."""
    from mpi4py import MPI

    with contextlib.ExitStack() as held:
        return _run_held(MPI.COMM_WORLD, case, out, quiet, simulator) if _hold(MPI.COMM_WORLD, out, held) else BAD_INPUT


def _hold(comm: MPI.Comm, out: Path, held: contextlib.ExitStack) -> bool:
    """Let the first rank hold the run folder; False on all ranks where it cannot, and has said why.

    All know it before any of them enters the simulation, where they would wait for the first one.
    """
    holds = True
    if comm.rank == 0:
        try:
            held.enter_context(locked(out))
        except InputError as error:
            _refuse(str(error))
            holds = False
    return bool(comm.bcast(holds))


def _run_held(comm: MPI.Comm, case: Case, out: Path, quiet: bool, simulator: str) -> int:
    """Run a resolved case to a folder that the first rank holds."""
    text, key = case_toml(case), run_key(case)
    targets = {text: Target(out, text, key)}
    first = comm.rank == 0
    end = end_of_injection(case) + case.time.follow_up
    if first and not quiet:
        say(f"mesh {mesh_note(case)}")
    label = f"{case.injection[-1].volume * 1e6:g} mL at {case.injection[-1].level}"
    with Progressing(label, end, quiet=quiet or not first) as progress:
        progress.update(0.0, "building the model", force=True)

        def watch(path: Path, row: Mapping[str, Any]) -> None:
            pressure = row.get("csf_pressure_mmHg")
            note = f"t {row['time_s']:.0f} of {end:.0f} s" + (
                f", CSF {pressure:.2f} mmHg" if isinstance(pressure, float) else ""
            )
            progress.update(float(row["time_s"]), note)

        try:
            folders = folder_maker(comm, targets, watch if first else None)
            (folder,) = named_simulator(simulator)(comm, [case], folders)
        except KeyboardInterrupt:
            if first:
                end_without_status(out, text, key, "stopped by the user")
                complain(f"interrupted{kept(out)}")
            return INTERRUPTED
        except Exception as error:
            if not is_invalid(error):
                raise
            if first:
                _refuse(" ".join(str(error).split()))
            return BAD_INPUT
    status = folder.status
    assert status is not None
    if first:
        tell(out, status, quiet)
    return DONE if status.state == "done" else FAILED


def _refuse(reason: str) -> None:
    """Say why a case cannot be posed: here, or to the process that started `mpirun`."""
    if REFUSAL in os.environ:
        Path(os.environ[REFUSAL]).write_text(reason, encoding="utf-8")
    else:
        complain(reason)


def tell(out: Path, status: Status, quiet: bool = False) -> None:
    """Say how a run ended."""
    if status.state != "done":
        complain(f"{status.state}: {status.reason}{kept(out)}")
    elif not quiet:
        summary = read_summary(out)
        say(f"{out}: done in {status.wall_time_s:.0f} s; mesh {summary.get('mesh', '')}")
        for line in headline(summary):
            say(line)


def kept(out: Path) -> str:
    """Where what was reached is, if anything was."""
    return f"; what was reached is in {out}" if (out / CASE).is_file() else ""


def end_without_status(out: Path, text: str, key: str, reason: str, state: Any = "interrupted") -> None:
    """Give a folder that a run was cut off in its state; nothing where no folder was made."""
    if read_status(out) is None and (out / CASE).is_file():
        write_status(out, Status(state, reason, key))


def _launch(text: str, key: str, out: Path, ranks: int, quiet: bool, simulator: str) -> int:
    """Run under `mpirun` and look after the status: a rank that is killed cannot."""
    mpirun = _mpirun()
    if mpirun is None:
        raise InputError("--ranks", str(ranks), "mpirun was not found; allowed is 1")
    command = [mpirun, "-n", str(ranks), *rank_command(out, simulator, quiet)]
    with tempfile.NamedTemporaryFile("r", prefix="bloodpatch-", encoding="utf-8") as refusal:
        environment = {REFUSAL: refusal.name} | ({} if sys.stdout.isatty() else {PLAIN: "1"})
        process = start_with_case(command, text, environment)
        try:
            returned = process.wait()
        except KeyboardInterrupt:
            stop_process(process)
            end_without_status(out, text, key, "stopped by the user")
            complain(f"interrupted{kept(out)}")
            return INTERRUPTED
        finally:
            with contextlib.suppress(OSError):
                out.rmdir()  # where nothing came of it
        if reason := refusal.read():
            complain(reason)
            return BAD_INPUT
    status = read_status(out)
    if status is None:
        end_without_status(out, text, key, f"mpirun ended with status {returned}", "failed")
        if returned != BAD_INPUT:
            complain(f"failed: mpirun ended with status {returned}{kept(out)}")
        return returned if returned in (BAD_INPUT, INTERRUPTED) else FAILED
    return DONE if status.state == "done" else INTERRUPTED if status.state == "interrupted" else FAILED


def rank_command(out: Path, simulator: str, quiet: bool) -> list[str]:
    """The command that runs a resolved case; the case itself comes by way of standard input."""
    return [sys.executable, "-m", "studies.runner", str(out), simulator, *(["--quiet"] if quiet else [])]


def start_with_case(
    command: Sequence[str], text: str, environment: Mapping[str, str], **streams: Any
) -> subprocess.Popen[str]:
    """Start such a command, alone or under `mpirun`, which gives its standard input to the first rank."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search_path(), **environment},
        start_new_session=True,
        text=True,
        **streams,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as stream:
        stream.write(text)
    return process


def _main(arguments: Sequence[str]) -> int:
    """Entry of every rank: run folder, simulator; the first one reads the case."""
    from mpi4py import MPI

    from studies.worker import stop_on_signals

    stop_on_signals()
    comm = MPI.COMM_WORLD

    def together() -> int:
        text = comm.bcast(sys.stdin.read() if comm.rank == 0 else None)
        case = validate_case(tomllib.loads(text))
        returned = run_resolved(case, Path(arguments[0]), "--quiet" in arguments, arguments[1])
        told = REFUSAL in os.environ and returned in (BAD_INPUT, FAILED)
        return DONE if told else returned

    return _answered(comm, together)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))

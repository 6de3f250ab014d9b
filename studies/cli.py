"""The command line. Nothing that a user does ends in a traceback; exit statuses are 0, 2, 3 and 130."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from studies.answer import answer
from studies.console import complain, counted, say
from studies.errors import InputError, shown
from studies.worker import DONE, INTERRUPTED, stop_on_signals

app = typer.Typer(
    name="bloodpatch",
    help="Finite-element model of the epidural blood patch. Research use only: nothing here decides about a patient.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _path(text: str | Path) -> Path:
    """A path to write to; an empty one would be the current folder."""
    if not str(text).strip():
        raise typer.BadParameter(f"got {shown(str(text))}; allowed is a path that can be written")
    return Path(text)


def _folder(text: str | Path) -> Path:
    """A folder to read."""
    try:
        if Path(text).is_dir() and str(text).strip():
            return Path(text)
    except (OSError, ValueError):
        pass
    raise typer.BadParameter(f"got {shown(str(text), 200)}; allowed is a folder of a sweep or of a run")


CaseFile = Annotated[Path, typer.Argument(metavar="CASE", help="case file (TOML)")]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", parser=_path, help="folder to write to; made where missing")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="replace a key, such as injection.0.volume=15mL; may be repeated"),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", parser=_folder, help="folder of a sweep or of a run")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", min=1, metavar="N", help="workers at a time; default as many as cores and memory allow"
    ),
]


class Kind(StrEnum):
    """What a schema is of."""

    CASE = "case"
    STUDY = "study"


def _version(wanted: bool) -> None:
    if wanted:
        import fem
        from studies.provenance import version

        say(f"bloodpatch {version()}, model version {fem.MODEL_VERSION}")
        raise typer.Exit(DONE)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def run(
    case: CaseFile,
    out: Out,
    settings: Set = None,
    ranks: Annotated[
        int | None,
        typer.Option("--ranks", min=1, max=64, metavar="N", help="MPI ranks; default two where there are two cores"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="say nothing while it runs")] = False,
) -> int:
    """Run one case to one run folder."""
    from studies.runner import run as run_case
    from studies.runner import usual_ranks

    return run_case(case, _writable(out), settings or [], ranks or usual_ranks(), quiet)


@app.command()
def sweep(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="study file, or a case file with --vary")],
    out: Out,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="KEY=VALUE,VALUE", help="vary a key; every combination is run; may be repeated"),
    ] = None,
    settings: Set = None,
    jobs: Jobs = None,
    executor: Annotated[str, typer.Option("--executor", metavar="local|slurm", help="where the cases run")] = "local",
    resume: Annotated[
        bool, typer.Option("--resume", help="compute failed cases again, too; without it they stay as they are")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="say what would be computed; write the design and a pilot of a few steps only"),
    ] = False,
    pilot: Annotated[bool, typer.Option("--pilot/--no-pilot", help="with --dry-run: measure a few steps")] = True,
    only_prepare: Annotated[
        bool, typer.Option("--prepare", help="write the plan and run nothing: for a scheduler that calls compute")
    ] = False,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", metavar="TIME", help="after which a case counts as hung; default 12 h")
    ] = None,
) -> int:
    """Run many cases; safe to interrupt and to call again."""
    from studies.dryrun import dry_run as tell_what
    from studies.executors import named_executor
    from studies.study import read_study
    from studies.sweep import check, execute, prepare, write_design

    options = [] if time_limit is None else [f'sweep.time_limit="{time_limit}"']
    plan = read_study(study, vary or [], [*(settings or []), *options])
    check(plan, _writable(out), resume)
    named_executor(executor).need()
    if dry_run:
        write_design(plan, out)
        tell_what(plan, out, jobs, pilot)
        return DONE
    sweep = prepare(plan, out, resume)
    if only_prepare:
        say(f"{out / 'plan.json'}: {len(plan.cases)} cases along {len(plan.groups)} paths")
        return DONE
    return execute([sweep], jobs, resume, executor=executor)


@app.command()
def compute(
    folder: Folder,
    cases: Annotated[
        list[str], typer.Argument(metavar="CASE...", help="names of cases, or of paths, in the sweep's plan")
    ],
) -> int:
    """Compute cases of a prepared sweep, unless they are finished: for a scheduler of your own."""
    from studies.compute import compute as compute_cases

    return compute_cases(folder, cases)


@app.command()
def status(folder: Folder) -> int:
    """Say where a run stands, a sweep, or each sweep of a demo or reference."""
    from studies.protocols import sweeps_in
    from studies.results import case_states, counts, is_run, is_sweep
    from studies.runfolder import damage, read_status

    if is_run(folder) and not is_sweep(folder):
        ended = read_status(folder)
        if ended is None:
            say(f"{folder}: started, not ended")
        elif ended.state == "done" and (wrong := damage(folder, ended)):
            say(f"{folder}: damaged: {wrong}")
        else:
            say(f"{folder}: {ended.state}" + (f": {ended.reason}" if ended.reason else ""))
        return DONE
    for sweep in sweeps_in(folder) or [folder]:
        states = case_states(sweep)
        say(
            f"{sweep}: {counted(len(states), 'case')}: "
            + ", ".join(f"{number} {state}" for state, number in counts(states).items())
        )
        for case in states:
            if case.state not in ("done", "waiting"):
                say(f"  {case.entry['name']}: {case.state}" + (f": {case.reason}" if case.reason else ""))
    return DONE


@app.command()
def collect(folder: Folder) -> int:
    """Write the table of a sweep from whatever has finished."""
    from studies.results import collect as collect_table
    from studies.results import shortfall

    frame = collect_table(_writable(folder))
    if said := shortfall(frame):
        say(said)
    say(f"{folder / 'results.csv'}: {len(frame)} cases, {int((frame['state'] == 'done').sum())} done")
    return DONE


@app.command()
def compare(folder: Folder) -> int:
    """Hold the predictions of one or more sweeps against clinical data: table, figures, page."""
    from studies.compare import compare as compare_folder

    page = compare_folder(folder)
    say(f"{page}: open it in a browser")
    return DONE


@app.command()
def plot(
    folder: Folder,
    animation: Annotated[bool, typer.Option(help="write the injection as GIF, too")] = True,
) -> int:
    """Draw a run (cuts, 3D view, curves, animation) or a sweep, into DIR/figures."""
    from studies.plot import plot as plot_folder

    for picture in plot_folder(_writable(folder), animation):
        say("\n".join(str(path) for path in picture.files))
    return DONE


@app.command()
def report(folder: Folder) -> int:
    """Write one self-contained page about a run, a sweep or a comparison: DIR/report.html."""
    from studies.report import report as report_folder

    say(f"{report_folder(_writable(folder))}: open it in a browser")
    return DONE


@app.command()
def shares(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="folder to write to; default DIR itself")
    ] = None,
) -> int:
    """Shares of an ensemble that a patch reaches, with binomial intervals: shares.csv and a figure."""
    from studies.shares import write_shares

    written, picture = write_shares(folder, _writable(out or folder))
    say("\n".join(str(path) for path in (written, *picture.files)))
    return DONE


@app.command()
def calibrate(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="study file with [calibrate]")],
    out: Out,
    settings: Set = None,
    jobs: Jobs = None,
) -> int:
    """Fit at most as many parameters as there are independent data, with uncertainty."""
    from studies.calibrate import calibrate as fit

    return fit(study, _writable(out), settings or [], jobs)


@app.command()
def uncertainty(
    out: Out,
    calibration: Annotated[
        Path, typer.Option("--calibration", metavar="DIR", help="folder of bloodpatch calibrate")
    ] = Path("results/calibration"),
    jobs: Jobs = None,
) -> int:
    """What a calibration leaves open, carried into every prediction that is held against patients."""
    from studies.calibrate.uncertainty import uncertainty as carry

    return carry(calibration, _writable(out), jobs)


@app.command()
def demo(out: Out = Path("results/demo"), jobs: Jobs = None) -> int:
    """The main job: volume and level, held against clinical data."""
    from studies.demo import demo as run_demo

    return run_demo(_writable(out), jobs)


@app.command()
def reference(
    out: Out = Path("results/reference"),
    settings: Set = None,
    jobs: Jobs = None,
    only_collect: Annotated[
        bool, typer.Option("--collect", help="compute nothing: tables and figures of whatever has finished")
    ] = False,
) -> int:
    """The reference sweep: volumes, levels and approaches, with table, maps and comparison."""
    from studies.demo import reference as run_reference

    return run_reference(_writable(out), settings or [], jobs, only_collect)


@app.command()
def procedure(
    out: Out = Path("results/procedure"),
    ranks: Annotated[
        int | None, typer.Option("--ranks", min=1, max=64, metavar="N", help="MPI ranks of a case")
    ] = None,
    only_collect: Annotated[
        bool, typer.Option("--collect", help="compute nothing: the table of whatever has finished")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="say nothing while it runs")] = False,
) -> int:
    """The twelve facts of the procedure, each from its case file as written: do they hold in the model?"""
    from studies.procedure import PAGE, collect
    from studies.procedure import procedure as run_all
    from studies.runner import usual_ranks

    if only_collect:
        collect(_writable(out))
        say(str(out / PAGE))
        return DONE
    return run_all(_writable(out), ranks or usual_ranks(), quiet)


@app.command()
def verify(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help='one problem, all of them by default; "production" reads --sweep'),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="finer meshes and steps; takes much longer")] = False,
    sweep: Annotated[
        Path, typer.Option("--sweep", metavar="DIR", help="sweep of studies/cases/production.toml to read")
    ] = Path("results/production"),
    out: Out = Path("results/verification"),
) -> int:
    """Solve problems with known answers: error, order of convergence and verdict of each."""
    from studies.verification import PRODUCTION, command

    if name == PRODUCTION:
        from studies.verification.production_report import command as judge_production

        return judge_production(sweep, _writable(out))
    return command(name, full, _writable(out))


@app.command()
def mesh(
    case: CaseFile,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="mesh file; its suffix decides the format")],
    settings: Set = None,
) -> int:
    """Write the mesh of a case with its regions and surfaces, in millimetres."""
    from studies.export import write_case_mesh

    return write_case_mesh(case, _writable(out), settings or [])


@app.command()
def schema(
    kind: Annotated[Kind, typer.Argument(metavar="[case|study]", help="what the schema is of")] = Kind.CASE,
) -> int:
    """Print the JSON schema of case or study files."""
    from studies.schema import json_schema

    say(json.dumps(json_schema(kind), indent=2, ensure_ascii=False))
    return DONE


def _writable(out: Path) -> Path:
    """Refuse a path that nothing can be written to before any work is done."""
    if "\0" in str(out) or not str(out).strip():
        raise InputError("--out", shown(str(out)), "allowed is a path that can be written")
    try:
        nearest = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    except OSError as error:
        raise InputError(
            "--out", shown(str(out)), f"allowed is a path that can be written ({error.strerror})"
        ) from error
    if not os.access(nearest, os.W_OK) or (nearest != out.absolute() and not nearest.is_dir()):
        raise InputError("--out", shown(str(out)), f'allowed is a path that can be written; "{nearest}" cannot')
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit status."""
    stop_on_signals()
    try:
        outcome = get_command(app).main(
            list(sys.argv[1:] if arguments is None else arguments), "bloodpatch", standalone_mode=False
        )
        return outcome if isinstance(outcome, int) else DONE
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except Exception as error:
        return answer(error)

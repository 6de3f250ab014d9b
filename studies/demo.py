"""A study of volume and level, the clinical protocols, and the page that holds them together: small, and in full."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from studies.compare import compare
from studies.console import complain, say
from studies.errors import InputError
from studies.plot import PICTURES
from studies.plot.sweep import draw_sweep
from studies.protocols import sweeps_in
from studies.results import TABLE, collect, shortfall
from studies.study import read_study
from studies.sweep import check, execute, prepare
from studies.worker import DONE, FAILED, INTERRUPTED

CASES: Final = Path(__file__).parent / "cases"
STUDIES: Final = {"volume-level": "demo.toml", "higuchi": "higuchi.toml", "pratt": "pratt.toml"}
QUICK: Final = ('mesh.size="draft"',)
"""What fits the demo into ten minutes of two slow cores. The reference sweep has that mesh, too, its protocols not."""
REFERENCE: Final = {
    "reference": "reference.toml",
    "coverage": "coverage.toml",
    "compression": "compression.toml",
    "higuchi": "higuchi.toml",
    "pratt": "pratt.toml",
}
REFERENCE_TABLE: Final = "reference.csv"


def demo(out: Path, jobs: int | None = None) -> int:
    """The main job, on the draft mesh; a second call only looks.

    Returns:
        Exit status.

    Raises:
        InputError: the folder holds something else.
    """
    return _studies(out, STUDIES, QUICK, jobs)


def reference(out: Path, settings: Sequence[str] = (), jobs: int | None = None, only_collect: bool = False) -> int:
    """The reference sweep: its table and maps beside the comparison, in the folder itself; goes on where it stopped.

    Args:
        out: folder; the sweeps are folders in it.
        settings: KEY=VALUE for every study, such as another size of the mesh.
        jobs: cases at a time.
        only_collect: compute nothing; table and figures of whatever has finished.

    Returns:
        Exit status.

    Raises:
        InputError: the folder holds something else.
    """
    status = _collected(out) if only_collect else _studies(out, REFERENCE, settings, jobs)
    if status != INTERRUPTED and (out / "reference" / TABLE).is_file():
        shutil.copyfile(out / "reference" / TABLE, out / REFERENCE_TABLE)
        draw_sweep(out / "reference", out / PICTURES)
    return status


def _collected(out: Path) -> int:
    """Tables and comparison of the sweeps in a folder as they stand."""
    frames = [collect(sweep) for sweep in sweeps_in(out)]
    if not frames:
        raise InputError(str(out), "no sweep", "allowed is the folder of a reference sweep")
    say(f"page:    {compare(out).resolve()}")
    left = [text for text in map(shortfall, frames) if text]
    for text in left:
        say(text)
    return FAILED if left else DONE


def _studies(out: Path, studies: Mapping[str, str], settings: Sequence[str], jobs: int | None) -> int:
    """Run studies in one pool, then compare."""
    plans = {name: read_study(CASES / file, settings=settings) for name, file in studies.items()}
    for name, plan in plans.items():
        check(plan, out / name, resume=False)
    sweeps = [prepare(plan, out / name) for name, plan in plans.items()]
    asked = f" with {', '.join(settings)}" if settings else ""
    say(f"{sum(len(plan.cases) for plan in plans.values())} cases{asked}; interrupt and call again at will")
    status = execute(sweeps, jobs, label=out.name)
    if status == INTERRUPTED:
        return status
    first = out / next(iter(studies))
    try:
        page = compare(out)
    except InputError as error:
        complain(str(error))
        return FAILED
    say(f"page:    {page.resolve()}")
    say(f"table:   {(first / TABLE).resolve()}")
    say(f"runs:    {(first / 'runs').resolve()}/* (fields.pvd, if written, for ParaView)")
    if status == FAILED:
        say("some cases did not finish; the page says which")
    return status

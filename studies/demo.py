"""The main job: a small study of volume and level, the clinical protocols, and the page that holds them together."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from studies.compare import compare
from studies.console import complain, say
from studies.errors import InputError
from studies.study import read_study
from studies.sweep import check, execute, prepare
from studies.worker import FAILED, INTERRUPTED

CASES: Final = Path(__file__).parent / "cases"
STUDIES: Final = {"volume-level": "demo.toml", "higuchi": "higuchi.toml", "pratt": "pratt.toml"}
MESH: Final = 'mesh.size="draft"'


def demo(out: Path, jobs: int | None = None) -> int:
    """Run the three studies at the draft mesh in one pool, then compare; a second call only looks.

    Returns:
        Exit status.

    Raises:
        InputError: the folder holds something else.
    """
    plans = {name: read_study(CASES / file, settings=[MESH]) for name, file in STUDIES.items()}
    for name, plan in plans.items():
        check(plan, out / name, resume=False)
    sweeps = [prepare(plan, out / name) for name, plan in plans.items()]
    say(f"{sum(len(plan.cases) for plan in plans.values())} cases at a draft mesh; interrupt and call again at will")
    status = execute(sweeps, jobs, label="demo")
    if status == INTERRUPTED:
        return status
    try:
        page = compare(out)
    except InputError as error:
        complain(str(error))
        return FAILED
    say(f"page:    {page.resolve()}")
    say(f"table:   {(out / 'volume-level' / 'results.csv').resolve()}")
    say(f"fields:  {(out / 'volume-level' / 'runs').resolve()}/*/fields.pvd (ParaView)")
    if status == FAILED:
        say("some cases did not finish; the page says which")
    return status

"""Problems with known answers, solved by the production code: is it right, and does its error fall as designed?

Each problem is a class whose file opens with its physics and its references; ``PROBLEMS`` names them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.box import SIMPLE
from rich.table import Table

from fem.errors import SolverError
from studies.console import complain, table_console
from studies.verification.baseline import Baseline, Bolus
from studies.verification.bending import Bending
from studies.verification.coaxial import CoaxialPatch
from studies.verification.conservation import Conservation
from studies.verification.consolidation import MandelSlab, TerzaghiColumn
from studies.verification.fibres import Fibres
from studies.verification.independent import Independent
from studies.verification.invariance import Invariance
from studies.verification.jump import PressureJump
from studies.verification.manufactured import ManufacturedSpace, ManufacturedTime
from studies.verification.marmarou import Infusion
from studies.verification.membranes import CylinderMembrane, FlatDura, RivlinBalloon
from studies.verification.patch_tangent import PatchTangent
from studies.verification.point_source import PointSource
from studies.verification.problem import Outcome, Problem, Study
from studies.verification.report import figure, number, write_tables
from studies.verification.sliding import Sliding
from studies.verification.tangent import Tangent
from studies.verification.transport import Transport
from studies.verification.tube import LameTube

PROBLEMS: dict[str, type[Problem]] = {
    kind.name: kind
    for kind in (
        TerzaghiColumn,
        MandelSlab,
        PointSource,
        LameTube,
        Sliding,
        CylinderMembrane,
        RivlinBalloon,
        FlatDura,
        Fibres,
        Bending,
        CoaxialPatch,
        Infusion,
        PressureJump,
        Transport,
        Tangent,
        ManufacturedSpace,
        ManufacturedTime,
        Independent,
        Baseline,
        Bolus,
        PatchTangent,
        Conservation,
        Invariance,
    )
}
"""Kinds of problem by name, in the order in which they are run."""

PRODUCTION = "production"
"""What the command calls the convergence of the production case, which it reads off a sweep."""

PASSED, UNKNOWN, FAILED = 0, 2, 3
"""Exit statuses."""


def study(name: str, full: bool) -> Study:
    """Run one problem over its levels.

    Raises:
        KeyError: there is no such problem.
        SolverError: a solve failed.
    """
    return Study.of(PROBLEMS[name](), full)


def verify(names: Sequence[str] | None = None, full: bool = False, out: Path | None = None) -> list[Outcome]:
    """Run problems, print their verdicts as they come, and write tables and figures.

    Args:
        names: of the problems; all of them by default.
        full: finer levels.
        out: folder for a table (CSV, Markdown) and a figure per problem; nothing is written by default.

    Raises:
        KeyError: there is no such problem.
    """
    kinds = [PROBLEMS[name] for name in (PROBLEMS if names is None else names)]
    console = table_console()
    outcomes: list[Outcome] = []
    for kind in kinds:
        problem = kind()
        if any(find_spec(module) is None for module in problem.requires):
            console.print(f"{problem.name}: left out, since it needs {', '.join(problem.requires)}")
            continue
        try:
            done = Study.of(problem, full)
        except SolverError as error:
            console.print(f"{problem.name}: {error}", style="red")
            outcomes.append(Outcome(problem.name, "solved", math.inf, 0.0, math.nan, None, False, 0.0))
            continue
        found = done.outcomes()
        outcomes += found
        console.print(_table(problem, found))
        if out is not None:
            figure(done, out)
    if out is not None:
        write_tables(outcomes, out)
    passed = sum(outcome.passed for outcome in outcomes)
    console.print(f"{passed} of {len(outcomes)} checks passed")
    return outcomes


def _table(problem: Problem, outcomes: Sequence[Outcome]) -> Table:
    seconds = outcomes[0].seconds if outcomes else 0.0
    table = Table(title=f"{problem.title} ({problem.name}), {seconds:.0f} s", title_justify="left", box=SIMPLE)
    table.add_column("quantity", min_width=40)
    for heading in ("error", "limit", "order", "expected"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for one in outcomes:
        verdict = "[green]pass[/green]" if one.passed else "[bold red]FAIL[/bold red]"
        order = "-" if math.isnan(one.order) else f"{one.order:.2f}"
        expected = "-" if one.expected is None else f"{one.expected:g}"
        table.add_row(one.quantity, number(one.error), number(one.limit), order, expected, verdict)
    return table


def command(name: str | None, full: bool, out: Path | None) -> int:
    """What ``bloodpatch verify`` does; return its exit status: 0 all pass, 2 unknown name, 3 otherwise."""
    if name is not None and name not in PROBLEMS:
        complain(f'verify: there is no problem "{name}"; there are {", ".join((*PROBLEMS, PRODUCTION))}')
        return UNKNOWN
    outcomes = verify(None if name is None else [name], full, out)
    return PASSED if all(outcome.passed for outcome in outcomes) else FAILED

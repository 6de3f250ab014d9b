"""What is tried again, and how: infrastructure as it was, convergence on the next rung of a ladder, the rest never.

The ladder changes how the equations are solved: steps in time, the course of Newton's method, and the stiffnesses
that keep cells from folding. The run folder keeps the case as asked for, and says on which rung it was solved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from fem.materials import parameter_table
from studies.case import Case
from studies.errors import InputError

Cause = Literal["", "convergence", "validity", "infrastructure", "time limit", "fault"]
"""Why a case failed: the solver gave up; a relation of the model does not hold so far; machine, memory or disk; it
took too long; an error in the program."""

ATTEMPTS: Final[Mapping[str, int]] = {"infrastructure": 3, "time limit": 2}
"""How often a case is computed as it was before it stays failed, by cause."""

FOLDING_STIFFNESS: Final = 3e-5
"""Second-gradient stiffness of bonded fat [N], a hundredth of that of sliding fat (docs/theory.md)."""

NETWORK_STIFFNESS: Final = parameter_table()["network.gradient_stiffness"]
"""Second-gradient stiffness of the subarachnoid network [N], its default and its range."""

MOST_ITERATIONS: Final = 200
"""Bound of `solver.max_iterations` in the case file."""


@dataclass(frozen=True)
class Rung:
    """A way to solve a case, relative to how it asks to be solved.

    Attributes:
        name: for status and table; empty for the case as it stands.
        step: factor of the step after each change of the injection.
        ramp: factor of the largest step during an injection, by which the load grows.
        rest: factor of the largest step otherwise.
        smallest: factor of the step below which the solver gives up.
        growth: largest growth of the step.
        iterations: factor of the Newton iterations before a step is halved.
        folding: what at least keeps the cells of bonded fat from folding [N].
        network: second-gradient stiffness of the subarachnoid network in the place of the default [N]; None for the
            default. A case that asks for another one keeps it: what a study varies is not to be changed behind it.
    """

    name: str = ""
    step: float = 1.0
    ramp: float = 1.0
    rest: float = 1.0
    smallest: float = 1.0
    growth: float = 4.0
    iterations: int = 1
    folding: float = 0.0
    network: float | None = None


LADDER: Final = (
    Rung(),
    Rung("smaller step", step=1 / 2, ramp=1 / 2, rest=1 / 2, smallest=1 / 4, folding=FOLDING_STIFFNESS),
    Rung(
        "finer load ramp",
        step=1 / 4,
        ramp=1 / 4,
        rest=1 / 2,
        smallest=1 / 20,
        growth=1.5,
        iterations=2,
        folding=FOLDING_STIFFNESS,
        network=NETWORK_STIFFNESS.high,
    ),
)
"""Rungs in the order in which they are tried."""


def on_rung(case: Case, rung: int) -> Case:
    """The case as it is solved on a rung of the ladder."""
    step = LADDER[rung]
    if rung == 0:
        return case
    time, solver, network = case.time, case.solver, case.materials.network
    folding = max(solver.folding_stiffness or 0.0, step.folding) if solver.contact == "bonded" else None
    default = step.network is not None and network.gradient_stiffness == NETWORK_STIFFNESS.value
    stiffer = {"gradient_stiffness": step.network} if default else {}
    return case.model_copy(
        update={
            "time": time.model_copy(
                update={
                    "first_step": time.first_step * step.step,
                    "injection_step": time.injection_step * step.ramp,
                    "max_step": time.max_step * step.rest,
                }
            ),
            "solver": solver.model_copy(
                update={
                    "smallest_step": solver.smallest_step * step.smallest,
                    "growth": min(solver.growth, step.growth),
                    "max_iterations": min(solver.max_iterations * step.iterations, MOST_ITERATIONS),
                    "folding_stiffness": folding,
                }
            ),
            "materials": case.materials.model_copy(update={"network": network.model_copy(update=stiffer)}),
        }
    )


def changes(case: Case, rung: int) -> dict[str, Any]:
    """The keys of a case that a rung changes, with their values there, as the case file writes them."""
    tables = {"time", "solver", "materials"}
    before, after = (_values(way.model_dump(mode="json", include=tables)) for way in (case, on_rung(case, rung)))
    return {key: value for key, value in after.items() if value != before[key]}


def _values(tables: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The values of nested tables by dotted key."""
    values: dict[str, Any] = {}
    for key, value in tables.items():
        values |= _values(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return values


def cause_of(error: BaseException) -> Cause:
    """Why a case failed, from what was raised."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "ValidityError" in kinds:
        return "validity"
    if "SolverError" in kinds:
        return "convergence"
    # petsc4py and mpi4py derive theirs from RuntimeError; an external library out of memory comes as one of them.
    module = type(error).__module__.partition(".")[0]
    if kinds & {"OSError", "MemoryError"} or module in ("petsc4py", "mpi4py"):
        return "infrastructure"
    return "fault"


def is_invalid(error: BaseException) -> bool:
    """Whether an error means that the case cannot be posed, rather than not be solved."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, InputError) or bool(kinds & {"AnatomyError", "MeshError", "ModelError"})


def next_rung(cause: Cause, rung: int, attempts: int) -> int | None:
    """The rung on which a failed case is computed again; None where it stays failed."""
    if cause == "convergence":
        return rung + 1 if rung + 1 < len(LADDER) else None
    return rung if attempts < ATTEMPTS.get(cause, 0) else None

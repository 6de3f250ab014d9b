"""What a verification problem is: levels of refinement, errors, the orders and limits that they must meet."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from mpi4py import MPI

from fem.arrays import Array

ORDER_BAND = 0.1
"""An observed order may differ from its design by this much: two finite meshes are not the limit."""

ROUND_OFF = 1e-11
"""Relative errors below this are round-off of a direct solve; they have no order."""


@dataclass(frozen=True)
class Check:
    """What one error of a problem has to meet.

    Attributes:
        quantity: name of the error in :attr:`Result.errors`.
        limit: largest error accepted at the finest level.
        order: of convergence by design; None where the error has none (round-off, algebra).
        reason: where the limit comes from.
        sharp: whether an order above the design is no pass either, on the finest levels: it would mean that the errors
            are not yet those of the method. Scalars and symmetric meshes may converge faster and are not sharp.
    """

    quantity: str
    limit: float
    order: float | None = None
    reason: str = ""
    sharp: bool = False


@dataclass(frozen=True)
class Curve:
    """A profile for the figure: computed points on an exact line."""

    label: str
    x: Array
    computed: Array
    exact_x: Array
    exact: Array


@dataclass(frozen=True)
class Result:
    """Errors of one level, by quantity, and profiles to look at."""

    errors: dict[str, float]
    curves: tuple[Curve, ...] = ()
    axes: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Outcome:
    """One line of the verdict.

    Attributes:
        problem: name of the problem.
        quantity: which error.
        error: at the finest level.
        limit: accepted.
        order: observed between the two finest levels; NaN where there is none.
        expected: order by design, or None.
        passed: error within its limit and order within its band.
        seconds: that the whole problem took.
    """

    problem: str
    quantity: str
    error: float
    limit: float
    order: float
    expected: float | None
    passed: bool
    seconds: float


class Problem(ABC):
    """A problem with a known answer.

    A level is a number that the discretisation error falls with: cells along an edge, or steps in time.

    Attributes:
        name: on the command line.
        title: in tables and figures.
        axis: what a level counts.
        comm: over which the mesh is distributed.
        requires: modules beyond those of the program.
        levels: of the daily run, coarse first.
        full_levels: of the full run.
    """

    name: str
    title: str
    axis: str = "cells along an edge"
    comm: MPI.Comm = MPI.COMM_SELF
    requires: tuple[str, ...] = ()
    levels: tuple[int, ...]
    full_levels: tuple[int, ...]

    @abstractmethod
    def checks(self) -> Sequence[Check]:
        """What the errors have to meet."""

    @abstractmethod
    def run(self, level: int) -> Result:
        """Solve at one level.

        Raises:
            SolverError: the solve failed.
        """


@dataclass
class Study:
    """Results of a problem over its levels."""

    problem: Problem
    results: dict[int, Result] = field(default_factory=dict)
    seconds: float = 0.0
    full: bool = False

    @classmethod
    def of(cls, problem: Problem, full: bool) -> Study:
        """Run every level of a problem."""
        study = cls(problem, full=full)
        began = time.monotonic()
        for level in problem.full_levels if full else problem.levels:
            study.results[level] = problem.run(level)
        study.seconds = time.monotonic() - began
        return study

    def outcomes(self) -> list[Outcome]:
        """The verdict on every check."""
        return [self._judge(check) for check in self.problem.checks()]

    def _judge(self, check: Check) -> Outcome:
        levels = sorted(self.results)
        errors = [self.results[level].errors[check.quantity] for level in levels]
        order = observed_order(levels, errors)
        passed = math.isfinite(errors[-1]) and errors[-1] <= check.limit
        if check.order is not None and errors[-1] > ROUND_OFF:
            passed = passed and order >= check.order - ORDER_BAND
            passed = passed and (order <= check.order + ORDER_BAND or not (check.sharp and self.full))
        return Outcome(
            self.problem.name,
            check.quantity,
            errors[-1],
            check.limit,
            order if check.order is not None else math.nan,
            check.order,
            bool(passed),
            self.seconds,
        )


def observed_order(levels: Sequence[int], errors: Sequence[float]) -> float:
    """Order of convergence between the two finest levels; NaN where an error is zero or there is one level."""
    if len(levels) < 2 or min(errors[-2:]) <= 0:
        return math.nan
    return math.log(errors[-2] / errors[-1]) / math.log(levels[-1] / levels[-2])

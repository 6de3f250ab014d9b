"""Errors of the solver, each with what was being done when it gave up."""

from __future__ import annotations


class SolverError(RuntimeError):
    """A nonlinear solve did not converge.

    Attributes:
        time: model time that was to be reached [s]; NaN before time stepping.
        step: size of the smallest step tried [s]; NaN before time stepping.
        reason: what happened, in a few words.
    """

    def __init__(self, reason: str, time: float = float("nan"), step: float = float("nan")) -> None:
        self.time, self.step, self.reason = time, step, reason
        where = "" if time != time else f" at t = {time:.6g} s"
        where += "" if step != step else f", step {step:.3g} s"
        super().__init__(f"{reason}{where}")


class ValidityError(SolverError):
    """The state asked for lies beyond what a relation of the model holds for; no other way of solving it helps."""


class ModelError(ValueError):
    """The model as asked for makes no sense; the message names what and why."""

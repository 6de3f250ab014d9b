"""Gauss-Newton on the logarithms of parameters with a Gaussian prior, and the posterior linearised where it ends.

Predictions are linearised by differences, which secants carry on from step to step: a prediction costs minutes. Where
it seems to end it is linearised anew, so that mode and posterior rest on differences. The likelihood of a datum need
not be normal and enters with its own second derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from studies.calibrate.likelihood import Likelihood

Array = npt.NDArray[np.float64]
Model = Callable[[list[Array]], list[Array]]
"""Predictions of all data at each of a list of points, NaN where there is none; what it computes at a time is its own
business."""

HALVINGS: Final = 4
"""How often a step that makes things worse, or leads where nothing can be computed, is halved."""
LONGEST: Final = 1.0
"""Largest change of a logarithm in one step: predictions are not linear further away than that."""


class NoPredictionError(Exception):
    """A point that the fit cannot do without has no prediction."""


@dataclass(frozen=True)
class Fit:
    """The outcome of a fit, in logarithms of the parameters.

    Attributes:
        mode: most probable parameters (p,).
        covariance: of the posterior, linearised at the mode (p, p).
        jacobian: of the predictions (d, p).
        predicted: predictions at the mode (d,).
        cost: minus the logarithm of the posterior but for a constant; for figures half the sum of squared misfits.
        iterations: Gauss-Newton steps taken.
        converged: whether the last step was below the tolerance.
        path: every point that was accepted, with its cost.
    """

    mode: Array
    covariance: Array
    jacobian: Array
    predicted: Array
    cost: float
    iterations: int
    converged: bool
    path: tuple[tuple[tuple[float, ...], float], ...]

    @property
    def sigma(self) -> Array:
        """Posterior standard deviation of every logarithm (p,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    @property
    def correlation(self) -> Array:
        """Posterior correlation (p, p)."""
        return np.asarray(self.covariance / np.outer(self.sigma, self.sigma))


def gauss_newton(
    model: Model,
    data: Sequence[Likelihood],
    prior: Array,
    prior_sigma: Array,
    step: float,
    tolerance: float,
    max_iterations: int,
    start: Array | None = None,
) -> Fit:
    """Most probable parameters and their linearised posterior.

    Args:
        model: predictions at points.
        data: what each datum says (d,).
        prior: prior means (p,).
        prior_sigma: prior standard deviations (p,).
        step: of the forward differences.
        tolerance: largest change of a parameter at which it ends, in standard deviations of its posterior.
        max_iterations: steps at most.
        start: where to begin (p,); None begins at the prior means.

    Returns:
        The fit; `converged` is False where the steps ran out or none made it better.

    Raises:
        NoPredictionError: there is none at a point that was reached, or beside it.
    """

    def cost(point: Array, predicted: Array) -> float:
        misfit = sum(item.cost(float(value)) for item, value in zip(data, predicted, strict=True))
        return misfit + 0.5 * float((((point - prior) / prior_sigma) ** 2).sum())

    def newton(point: Array, predicted: Array, jacobian: Array) -> tuple[Array, Array]:
        pull = np.array([item.pull(float(value)) for item, value in zip(data, predicted, strict=True)])
        weight = np.array([item.weight(float(value)) for item, value in zip(data, predicted, strict=True)])
        hessian = jacobian.T @ (weight[:, None] * jacobian) + np.diag(prior_sigma**-2.0)
        covariance: Array = np.asarray(np.linalg.inv(hessian), dtype=np.float64)
        return covariance, covariance @ (jacobian.T @ pull - (point - prior) / prior_sigma**2)

    point = (prior if start is None else start).copy()
    predicted, jacobian = _linearised(model, point, step)
    path = [(tuple(float(value) for value in point), cost(point, predicted))]
    fresh, converged, iterations = True, False, 0
    while not converged:
        covariance, change = newton(point, predicted, jacobian)
        small = bool(np.abs(change / np.sqrt(np.diag(covariance))).max() < tolerance)
        found = None
        if not small and iterations < max_iterations:
            short = change * min(1.0, LONGEST / float(np.abs(change).max()))
            found = _descend(model, cost, point, short, path[-1][1])
        if found is not None:
            iterations += 1
            jacobian = jacobian + _secant(jacobian, found[0] - point, found[1] - predicted)
            point, predicted = found
            path.append((tuple(float(value) for value in point), cost(point, predicted)))
            fresh = False
        elif not fresh:  # nothing is concluded from secants
            predicted, jacobian = _linearised(model, point, step)
            fresh = True
        elif small:
            converged = True
        else:
            break
    return Fit(point, covariance, jacobian, predicted, path[-1][1], iterations, converged, tuple(path))


def _secant(jacobian: Array, moved: Array, changed: Array) -> Array:
    """Broyden's update of rank one (1965): the smallest change of the Jacobian that explains the last step."""
    return np.asarray(np.outer(changed - jacobian @ moved, moved) / (moved @ moved))


def _linearised(model: Model, point: Array, step: float) -> tuple[Array, Array]:
    beside = [point + step * direction for direction in np.eye(len(point))]
    here, *others = model([point, *beside])
    if not np.isfinite([here, *others]).all():
        raise NoPredictionError
    return here, np.column_stack([(other - here) / step for other in others])


def _descend(
    model: Model, cost: Callable[[Array, Array], float], point: Array, change: Array, now: float
) -> tuple[Array, Array] | None:
    """The first point along a step, halved as often as allowed, at which the cost is lower, with its predictions."""
    for halving in range(HALVINGS + 1):
        candidate = point + change * 0.5**halving
        (predicted,) = model([candidate])
        if np.isfinite(predicted).all() and cost(candidate, predicted) < now:
            return candidate, predicted
    return None


def summary(fit: Fit, names: list[str], prior_sigma: Array) -> dict[str, Any]:
    """Width of the posterior against the prior, and correlations, by name."""
    ratios, correlation = fit.sigma / prior_sigma, fit.correlation
    return {
        "width_ratio": {name: float(ratio) for name, ratio in zip(names, ratios, strict=True)},
        "correlation": {
            one: {other: float(correlation[i, j]) for j, other in enumerate(names)} for i, one in enumerate(names)
        },
    }

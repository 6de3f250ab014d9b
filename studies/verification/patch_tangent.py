"""The Jacobian of the patient's model at a deformed state: (u, p_e, p_s, P_c, P_k) against finite differences.

The state is that of a short window after two steps of an injection that stretches the dura here and leaves it slack
there, with every law, membrane, ligament and outflow of the production case. Displacements are of the order of 1e-4 m
and pressures of 1e3 Pa, so that random directions are scaled field by field and rows are compared block by block:
forces [N] with forces, volumes [m^3] with volumes.

* matrix: J d against central differences of the residual;
* bordered: the direction d, compartments included, recovered by the solver's own bordered solve from the finite
  difference of the whole residual and of the compartments' defects.

The laws are C1, so that a quadrature point that crosses a kink within the difference costs its first order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fem.arrays import Array
from fem.patch import PatchModel
from fem.simulation import Simulation
from studies.verification.problem import Check, Problem, Result
from studies.verification.spine import LUMBAR, THORACIC, patch_of
from studies.verification.tangent import direction_of, jacobian_of, residual_of

SIZES = {"u": 1e-4, "e": 1e3, "s": 1e3}
"""Scale of a direction by field [m, Pa]."""

COMPARTMENT = 100.0
"""The same for compartments [Pa]."""

DIFFERENCE = 1e-5
"""Relative step of the central differences: its square and round-off over it are both 1e-10."""


@dataclass
class PatchTangent(Problem):
    """Worst of several directions."""

    name: str = "patch_jacobian"
    title: str = "Coupled Jacobian of the patch model"
    axis: str = "spans"
    levels: tuple[int, ...] = (1,)
    full_levels: tuple[int, ...] = (2,)
    directions: int = 3

    def checks(self) -> Sequence[Check]:
        """Kinks are crossed by few points."""
        return [
            Check("matrix: forces", 1e-6, None, "a tenth of the relative step: few points cross a kink"),
            Check("matrix: volumes", 1e-6, None, "the same"),
            Check("bordered: displacement", 1e-5, None, "the same times the condition of a soft network"),
            Check("bordered: pressures", 1e-5, None, "the same"),
            Check("bordered: compartments", 1e-5, None, "the same"),
        ]

    def run(self, level: int) -> Result:
        """One span, or two."""
        worst: dict[str, float] = {}
        for span, interspace in (LUMBAR, THORACIC)[:level]:
            model, parameters = patch_of(self.comm, span, interspace)
            simulation = Simulation(model, parameters)
            for _ in range(2):
                simulation.step(1.5)
            model.newton.start = {name: 0.99 * value for name, value in model.newton.start.items()}
            for seed in range(self.directions):
                for name, value in directional(model, seed).items():
                    worst[name] = max(value, worst.get(name, 0.0))
        return Result(worst)


def directional(model: PatchModel, seed: int) -> dict[str, float]:
    """Errors in one random direction; the state is left as it was."""
    poro, newton = model.poro, model.newton
    state, pressure = poro.state.x.array.copy(), dict(newton.pressure)
    direction = direction_of(poro, seed)
    for name, size in SIZES.items():
        direction[poro.dofs[name]] *= size
    shift = COMPARTMENT * np.random.default_rng(seed).uniform(-1, 1, len(pressure))

    def difference(compartments: bool) -> tuple[Array, Array]:
        sides = []
        for sign in (DIFFERENCE, -DIFFERENCE):
            poro.state.x.array[:] = state + sign * direction
            moved = sign * shift if compartments else 0 * shift
            newton.pressure = {n: v + float(m) for (n, v), m in zip(pressure.items(), moved, strict=True)}
            defects = newton.evaluate().defects
            sides.append((residual_of(poro), defects.copy()))
        poro.state.x.array[:] = state
        newton.pressure = dict(pressure)
        newton.evaluate()
        one, other = sides
        return (one[0] - other[0]) / (2 * DIFFERENCE), (one[1] - other[1]) / (2 * DIFFERENCE)

    rows, _ = difference(compartments=False)
    matrix = jacobian_of(poro)
    given, product = matrix.createVecs()
    given.array[:] = direction[: len(given.array)]
    matrix.mult(given, product)
    u, p = poro.owned("u"), np.concatenate([poro.owned(name) for name in poro.pressures])
    errors = {f"matrix: {n}": _relative(model, product.array[i], rows[i]) for n, i in (("forces", u), ("volumes", p))}
    matrix.destroy()

    rows, defects = difference(compartments=True)
    newton._residual.array[:] = rows
    newton._factorise()
    update, found = newton._direction(defects)
    wanted = direction[: len(rows)]
    for name, where in (("displacement", u), ("pressures", p)):
        errors[f"bordered: {name}"] = _relative(model, update.array[where], wanted[where])
    return errors | {"bordered: compartments": float(np.linalg.norm(found - shift) / np.linalg.norm(shift))}


def _relative(model: PatchModel, found: Array, wanted: Array) -> float:
    sums = np.array([np.sum((found - wanted) ** 2), np.sum(wanted**2)])
    error, size = model.comm.allreduce(sums)
    return float(np.sqrt(error / size))

"""The coupled Jacobian against central finite differences of the residual, at a deformed state in random directions.

A ring of cord, sac and epidural space carries every kind of term at once: finite strain, pia and tension-only dura,
veins that saturate, mobility that swells, a leak through the dura, outflow at the bone, a cranial and a caudal
compartment. Unknowns are u, p_e, p_s, P_c and P_k. Two questions are asked:

* matrix: J d against (R(x + eps d) - R(x - eps d))/(2 eps), for the unknowns in the matrix;
* bordered: with r the finite difference of the whole residual, compartments included, in the direction d, the bordered
  solver must return d from r. This tests the Schur complement and the coupling vectors, too.

Numbers are of order one, so that differences with eps = 1e-6 are good to 1e-9.

[1] C. T. Kelley 2003, Solving Nonlinear Equations with Newton's Method, sec. 1.5 (finite differences and round-off).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dolfinx import fem
from mpi4py import MPI

from fem import compat
from fem.arrays import Array
from fem.compartments import CraniospinalCompartment, ElasticCompartment
from fem.laws.exchange import StarlingForamen
from fem.laws.fibres import LinearMembrane, TensionOnlyMembrane
from fem.laws.leak import OpenLeak
from fem.laws.mobility import ConstantMobility, SwellingMobility
from fem.laws.solids import NeoHookean
from fem.laws.storage import SaturatingVeins
from fem.newton import BorderedNewton
from fem.poro import PoroModel
from fem.setup import Exchange, Fixed, Leak, Link, Region, Setup, SurfaceMembrane
from studies.verification.meshes import mapped, quarter_ring
from studies.verification.posing import vector_of
from studies.verification.problem import Check, Problem, Result

DIFFERENCE = 1e-6

TRANSPORTS = {"implicit": False, "lagged": True}
"""Mobility at the end of the step, or at its beginning: then the matrix is symmetric and is factorised as such."""


def residual_of(model: PoroModel) -> Array:
    """Residual at the present state on owned degrees of freedom, zero where they are held."""
    vector = compat.create_vector(model.residual)
    model.assemble_residual(vector)
    owned = np.array(vector.array)
    vector.destroy()
    held = model.fixed_dofs
    owned[held[held < len(owned)]] = 0.0
    return owned


def jacobian_of(model: PoroModel) -> Any:
    """Jacobian at the present state, a PETSc matrix, with ones on the diagonal where it is held."""
    matrix = model.create_matrix()
    model.assemble_jacobian(matrix, [fem.dirichletbc(fem.Function(model.space), model.fixed_dofs)])
    return matrix


def _owned(model: PoroModel) -> int:
    return int(model.space.dofmap.index_map.size_local * model.space.dofmap.index_map_bs)


def direction_of(model: PoroModel, seed: int) -> Array:
    """Random direction of the free degrees of freedom, ghosts included; it does not depend on the number of ranks."""
    function = fem.Function(model.space)
    spaces = {"u": model.vector_space} | {name: space for name, (space, _) in model.collapsed.items()}
    for name, space in spaces.items():
        rng = np.random.default_rng(seed)
        waves, phases = rng.uniform(5, 25, (3, 3)), rng.uniform(0, 6, 3)
        part = fem.Function(space)
        dim = 3 if name == "u" else 1

        def rough(x: Array, w: Array = waves, f: Array = phases, dim: int = dim) -> Array:
            return np.sin(w[:dim] @ x + f[:dim, None]).squeeze()

        part.interpolate(rough)
        function.x.array[model.dofs[name]] = part.x.array
    function.x.array[model.fixed_dofs] = 0.0
    return function.x.array.copy()


def jacobian_error(model: PoroModel, seed: int) -> float:
    """Relative error of J d against central differences, in the Euclidean norm."""
    state, direction = model.state.x.array.copy(), direction_of(model, seed)
    sides = []
    for sign in (1, -1):
        model.state.x.array[:] = state + sign * DIFFERENCE * direction
        sides.append(residual_of(model))
    model.state.x.array[:] = state
    difference = (sides[0] - sides[1]) / (2 * DIFFERENCE)
    matrix = jacobian_of(model)
    given, product = matrix.createVecs()
    given.array[:] = direction[: _owned(model)]
    matrix.mult(given, product)
    sums = np.array([np.sum((product.array - difference) ** 2), np.sum(difference**2)])
    error, size = model.comm.allreduce(sums, op=MPI.SUM)
    matrix.destroy()
    return float(np.sqrt(error / size))


def everything(comm: MPI.Comm, level: int, lagged: bool = False) -> tuple[PoroModel, BorderedNewton]:
    """A ring with every kind of term, at a deformed state."""
    domain = mapped(
        comm,
        (3 * level, 2 * level, 1),
        quarter_ring(0.4, 1.0, 0.5),
        {2: 1 / 3, 3: 2 / 3},
        {"pia": 1 / 3, "dura": 2 / 3},
    )
    model = PoroModel(
        domain,
        Setup(
            regions=[
                Region(1, "s", NeoHookean(2.0, 0.35), ConstantMobility(0.1)),
                Region(2, "s", NeoHookean(0.1, 0.2), ConstantMobility(2.0)),
                Region(3, "e", NeoHookean(1.0, 0.2), SwellingMobility(0.5, 2.0), SaturatingVeins(0.2, 0.1)),
            ],
            membranes=[
                SurfaceMembrane("pia", LinearMembrane(2.0, 0.45, 0.05)),
                SurfaceMembrane("dura", TensionOnlyMembrane(3.0, 1.0, 0.05, 0.1, 0.03)),
            ],
            exchanges=[Exchange("bone", ("x1",), "e", StarlingForamen(0.3, 0.1, 0.05))],
            leaks=[Leak("tear", ("dura",), "s", "e", OpenLeak(0.2))],
            links=[Link("x0", "s", "cranial", 0.5), Link("pia", "s", "caudal", 0.3)],
            fixed=[Fixed(("x0", "x1")), Fixed(("y0",), 1), Fixed(("y1",), 0), Fixed(("z0",), 2)],
            lagged_transport=lagged,
        ),
    )
    model.step.value = 0.7
    smooth = {
        "u": lambda x: 0.05 * np.stack([np.sin(4 * x[1] + x[2]), np.cos(3 * x[0] * x[1]), np.sin(3 * x[0] - x[2])]),
        "s": lambda x: 0.5 + 0.3 * x[0] - 0.2 * x[1] * x[2],
        "e": lambda x: 0.4 + 0.3 * np.sin(5 * x[1]),
    }
    model.previous.x.array[:] = 0.5 * vector_of(model, smooth)
    model.state.x.array[:] = vector_of(model, smooth)
    cranial = CraniospinalCompartment(0.4, -0.2, 3.0, 0.1, 0.2, 0.1, share=0.3)
    newton = BorderedNewton(model, {"cranial": cranial, "caudal": ElasticCompartment(0.2)})
    newton.pressure = {"cranial": 0.6, "caudal": 0.5}
    newton.start = {"cranial": 0.4, "caudal": 0.45}
    return model, newton


def bordered_error(model: PoroModel, newton: BorderedNewton, seed: int) -> float:
    """Relative error of the direction that the bordered solver finds from its finite-difference image."""
    state, direction = model.state.x.array.copy(), direction_of(model, seed)
    pressure = dict(newton.pressure)
    shift = np.random.default_rng(seed).uniform(-1, 1, len(pressure))
    sides = []
    for sign in (1, -1):
        model.state.x.array[:] = state + sign * DIFFERENCE * direction
        newton.pressure = {
            name: value + sign * DIFFERENCE * float(part)
            for (name, value), part in zip(pressure.items(), shift, strict=True)
        }
        defects = newton.evaluate().defects
        sides.append((residual_of(model), defects.copy()))
    model.state.x.array[:] = state
    newton.pressure = pressure
    newton.evaluate()
    wanted = direction[: _owned(model)]
    newton._residual.array[:] = (sides[0][0] - sides[1][0]) / (2 * DIFFERENCE)  # the system's right-hand side
    newton._factorise()
    update, found = newton._direction((sides[0][1] - sides[1][1]) / (2 * DIFFERENCE))
    sums = np.array([np.sum((update.array - wanted) ** 2), np.sum(wanted**2)])
    error, size = model.comm.allreduce(sums, op=MPI.SUM)
    return float(np.sqrt((error + np.sum((found - shift) ** 2)) / (size + np.sum(shift**2))))


@dataclass
class Tangent(Problem):
    """Every kind of term at once."""

    name: str = "jacobian"
    title: str = "Coupled Jacobian"
    axis: str = "refinement"
    levels: tuple[int, ...] = (1,)
    full_levels: tuple[int, ...] = (1, 2)
    directions: int = 3

    def checks(self) -> Sequence[Check]:
        """Central differences of C1 laws: eps^2 inside a branch, eps where a quadrature point crosses a kink."""
        return [
            check
            for transport in TRANSPORTS
            for check in (
                Check(f"matrix, {transport}", 1e-6, None, "eps, for points that cross a kink"),
                Check(f"bordered, {transport}", 1e-5, None, "the same, times the condition of the system"),
            )
        ]

    def run(self, level: int) -> Result:
        """Worst of several directions."""
        errors = {}
        for transport, lagged in TRANSPORTS.items():
            model, newton = everything(self.comm, level, lagged)
            for name, value in newton.pressure.items():
                model.outside[name].value = value
            seeds = range(self.directions)
            errors[f"matrix, {transport}"] = max(jacobian_error(model, seed) for seed in seeds)
            errors[f"bordered, {transport}"] = max(bordered_error(model, newton, seed) for seed in seeds)
        return Result(errors)

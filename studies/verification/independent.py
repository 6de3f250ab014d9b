"""The same discretisation assembled and solved by another code, scikit-fem.

One backward Euler step of linear poroelasticity on a small tetrahedral mesh, P2-P1: a block on rollers, loaded and
drained at its top, with a source inside. Both codes have the same unknowns, so that their solutions agree to round-off;
they are matched by coordinates, since numberings differ. scikit-fem comes with the development requirements.

[1] T. Gustafsson & G. D. McBain 2020, J Open Source Softw 5:2369, doi:10.21105/joss.02369.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from dolfinx import mesh as dmesh
from scipy.spatial import cKDTree

from fem.arrays import Array
from fem.domain import Domain
from fem.laws.kinematics import SmallStrain
from fem.poro import PoroModel
from fem.setup import Drained, Fixed, Setup
from studies.verification.biot import COMPRESSIBLE, Biot
from studies.verification.meshes import on
from studies.verification.posing import Stepping
from studies.verification.problem import Check, Problem, Result

STEP, LOAD = 0.05, 0.3


@dataclass
class Independent(Problem):
    """A block of unit edges."""

    name: str = "scikit_fem"
    title: str = "Cross-check with scikit-fem"
    requires: tuple[str, ...] = ("skfem",)
    levels: tuple[int, ...] = (3,)
    full_levels: tuple[int, ...] = (3, 6)
    medium: Biot = COMPRESSIBLE

    def checks(self) -> Sequence[Check]:
        """Two direct solvers on one system."""
        return [Check(name, 1e-8, None, "acceptance; round-off is 1e-12") for name in ("u", "p")]

    def run(self, level: int) -> Result:
        """Largest differences over largest values."""
        mesh = dmesh.create_unit_cube(self.comm, level, level, level)
        sides = {f"{a}{e}": on(k, e) for k, a in enumerate("xyz") for e in (0, 1)}
        domain = Domain.from_mesh(mesh, sides)
        top = domain.measure("z1")
        x = ufl.SpatialCoordinate(mesh)
        source = 1 + x[0] - 2 * x[1] * x[2]
        model = PoroModel(
            domain,
            Setup(
                regions=[self.medium.region()],
                fixed=[*(Fixed((f"{a}0",), k) for k, a in enumerate("xyz")), Fixed(("x1",), 0)],
                drained=[Drained(("z1",), "p")],
                kinematics=SmallStrain(),
                loads=lambda v, q, dt, model: -LOAD * v[2] * top + dt * source * q["p"] * domain.dx,
            ),
        )
        Stepping(model, force=1e-12, volume=1e-12).step(STEP)
        cells = mesh.geometry.dofmap[: domain.owned_cells]
        theirs = solve(mesh.geometry.x, cells, self.medium)
        errors = {}
        for name, (places, values) in theirs.items():
            space = model.vector_space if name == "u" else model.collapsed[name][0]
            ours = model.state.x.array[model.dofs[name]].reshape(len(space.tabulate_dof_coordinates()), -1)
            distance, match = cKDTree(places).query(space.tabulate_dof_coordinates())
            if distance.max() > 1e-9:
                raise AssertionError("the two codes place their degrees of freedom differently")
            errors[name] = float(np.max(np.abs(ours - values[match])) / np.max(np.abs(values)))
        return Result(errors)


def solve(points: Array, cells: Array, medium: Biot) -> dict[str, tuple[Array, Array]]:
    """The step by scikit-fem: coordinates and values of the degrees of freedom of u and p."""
    import skfem
    from skfem.helpers import ddot, div, dot, grad, sym_grad

    mesh = skfem.MeshTet(points.T.copy(), cells.T.astype(np.int64).copy())
    vector = skfem.ElementVector(skfem.ElementTetP2())
    bases = [skfem.Basis(mesh, element, intorder=4) for element in (vector, skfem.ElementTetP1())]
    top = skfem.FacetBasis(mesh, vector, facets=mesh.facets_satisfying(lambda x: np.isclose(x[2], 1)), intorder=4)
    mu, alpha = medium.shear, medium.biot
    lmbda = medium.bulk - 2 * mu / 3

    @skfem.BilinearForm
    def elastic(u: Any, v: Any, w: Any) -> Any:
        return 2 * mu * ddot(sym_grad(u), sym_grad(v)) + lmbda * div(u) * div(v)

    @skfem.BilinearForm
    def coupling(u: Any, q: Any, w: Any) -> Any:
        return alpha * div(u) * q

    @skfem.BilinearForm
    def flow(p: Any, q: Any, w: Any) -> Any:
        return medium.inverse_modulus * p * q + STEP * medium.mobility * dot(grad(p), grad(q))

    @skfem.LinearForm
    def source(q: Any, w: Any) -> Any:
        return STEP * (1 + w.x[0] - 2 * w.x[1] * w.x[2]) * q

    @skfem.LinearForm
    def load(v: Any, w: Any) -> Any:
        return -LOAD * v[2]

    mixed = coupling.assemble(bases[0], bases[1])
    matrix = skfem.bmat([[elastic.assemble(bases[0]), -mixed.T], [mixed, flow.assemble(bases[1])]], "csr")
    right = np.concatenate([load.assemble(top), source.assemble(bases[1])])
    number = bases[0].N
    held = [bases[0].get_dofs(on(k, 0)).all([f"u^{k + 1}"]) for k in range(3)]
    held.append(bases[0].get_dofs(lambda x: np.isclose(x[0], 1)).all(["u^1"]))
    held.append(number + bases[1].get_dofs(lambda x: np.isclose(x[2], 1)).all())
    solution = skfem.solve(*skfem.condense(matrix, right, D=np.unique(np.concatenate(held))))
    u = solution[:number]
    places = bases[0].doflocs.T
    # degrees of freedom of the three components share a place: sort them into one row per place
    order = np.lexsort(np.round(places, 9).T)
    return {
        "u": (places[order][::3], _components(u, order)),
        "p": (bases[1].doflocs.T, solution[number:, None]),
    }


def _components(values: Array, order: Array) -> Array:
    """Rows (u_x, u_y, u_z) from a vector in which the components of a place are numbered in succession."""
    rows = np.sort(order.reshape(-1, 3), axis=1)
    return np.asarray(values[rows])

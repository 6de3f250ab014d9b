"""A sheet that bends between two fluids that press on it differently.

The sheet lies between two saturated blocks so soft that it carries all of the difference P of their pressures. One end
lies in a plane of symmetry at x = 0, the other is held in its place at x = L and turns freely: half of a simply
supported strip of length 2 L, whose deflection is [1]

    w = P (L^2 - x^2) (5 L^2 - x^2)/(24 D).

Without the terms at edges the sheet would fold there, the more the finer the mesh.

[1] S. Timoshenko & S. Woinowsky-Krieger 1959, Theory of Plates and Shells, art. 2 (cylindrical bending; nu is 0 here).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem.arrays import Array
from fem.bending import Sheet
from fem.domain import Domain
from fem.laws.kinematics import SmallStrain
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import LinearElastic
from fem.poro import PoroModel
from fem.ranks import largest
from fem.setup import Fixed, Region, Setup
from studies.verification.meshes import on
from studies.verification.posing import Stepping
from studies.verification.problem import Check, Curve, Problem, Result

LENGTH, STIFFNESS, PRESSURE = 1.0, 2.0, 1.0
SOFT = 1e-6
"""Young's modulus of the blocks; the sheet resists its deflection with D/L^4, six orders above."""

BELOW, ABOVE = 1, 2
WIDTH, HEIGHT = 0.5, 0.5
MIDDLE = 0.0


def deflection(x: Array) -> Array:
    """Of the strip, at distances x from the plane of symmetry."""
    return np.asarray(PRESSURE * (LENGTH**2 - x**2) * (5 * LENGTH**2 - x**2) / (24 * STIFFNESS))


@dataclass
class Bending(Problem):
    """A level counts cells along the sheet."""

    name: str = "bending"
    title: str = "Sheet with bending stiffness"
    axis: str = "cells along the sheet"
    levels: tuple[int, ...] = (8, 16)
    full_levels: tuple[int, ...] = (8, 16, 32)

    def checks(self) -> Sequence[Check]:
        """Quadratic displacements bend with an error of order h^2."""
        return [Check("deflection", 2e-3, 2.0, "order 2 by design, over the largest deflection")]

    def run(self, level: int) -> Result:
        """Press on the sheet."""
        model = strip(self.comm, level)
        low, high = model.dofs["low"], model.dofs["high"]
        model.state.x.array[low] = PRESSURE
        stepping = Stepping(model, force=1e-8)  # round-off of forces at edges: D s/h^3 times w
        stepping.newton.hold(np.concatenate([low, high]))
        stepping.step(1.0)
        places = model.vector_space.tabulate_dof_coordinates()
        on_sheet = np.isclose(places[:, 2], MIDDLE)
        x = places[on_sheet, 0]
        found = model.state.x.array[model.dofs["u"]].reshape(-1, 3)[on_sheet, 2]
        error = np.abs(found - deflection(x)).max(initial=0.0)
        size = float(deflection(np.zeros(1))[0])
        order, line = np.argsort(x), np.linspace(0, LENGTH, 101)
        return Result(
            {"deflection": float(largest(self.comm, error)) / size},
            (Curve(f"{level} cells", x[order], found[order], line, deflection(line)),),
            ("x", "w"),
        )


def edges(axis: int, low: float, high: float) -> Callable[[Array], Array]:
    """Marker of two opposite sides."""
    return lambda x: np.isclose(x[axis], low) | np.isclose(x[axis], high)


def strip(comm: MPI.Comm, level: int) -> PoroModel:
    """Sheet between two blocks, held in the planes around it."""
    mesh = dmesh.create_box(
        comm,
        [np.array([0.0, 0.0, -HEIGHT]), np.array([LENGTH, WIDTH, HEIGHT])],
        [level, level // 2, 2],
        ghost_mode=dmesh.GhostMode.shared_facet,
    )
    sides = {"x0": on(0, 0.0), "x1": on(0, LENGTH), "y": edges(1, 0.0, WIDTH), "z": edges(2, -HEIGHT, HEIGHT)}
    regions = {BELOW: lambda x: x[2] < 1e-9, ABOVE: lambda x: x[2] > -1e-9}
    solid, mobility = LinearElastic(SOFT, 0.0), ConstantMobility(1.0)
    return PoroModel(
        Domain.from_mesh(mesh, sides | {"sheet": on(2, MIDDLE)}, regions),
        Setup(
            regions=[Region(BELOW, "low", solid, mobility), Region(ABOVE, "high", solid, mobility)],
            sheets=[Sheet(("sheet",), STIFFNESS)],
            fixed=[Fixed(("x0",), 0), Fixed(("y",), 1), Fixed(("x1", "z"))],
            kinematics=SmallStrain(),
        ),
    )

"""A wall along which the body slides without friction, on facets whose normals are no coordinate axes.

* block: a cuboid in an oblique frame, pressed by T_i onto three walls of stiffness s that are normal to each other. The
  field is linear, u_i = -T_i/s - (T_i - nu (T_j + T_k)) x_i/E in the cuboid's own axes, and found exactly but for the
  yielding T/s, which is a little uneven.
* tube: a quarter between two mirror planes, straight-sided, under inner pressure p and axial strain e, held at its
  outer wall: u = A r + C/r with sigma_r(a) = -p, u(b) = 0 [1]. The facets are the error, of order h^2; no volume goes
  through them.
* rotation: a whole ring whose inner face is turned. Nothing but the wall could stress it: infinitesimal, the rotation
  of a polygon is exactly free; finite, by 0.1, it is free to the second order of the gap and of the facets, and stays
  so under a pore pressure of twice Young's modulus. With a gap of first order it is 5 % off without pressure, 29 % at
  half of Young's modulus, and Newton's method stalls at twice: the pressure swells the ring beyond its wall.

[1] S. Timoshenko & J. N. Goodier 1970, Theory of Elasticity, art. 28.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import ufl
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem.arrays import Array
from fem.domain import Domain
from fem.laws.kinematics import FiniteStrain, Kinematics, SmallStrain
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import LinearElastic, NeoHookean
from fem.poro import PoroModel
from fem.setup import Drained, Fixed, Region, Setup
from fem.support import Support
from studies.verification.meshes import on, quarter_ring
from studies.verification.posing import ErrorNorm, Field, Stepping, largest, surface_mean
from studies.verification.problem import Check, Problem, Result

POISSON = 0.3
INNER, OUTER, HEIGHT = 1.0, 2.0, 0.5

THIN = 1.7
"""Inner radius of the ring, a layer as thin as epidural fat."""

LOADS = np.array([0.01, 0.02, 0.03])
"""Tractions on the block, over Young's modulus."""

PRESSURE, STRAIN = 0.1, 0.05
"""Inner pressure and axial strain of the tube."""

RIGID = 1e5
"""Stiffness of the walls: the pore pressure moves the ring's by 1e-5 of the radius."""

ANGLE, PORE_PRESSURE = 0.1, 2.0
"""Rotation [rad] and pore pressure of the ring."""

SIDES = {f"{axis}{end}": on(number, end) for number, axis in enumerate("xyz") for end in (0, 1)}


@dataclass
class Sliding(Problem):
    """Three bodies; a level counts cells across the tube and a third of the half circle of the ring."""

    name: str = "sliding"
    title: str = "Frictionless wall"
    levels: tuple[int, ...] = (4, 8)
    full_levels: tuple[int, ...] = (4, 8, 16)

    def checks(self) -> Sequence[Check]:
        """Linear fields are exact, facets cost h^2."""
        return [
            Check("block u", 3e-5, None, "a few times the walls' yielding, T/(s u) = 1e-5: nodes share it unevenly"),
            Check("tube u L2", 5e-3, 2.0, "facets in the place of circles"),
            Check("tube volume", 1e-4, None, "of the size of the wall's yielding, p/s"),
            Check("rotation, linear", 1e-9, None, "exact but for round-off times the condition"),
            Check("rotation, finite", 2e-3, None, "facets and third-order gap; first-order: 5e-2"),
            Check("rotation, finite, pressed", 2e-2, None, "the same times the pressure; first-order: stalls"),
        ]

    def run(self, level: int) -> Result:
        """Solve all."""
        rotations = {
            "rotation, linear": ring(self.comm, level, SmallStrain(), 0.0),
            "rotation, finite": ring(self.comm, level, FiniteStrain(), 0.0),
            "rotation, finite, pressed": ring(self.comm, level, FiniteStrain(), PORE_PRESSURE),
        }
        return Result({"block u": block(self.comm)} | tube(self.comm, level) | rotations)


def block(comm: MPI.Comm) -> float:
    """Largest error over the largest displacement."""
    mesh = dmesh.create_unit_cube(comm, 2, 2, 2, ghost_mode=dmesh.GhostMode.shared_facet)
    domain = Domain.from_mesh(mesh, SIDES)
    frame, _ = np.linalg.qr(np.array([[1.0, 2.0, 3.0], [-2.0, 1.0, 1.0], [0.5, -1.0, 2.0]]))
    mesh.geometry.x[:] = mesh.geometry.x @ frame.T
    normal = ufl.FacetNormal(mesh)
    strain = -((1 + POISSON) * LOADS - POISSON * LOADS.sum())

    def exact(x: Array) -> Array:
        own = frame.T @ x
        return np.asarray(frame @ (strain[:, None] * own - (LOADS / RIGID)[:, None]))

    model = PoroModel(
        domain,
        Setup(
            regions=[Region(1, "p", LinearElastic(1.0, POISSON), ConstantMobility(1.0), biot=0.0)],
            supports=[Support((f"{axis}0",), RIGID) for axis in "xyz"],
            drained=[Drained(tuple(SIDES), "p")],
            kinematics=SmallStrain(),
            loads=lambda v, q, dt, model: sum(
                -float(load) * ufl.inner(normal, v) * domain.measure(f"{axis}1")
                for axis, load in zip("xyz", LOADS, strict=True)
            ),
        ),
    )
    Stepping(model).step(1.0)
    return largest(model, "u", exact)


def tube(comm: MPI.Comm, level: int) -> dict[str, float]:
    """Error of the displacement in L2, relative, and volume through the wall over that displaced at the inner face."""
    mesh = dmesh.create_unit_cube(comm, level, 2 * level, 1, ghost_mode=dmesh.GhostMode.shared_facet)
    domain = Domain.from_mesh(mesh, SIDES)
    mesh.geometry.x[:] = quarter_ring(INNER, OUTER, HEIGHT)(mesh.geometry.x)
    stretched = 1 / ((1 + POISSON) * (1 - 2 * POISSON))  # 2 (lambda + mu), over E
    shear, lame = 1 / (2 * (1 + POISSON)), POISSON * stretched
    rows = [[stretched, -2 * shear / INNER**2], [OUTER, 1 / OUTER]]
    swelling, pushing = np.linalg.solve(rows, [-PRESSURE - lame * STRAIN, 0.0])

    def exact(x: Array) -> Array:
        radial = swelling + pushing / (x[0] ** 2 + x[1] ** 2)
        return np.stack([radial * x[0], radial * x[1], STRAIN * x[2]])

    normal, inside = ufl.FacetNormal(mesh), domain.measure("x0")
    model = PoroModel(
        domain,
        Setup(
            regions=[Region(1, "p", LinearElastic(1.0, POISSON), ConstantMobility(1.0), biot=0.0)],
            fixed=[Fixed(("y0",), 1), Fixed(("y1",), 0), Fixed(("z0", "z1"), 2)],
            supports=[Support(("x1",), RIGID)],
            drained=[Drained(("x0", "x1"), "p")],
            kinematics=SmallStrain(),
            loads=lambda v, q, dt, model: -PRESSURE * ufl.inner(normal, v) * inside,
        ),
    )
    Stepping(model).step(1.0, {"u": exact})
    inner, outer = (surface_mean(model, side, lambda u, p: ufl.inner(u, normal)) for side in ("x0", "x1"))
    return {"tube u L2": ErrorNorm(model, "u")(exact), "tube volume": abs(outer * OUTER / (inner * INNER))}


def ring(comm: MPI.Comm, level: int, kinematics: Kinematics, pressure: float) -> float:
    """Largest error of a rotation over the largest displacement."""
    model, exact = turned_ring(comm, level, kinematics)
    fields = {"u": exact, "p": lambda x: np.full(x.shape[1], pressure)}
    # round-off of the wall's forces, stiffness times displacement times area, is some 1e-12
    Stepping(model, force=1e-9).step(1.0, fields, guess=True)
    return largest(model, "u", exact)


def turned_ring(comm: MPI.Comm, level: int, kinematics: Kinematics) -> tuple[PoroModel, Field]:
    """Model of the ring, and the displacement of its rotation."""
    linear = kinematics.linear
    turn = np.array([[0.0, -ANGLE], [ANGLE, 0.0]])
    if not linear:
        turn = np.array([[np.cos(ANGLE) - 1, -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE) - 1]])

    def exact(x: Array) -> Array:
        return np.vstack([turn @ x[:2], np.zeros((1, x.shape[1]))])

    model = PoroModel(
        whole_ring(comm, 6 * level),
        Setup(
            regions=[Region(1, "p", (LinearElastic if linear else NeoHookean)(1.0, POISSON), ConstantMobility(1.0))],
            fixed=[Fixed(("inner",)), Fixed(("ends",), 2)],
            supports=[Support(("wall",), RIGID)],
            drained=[Drained(("inner", "wall"), "p")],
            lagged_transport=True,
            kinematics=kinematics,
        ),
    )
    return model, exact


def whole_ring(comm: MPI.Comm, around: int) -> Domain:
    """Straight-sided ring of one layer of cells along its axis and two across, its vertices on circles."""
    layers = 2
    shape = (layers + 1, around, 2)
    first = np.stack(np.meshgrid(*map(np.arange, (layers, around, 1)), indexing="ij"), axis=-1).reshape(-1, 3)
    simplices = []
    for path in permutations(range(3)):
        steps = np.cumsum([np.zeros(3, dtype=int), *np.eye(3, dtype=int)[list(path)]], axis=0)
        simplices.append(first[:, None, :] + steps)
    corners = np.concatenate(simplices)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    radius, angle = THIN + (OUTER - THIN) * grid[:, 0] / layers, 2 * np.pi * grid[:, 1] / around
    facets, tags = [], []
    for tag, (axis, value) in enumerate([(0, 0), (0, layers), (2, 0), (2, 1)]):
        for left_out in range(4):
            facet = np.delete(corners, left_out, axis=1)
            facets.append(facet[(facet[..., axis] == value).all(axis=1)])
            tags.append(np.full(len(facets[-1]), min(tag, 2) + 1))

    def index(places: Array) -> Array:
        wrapped = places % np.array([layers + 1, around, 2])
        return np.ravel_multi_index(tuple(np.moveaxis(wrapped, -1, 0)), shape)

    return Domain.from_arrays(
        comm,
        np.stack([radius * np.cos(angle), radius * np.sin(angle), HEIGHT * grid[:, 2]], axis=1),
        index(corners),
        np.ones(len(corners), dtype=np.int32),
        index(np.concatenate(facets)),
        np.concatenate(tags),
        {"inner": 1, "wall": 2, "ends": 3},
    )

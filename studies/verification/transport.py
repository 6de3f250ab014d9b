"""Contents carried along a duct by a uniform flow: a smooth hump, and a front.

Tetrahedra with P1 fluxes, as in the spine; unit velocity and porosity, so that a content is where it was, moved by t:

    s(x, t) = cos(pi (x - a - t)/w)^4  within w/2 of a + t,      s(x, t) = 1 for x < t, else 0.

Errors are in L1 with the vertices' volumes as weights, over that of the exact share. A smooth share converges with the
second order of central fluxes. A front has no order that a limiter guarantees; upwinding carries it with one half [1],
and its error is asked to be half of upwinding's. One of the humps is carried in steps of two cells, which are cut into
parts.

[1] T. Tang & Z. H. Teng 1995, Math Comput 64:581 (the rate of monotone schemes at a front is sharp).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh
from dolfinx.fem import petsc as fem_petsc
from mpi4py import MPI

from fem.advection import Flow, carry
from fem.arrays import Array
from studies.verification.problem import Check, Curve, Problem, Result

WIDTH, MIDDLE, TIME = 0.8, 0.4, 0.25
"""Width of the hump, where its middle begins, and how long it is carried; the duct is one long."""

SECTION = 0.25
"""Side of the duct's section."""

AT_FRONT = 1e-9
"""Distance within which a vertex is at the front: far above round-off, far below a cell."""


@dataclass
class Transport(Problem):
    """A duct of tetrahedra."""

    name: str = "transport"
    title: str = "Contents carried by a flow"
    axis: str = "cells along the duct"
    levels: tuple[int, ...] = (48, 96)
    full_levels: tuple[int, ...] = (32, 64, 128)

    def checks(self) -> Sequence[Check]:
        """Second order where it is smooth; conservative and bounded always."""
        return [
            Check("hump, L1", 0.0116, 2.0, "a tenth of the error of upwinding at 96 cells"),
            Check("hump in parts of steps, L1", 0.0127, None, "a tenth of the error of upwinding at 96 cells"),
            Check("front, L1", 0.087, None, "half of the error of upwinding at 96 cells"),
            Check("conservation", 1e-12, None, "round-off: fluxes are taken from one vertex and given to another"),
            Check("bounds", 1e-12, None, "no share below 0 or above 1"),
        ]

    def run(self, level: int) -> Result:
        """Carry both with half a cell in a step, and the hump with two."""
        duct = Duct.of(level)
        errors, curves = {}, []
        loss, excess = 0.0, 0.0
        for name, content, fed, exact, cells in (
            ("hump", hump(duct.x, 0.0), 0.0, hump, 0.5),
            ("hump in parts of steps", hump(duct.x, 0.0), 0.0, hump, 2.0),
            ("front", 0 * duct.x, 1.0, front, 0.5),
        ):
            share, lost = duct.carried(content, fed, TIME, round(TIME * level / cells))
            true = exact(duct.x, TIME)
            errors[f"{name}, L1"] = float(duct.volume @ np.abs(share - true) / (duct.volume @ true))
            loss, excess = max(loss, lost), max(excess, -share.min(), share.max() - 1.0)
            curves.append(self._curve(name, duct, share, exact))
        errors |= {"conservation": loss, "bounds": max(float(excess), 0.0)}
        return Result(errors, tuple(curves), ("distance", "share"))

    @staticmethod
    def _curve(name: str, duct: Duct, share: Array, exact: Callable[[Array, float], Array]) -> Curve:
        line = np.flatnonzero((duct.points[:, 1] < 1e-9) & (duct.points[:, 2] < 1e-9))
        line = line[np.argsort(duct.x[line])]
        fine = np.linspace(0.0, 1.0, 400)
        return Curve(name, duct.x[line], share[line], fine, exact(fine, TIME))


def hump(x: Array, time: float) -> Array:
    """Smooth share, which has not reached the ends."""
    away = x - MIDDLE - time
    return np.where(np.abs(away) < WIDTH / 2, np.cos(np.pi * away / WIDTH) ** 4, 0.0)


def front(x: Array, time: float) -> Array:
    """Share behind a front that has come in; half where it stands, or round-off tells on which side a vertex is."""
    return np.where(np.abs(x - time) < AT_FRONT, 0.5, np.where(x < time, 1.0, 0.0))


@dataclass(frozen=True)
class Duct:
    """A box of tetrahedra with its P1 fluxes.

    Attributes:
        points: of the vertices, shape (vertices, 3).
        matrix: stiffness, shape (vertices, vertices).
        volume: of each vertex, shape (vertices,).
    """

    points: Array
    matrix: sparse.csr_matrix
    volume: Array

    @classmethod
    def of(cls, cells: int) -> Duct:
        """With so many cells along it."""
        across = max(1, round(cells * SECTION))
        corners = [(0.0, 0.0, 0.0), (1.0, SECTION, SECTION)]
        mesh = dmesh.create_box(MPI.COMM_SELF, corners, (cells, across, across))
        space = fem.functionspace(mesh, ("P", 1))
        trial, test = ufl.TrialFunction(space), ufl.TestFunction(space)
        stiffness = fem_petsc.assemble_matrix(fem.form(ufl.inner(ufl.grad(trial), ufl.grad(test)) * ufl.dx))
        stiffness.assemble()
        pointer, columns, values = stiffness.getValuesCSR()
        volume = fem_petsc.assemble_vector(fem.form(test * ufl.dx)).array.copy()
        return cls(space.tabulate_dof_coordinates(), sparse.csr_matrix((values, columns, pointer)), volume)

    @property
    def x(self) -> Array:
        """Distance along the duct."""
        along: Array = self.points[:, 0]
        return along

    def carried(self, share: Array, fed: float, time: float, steps: int) -> tuple[Array, float]:
        """Share after a time, and how much the balance is off over what there is.

        Args:
            share: at the beginning.
            fed: share of what flows in.
            time: in which the flow passes as much length.
            steps: taken.
        """
        step, closed = time / steps, np.zeros(len(self.volume))
        flow = Flow.between(self.matrix, -self.x, step, closed)
        net = flow.passing - np.bincount(flow.end, weights=flow.volume, minlength=len(closed))
        flow = Flow(flow.start, flow.end, flow.volume, np.where(self.x > 0.5, np.maximum(-net, 0.0), 0.0))
        gained = fed * np.where(self.x < 0.5, np.maximum(net, 0.0), 0.0)[None, :]
        content, held, out = (share * self.volume)[None, :], (self.volume, self.volume), 0.0
        first = content.sum()
        for _ in range(steps):
            parts = flow.parts(content + gained, self.volume)
            content, shares = carry(content, gained, held, flow, parts)
            out += float(shares[0] @ flow.leaving)
        put = first + steps * gained.sum()
        return content[0] / self.volume, abs(content.sum() + out - put) / put

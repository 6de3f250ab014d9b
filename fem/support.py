"""A rigid wall along which a body slides without friction.

Held weakly, since the direction that is held is no coordinate axis: energy s g^2/2 per reference area, with g the
distance by which a point of the surface is beyond the wall and s so large that g is small. Going beyond the wall and
leaving it are resisted alike: the contents of a full canal do not come off it. With normal n and curvature K = Grad n
of the wall at the place where the point was,

    g = u.n + u.K u/2,   in the linear mode   g = u.n.

Without the second term a point that slides by t along a wall of radius R would move on its tangent and get t^2/(2 R)
beyond it, which the pressure p inside would reward: a negative stiffness p/R per area, as large as that of fat.

A curved wall is made of flat facets. If each of them held along its own normal, a node between two would be held in two
directions and a vertex of three in all: the stiffer the wall, the more it would stick. Here every node has one normal
and one curvature and is held once: the energy is summed over the nodes. In the middle of an edge the normal is that of
the volume, the sum of the facets' areas times their normals, so that what is held lets no volume through the wall
(Engelman, Sani & Gresho 1982 Int J Numer Methods Fluids 2:225); a vertex of P2 adds nothing to the volume, and has the
mean of its facets' normals weighted by their angles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.la import InsertMode

from fem.arrays import Array
from fem.domain import Domain

NODES: dict[str, Any] = {
    "quadrature_rule": "custom",
    "quadrature_points": ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.0, 0.5), (0.5, 0.0)),
    "quadrature_weights": (1 / 120,) * 3 + (1 / 6 - 1 / 120,) * 3,
}
"""Sum over the nodes of a P2 facet, exact for linear functions. Without weight at corners it would be exact for
quadratic ones, but the wall would not hold corners; a twentieth of what middles weigh does."""

EDGES = ((2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1))
"""Edges of a tetrahedron in the order of dolfinx."""


@dataclass(frozen=True)
class Support:
    """Surfaces held along their normal, free along themselves.

    Attributes:
        surfaces: their names; edges between them are rounded off like those within one.
        stiffness: normal traction per normal displacement [Pa/m].
    """

    surfaces: tuple[str, ...]
    stiffness: Any


@dataclass(frozen=True)
class Wall:
    """Shape of a wall at the nodes of its facets: P2 functions, zero away from them.

    Attributes:
        normal: outer unit vector.
        curvature: symmetric tensor [1/m], positive where the body is round; None in the linear mode.
    """

    normal: Any
    curvature: Any

    def gap(self, u: Any) -> Any:
        """Distance beyond the wall [m]."""
        gap = ufl.inner(u, self.normal)
        return gap if self.curvature is None else gap + ufl.inner(u, self.curvature * u) / 2

    def gap_change(self, u: Any, v: Any) -> Any:
        """Change of the distance [m] by a virtual displacement."""
        change = ufl.inner(v, self.normal)
        return change if self.curvature is None else change + ufl.inner(v, self.curvature * u)

    @classmethod
    def of(
        cls, domain: Domain, surfaces: Sequence[str], mirrors: Sequence[tuple[Sequence[str], int]], linear: bool
    ) -> Wall:
        """Find the shape of faceted surfaces.

        Args:
            domain: mesh of tetrahedra; the surfaces are on its boundary.
            surfaces: their names.
            mirrors: surfaces in planes that the body goes on behind as its mirror image, with the axis normal to each.
            linear: leave the curvature out.
        """
        mesh = domain.mesh
        space = fem.functionspace(mesh, ("Lagrange", 2, (3,)))
        facets = [_Facet.of(domain, space, cell, local) for name in surfaces for cell, local in domain.surfaces[name]]
        normal = fem.Function(space)
        values = normal.x.array.reshape(-1, 3)
        for facet in facets:
            values[facet.corners] += facet.angles[:, None] * facet.area / np.linalg.norm(facet.area)
            values[facet.edges] += facet.area
        planes = [(domain.facet_indices([n for n in names if n in domain.surfaces]), axis) for names, axis in mirrors]
        _sum_over_ranks(normal)
        for marked, axis in planes:  # what the mirror image adds takes this component away
            normal.x.array[_marked(space.sub(axis), space, marked)] = 0.0
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(float).tiny)
        if linear:
            return cls(normal, None)
        tensors = fem.functionspace(mesh, ("Lagrange", 2, (3, 3)))
        curvature, weight = fem.Function(tensors), fem.Function(tensors)
        sums, areas = curvature.x.array.reshape(-1, 3, 3), weight.x.array.reshape(-1, 3, 3)
        for facet in facets:
            gradient = values[facet.corners].T @ facet.gradients
            size = np.linalg.norm(facet.area)
            for nodes in (facet.corners, facet.edges):
                sums[nodes] += size * (gradient + gradient.T) / 2
                areas[nodes] += size
        _sum_over_ranks(curvature)
        _sum_over_ranks(weight)
        sums /= np.where(areas > 0, areas, 1.0)
        flat = np.eye(3) - values[:, :, None] * values[:, None, :]
        sums[:] = np.einsum("nij,njk,nkl->nil", flat, sums, flat)
        return cls(normal, curvature)


@dataclass(frozen=True)
class _Facet:
    """A facet of a wall.

    Attributes:
        corners: local numbers of its corners, (3,); edges: of the middles of its edges.
        area: times the outer normal [m^2].
        angles: at each corner [rad].
        gradients: of the corners' linear functions in the plane [1/m], (3, 3).
    """

    corners: Array
    edges: Array
    area: Array
    angles: Array
    gradients: Array

    @classmethod
    def of(cls, domain: Domain, space: Any, cell: int, local: int) -> _Facet:
        place = domain.mesh.geometry.x[domain.mesh.geometry.dofmap[cell][:4]]
        nodes = space.dofmap.list[cell]
        corners = [corner for corner in range(4) if corner != local]
        if np.linalg.det(place[corners] - place[local]) < 0:
            corners = [corners[0], corners[2], corners[1]]  # counterclockwise seen from outside
        edges = [nodes[4 + EDGES.index(edge)] for edge in combinations(sorted(corners), 2)]
        x = place[corners]
        opposite = np.roll(x, -2, axis=0) - np.roll(x, -1, axis=0)
        area = np.cross(opposite[0], opposite[1]) / 2
        gradients = np.cross(area, opposite) / (2 * area @ area)
        along = opposite / np.linalg.norm(opposite, axis=1, keepdims=True)
        cosines = -np.einsum("ij,ij->i", np.roll(along, -1, axis=0), np.roll(along, -2, axis=0))
        return cls(nodes[corners], np.array(edges), area, np.arccos(np.clip(cosines, -1.0, 1.0)), gradients)


def _sum_over_ranks(function: Any) -> None:
    function.x.scatter_reverse(InsertMode.add)
    function.x.scatter_forward()


def _marked(part: Any, space: Any, facets: Array) -> Array:
    """Local degrees of freedom, ghosts included, of a component on facets that any rank owns."""
    marks = fem.Function(space)
    marks.x.array[fem.locate_dofs_topological(part, 2, facets)] = 1.0
    _sum_over_ranks(marks)
    return np.flatnonzero(marks.x.array)

"""Template section: the plane mesh that is swept along the axis.

Circles of radius 1 (cord), 2 (sac) and 3 (wall). Gmsh meshes the left half of the cord's disc and of the subarachnoid
ring; the epidural ring is structured. The half is mirrored, so the mesh is exactly symmetric in x and no edge crosses
the midline.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .arrays import FloatArray, IntArray
from .size import MeshSize

CORD_RADIUS, SAC_RADIUS, WALL_RADIUS = 1.0, 2.0, 3.0
_TOLERANCE = 1e-9
_FRONTAL, _DELAUNAY_OF_OUTLINE = 6, 3
"""Gmsh's numbers of its plane algorithms."""
_INNER_EDGE_RATIO = 1.4
"""Edge inside core and subarachnoid ring over the edge of the cord's outline."""


class Zone(IntEnum):
    """Ring of the template that a triangle lies in."""

    CORE = 0
    RING = 1
    EPIDURAL = 2


class Sectors(NamedTuple):
    """Half angles (rad) from the coronal plane at which root sleeve, foramen and lateral epidural space end."""

    sleeve: float
    foramen: float
    lateral: float


@dataclass(frozen=True)
class Template:
    """Plane mesh; nv vertices, nt triangles.

    Attributes:
        rho, theta: polar coordinates of the vertices, (nv,); theta = 0 left, pi/2 ventral.
        triangles: (nt, 3), counter-clockwise.
        zone: Zone of each triangle, (nt,).
        column: circumferential cell of each epidural triangle, -1 elsewhere, (nt,).
        key: (nv,) order of the vertices by which prisms are split. Mirror images share a key; joined ones never do.
        image: (nv,) mirror image of every vertex.
        wall: (n,) vertices of the wall, sac: (n,) of the sac, cord: (m,) of the cord, each by rising theta.
        angles: (n,) theta of the columns' first vertices, rising from the dorsal midline.
    """

    rho: FloatArray
    theta: FloatArray
    triangles: IntArray
    zone: IntArray
    column: IntArray
    key: IntArray
    image: IntArray
    wall: IntArray
    sac: IntArray
    cord: IntArray

    @property
    def angles(self) -> FloatArray:
        """Angle of the wall's vertices, (n,)."""
        return self.theta[self.wall]


def half_angles(size: MeshSize, sectors: Sectors) -> FloatArray:
    """Angles of the left half's nodes from the dorsal to the ventral midline."""
    dorsal, ventral = (_quarter(count, sectors) for count in (size.dorsal, size.ventral))
    flank = np.linspace(sectors.sleeve, sectors.foramen, size.flank + 1)
    sleeve = np.linspace(-sectors.sleeve, sectors.sleeve, size.sleeve + 1)
    return np.concatenate([-dorsal[::-1], -flank[-2:0:-1], sleeve, flank[1:-1], ventral])


def _quarter(count: int, sectors: Sectors) -> FloatArray:
    """Node angles from a foramen's edge to the midline; one of them ends the lateral sector if there are enough."""
    midline = 0.5 * np.pi
    lateral = round(count * (sectors.lateral - sectors.foramen) / (midline - sectors.foramen))
    if lateral == 0:
        return np.linspace(sectors.foramen, midline, count + 1)
    inner = np.linspace(sectors.foramen, sectors.lateral, lateral + 1)
    return np.concatenate([inner[:-1], np.linspace(sectors.lateral, midline, count - lateral + 1)])


def build_template(size: MeshSize, sectors: Sectors) -> Template:
    """Template for a mesh size."""
    angles = half_angles(size, sectors)
    cord_angles = np.linspace(-0.5 * np.pi, 0.5 * np.pi, size.cord + 1)
    points, triangles, zone = _inner_half(angles, cord_angles)
    column: IntArray = np.full(len(triangles), -1)

    # Epidural ring of the left half: radial edges, then a strip of triangles between neighbours.
    edges = []
    for angle in angles:
        # More layers where the interlaminar recess makes the gap deep; the edge of the dorsal sector stays lateral.
        dorsal = angle < -sectors.lateral - _TOLERANCE
        layers = size.dorsal_layers if dorsal else size.epidural_layers
        radii = np.linspace(SAC_RADIUS, WALL_RADIUS, layers + 1)[1:]
        new = len(points) + np.arange(layers)
        edges.append(np.concatenate([[_find(points, SAC_RADIUS, angle)], new]))
        points = np.vstack([points, np.column_stack([radii, np.full_like(radii, angle)])])
    ring, ring_columns = [], []
    for j, (a, b) in enumerate(pairwise(edges)):
        near, far = (a, b) if angles[j] + angles[j + 1] > -_TOLERANCE else (b, a)
        strip = _strip(near, far, points[:, 0])
        ring += strip
        ring_columns += [j] * len(strip)
    triangles = np.vstack([triangles, np.array(ring)])
    zone = np.concatenate([zone, np.full(len(ring), Zone.EPIDURAL)])
    column = np.concatenate([column, ring_columns])
    return _mirrored(points, triangles, zone, column)


def _inner_half(angles: FloatArray, cord_angles: FloatArray) -> tuple[FloatArray, IntArray, IntArray]:
    """Left half of core and subarachnoid ring by Gmsh: (rho, theta) of vertices, triangles, zones."""
    import gmsh

    owned = not gmsh.isInitialized()
    if owned:
        gmsh.initialize(["-noenv"], readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.option.setNumber("General.NumThreads", 1)
        gmsh.option.setNumber("Mesh.Algorithm", _FRONTAL)
        gmsh.option.setNumber("Mesh.RandomSeed", 1)
        gmsh.model.add("section")
        geo = gmsh.model.geo

        # Inside, cells may be larger than on the outlines: the pressure of CSF is all but uniform. That of the cord is
        # not, which draft and default mesh do not see (docs/verification.md).
        cord_edge = np.pi * CORD_RADIUS / (len(cord_angles) - 1)
        for source in ("FromPoints", "FromCurvature", "ExtendFromBoundary"):
            gmsh.option.setNumber(f"Mesh.MeshSize{source}", 0)
        for bound in ("Min", "Max"):
            gmsh.option.setNumber(f"Mesh.MeshSize{bound}", _INNER_EDGE_RATIO * cord_edge)

        def arc(radius: float, thetas: FloatArray) -> tuple[list[int], list[int]]:
            nodes = [geo.addPoint(radius * np.cos(t), radius * np.sin(t), 0.0) for t in thetas]
            return nodes, [geo.addLine(a, b) for a, b in pairwise(nodes)]

        cord_nodes, cord_lines = arc(CORD_RADIUS, cord_angles)
        sac_nodes, sac_lines = arc(SAC_RADIUS, angles)
        axis = geo.addLine(cord_nodes[-1], cord_nodes[0])
        dorsal = geo.addLine(cord_nodes[0], sac_nodes[0])
        ventral = geo.addLine(sac_nodes[-1], cord_nodes[-1])
        core = geo.addPlaneSurface([geo.addCurveLoop([*cord_lines, axis])])
        ring = geo.addPlaneSurface(
            [geo.addCurveLoop([dorsal, *sac_lines, ventral, *(-c for c in reversed(cord_lines))])]
        )
        geo.synchronize()
        for curve in (*cord_lines, *sac_lines):
            gmsh.model.mesh.setTransfiniteCurve(curve, 2)
        inner_edge = _INNER_EDGE_RATIO * cord_edge
        gmsh.model.mesh.setTransfiniteCurve(axis, 1 + max(1, round(2.0 * CORD_RADIUS / inner_edge)))
        rings = max(1, round((SAC_RADIUS - CORD_RADIUS) / inner_edge))
        for curve in (dorsal, ventral):
            gmsh.model.mesh.setTransfiniteCurve(curve, rings + 1)
        if rings == 1:
            # One ring of cells needs no vertices of its own.
            for surface in (core, ring):
                gmsh.model.mesh.setAlgorithm(2, surface, _DELAUNAY_OF_OUTLINE)
        gmsh.model.mesh.generate(2)
        tags, coordinates, _ = gmsh.model.mesh.getNodes()
        xyz = np.asarray(coordinates).reshape(-1, 3)
        index = np.full(int(max(tags)) + 1, -1)
        index[tags] = np.arange(len(tags))
        parts = [
            index[np.asarray(gmsh.model.mesh.getElements(2, s)[2][0], dtype=np.int64)].reshape(-1, 3)
            for s in (core, ring)
        ]
    finally:
        if owned:
            gmsh.finalize()
        else:
            gmsh.model.remove()
    triangles = np.vstack(parts)
    zone = np.repeat([Zone.CORE, Zone.RING], [len(part) for part in parts])
    # Gmsh numbers nodes by entity; sorting by place makes the numbering independent of its version.
    xy = xyz[:, :2].copy()
    xy[np.abs(xy[:, 0]) < _TOLERANCE, 0] = 0.0
    rho, theta = np.hypot(xy[:, 0], xy[:, 1]), np.arctan2(xy[:, 1], xy[:, 0])
    order = np.lexsort((np.round(theta, 9), np.round(rho, 9)))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    triangles = rank[triangles]
    points = np.column_stack([rho, theta])[order]
    by_place = np.lexsort(np.sort(triangles, axis=1).T[::-1])
    return points, triangles[by_place], zone[by_place]


def _strip(near: IntArray, far: IntArray, rho: FloatArray) -> list[tuple[int, int, int]]:
    """Triangles between two radial edges, of which ``near`` is the nearer one to the lateral axis.

    Diagonals run outwards from the near edge, whose vertices have the smaller keys, to the far one. Then each
    tetrahedron of a prism joins a radial edge with a circumferential one, and a section that turns a little along the
    axis cannot invert cells in a thin gap.
    """
    triangles = []
    i = j = 0
    while i < len(near) - 1 or j < len(far) - 1:
        on_far = j < len(far) - 1 and (i == len(near) - 1 or rho[far[j + 1]] <= rho[near[i + 1]] + _TOLERANCE)
        if on_far:
            triangles.append((int(near[i]), int(far[j]), int(far[j + 1])))
            j += 1
        else:
            triangles.append((int(near[i]), int(far[j]), int(near[i + 1])))
            i += 1
    return triangles


def _find(points: FloatArray, radius: float, angle: float) -> int:
    distance = np.abs(points[:, 0] - radius) + np.abs(points[:, 1] - angle)
    return int(np.argmin(distance))


def _mirrored(points: FloatArray, triangles: IntArray, zone: IntArray, column: IntArray) -> Template:
    """Whole section from its left half."""
    rho, theta = points.T
    count = len(points)
    on_midline = np.abs(rho * np.cos(theta)) < 1e-7
    image = np.arange(count)
    image[~on_midline] = count + np.arange(int((~on_midline).sum()))
    all_rho = np.concatenate([rho, rho[~on_midline]])
    all_theta = np.concatenate([theta, np.pi - theta[~on_midline]])

    # Order on the half: outward, then away from the lateral axis. With it the prisms' diagonals around a foramen
    # run towards its middle on both sides, and up-down once the upper slabs are split upside down.
    half_key = np.empty(count, dtype=np.int64)
    half_key[np.lexsort((theta, np.round(np.abs(theta), 9), np.round(rho, 9)))] = np.arange(count)
    key = np.concatenate([half_key, half_key[~on_midline]])

    columns = int(column.max()) + 1
    mirrored_column = np.where(column >= 0, 2 * columns - 1 - column, -1)
    all_triangles = _counter_clockwise(np.vstack([triangles, image[triangles]]), all_rho, all_theta)

    def circle(radius: float) -> IntArray:
        nodes = np.flatnonzero(np.abs(all_rho - radius) < 1e-7)
        from_dorsal = (all_theta[nodes] + 0.5 * np.pi + _TOLERANCE) % (2.0 * np.pi)
        return nodes[np.argsort(from_dorsal)]

    return Template(
        rho=all_rho,
        theta=all_theta,
        triangles=all_triangles,
        zone=np.concatenate([zone, zone]),
        column=np.concatenate([column, mirrored_column]),
        key=key,
        image=np.concatenate([image, np.flatnonzero(~on_midline)]),
        wall=circle(WALL_RADIUS),
        sac=circle(SAC_RADIUS),
        cord=circle(CORD_RADIUS),
    )


def _counter_clockwise(triangles: IntArray, rho: FloatArray, theta: FloatArray) -> IntArray:
    xy = np.column_stack([rho * np.cos(theta), rho * np.sin(theta)])[triangles]
    a, b = xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0]
    clockwise = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0.0
    out = triangles.copy()
    out[clockwise] = out[clockwise][:, [0, 2, 1]]
    return out

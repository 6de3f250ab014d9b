"""Small meshes of the closed-form problems, structured so that orders of convergence are clean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

import numpy as np
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem.arrays import Array
from fem.domain import Domain

Map = Callable[[Array], Array]
"""Coordinates, shape (n, dim), of points of the unit square or cube, shape (n, dim)."""

EDGES = {
    2: ((1, 2), (0, 2), (0, 1)),
    3: ((2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1)),
}
"""Vertices of the edges of a cell in the order of dolfinx."""

SIDES = {"x0": (0, 0), "x1": (0, 1), "y0": (1, 0), "y1": (1, 1), "z0": (2, 0), "z1": (2, 1)}


def on(axis: int, value: float) -> Callable[[Array], Array]:
    """Marker of the plane where a coordinate has a value."""
    return lambda x: np.isclose(x[axis], value)


def rectangle(comm: MPI.Comm, size: tuple[float, float], cells: tuple[int, int]) -> Domain:
    """Rectangle with sides left, right, bottom, top."""
    mesh = dmesh.create_rectangle(
        comm,
        [(0.0, 0.0), size],
        cells,
        dmesh.CellType.triangle,
        ghost_mode=dmesh.GhostMode.shared_facet,
        diagonal=dmesh.DiagonalType.crossed,
    )
    sides = {"left": on(0, 0), "right": on(0, size[0]), "bottom": on(1, 0), "top": on(1, size[1])}
    return Domain.from_mesh(mesh, sides)


def mapped(
    comm: MPI.Comm,
    cells: Sequence[int],
    place: Map,
    layers: Mapping[int, float] | None = None,
    interfaces: Mapping[str, float] | None = None,
) -> Domain:
    """Second-order mesh of a smooth image of the unit square or cube.

    Every node, on curved sides and inside, lies where the map puts it. Sides are named x0, x1, y0, y1, z0, z1 after the
    unit coordinates.

    Args:
        comm: communicator.
        cells: along each direction.
        place: the map.
        layers: where each region, by tag, begins along the first unit coordinate.
        interfaces: named surfaces at a value of the first unit coordinate.
    """
    dim = len(cells)
    shape = np.array([2 * n + 1 for n in cells])
    corners = np.stack(np.meshgrid(*(np.arange(n) for n in cells), indexing="ij"), axis=-1).reshape(-1, dim) * 2
    simplices = []
    for path in permutations(range(dim)):  # Kuhn: from corner to opposite corner, one axis after the other
        vertices = [corners]
        for axis in path:
            vertices.append(vertices[-1] + 2 * np.eye(dim, dtype=int)[axis])
        simplices.append(np.stack(vertices, axis=1))
    vertices = np.concatenate(simplices)

    def index(places: Array) -> Array:
        return np.ravel_multi_index(tuple(np.moveaxis(places, -1, 0)), tuple(shape))

    def nodes(simplex: Array) -> Array:
        edges = EDGES.get(simplex.shape[1] - 1, ((0, 1),))
        return np.concatenate(
            [index(simplex), *(index((simplex[:, a] + simplex[:, b]) // 2)[:, None] for a, b in edges)], axis=1
        )

    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1).reshape(-1, dim)
    centre = vertices.mean(axis=1)[:, 0] / (shape[0] - 1)
    region = np.ones(len(vertices), dtype=np.int32)
    for tag, begin in (layers or {}).items():
        region[centre > begin] = tag
    planes = {name: (axis, end * (shape[axis] - 1)) for name, (axis, end) in SIDES.items() if axis < dim}
    planes |= {name: (0, round(value * (shape[0] - 1))) for name, value in (interfaces or {}).items()}
    facets, tags = [], []
    for number, (axis, value) in enumerate(planes.values(), start=1):
        for left_out in range(dim + 1):
            facet = np.delete(vertices, left_out, axis=1)
            facet = facet[np.all(facet[:, :, axis] == value, axis=1)]
            facets.append(nodes(facet))
            tags.append(np.full(len(facet), number))
    return Domain.from_arrays(
        comm,
        place(grid / (shape - 1)),
        nodes(vertices),
        region,
        np.concatenate(facets),
        np.concatenate(tags),
        {name: number for number, name in enumerate(planes, start=1)},
    )


def quarter_ring(inner: float, outer: float, height: float | None = None) -> Map:
    """Map of (radius, angle[, height]) onto the quarter ring in x, y > 0."""

    def place(unit: Array) -> Array:
        radius = inner + (outer - inner) * unit[:, 0]
        angle = np.pi / 2 * unit[:, 1]
        plane = [radius * np.cos(angle), radius * np.sin(angle)]
        return np.stack(plane if height is None else [*plane, height * unit[:, 2]], axis=1)

    return place

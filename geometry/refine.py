"""Edges within an injection's source, split until the mesh resolves it.

An edge is split at its middle, with every cell around it, so that the mesh stays conforming and the body the same
polyhedron. Only an edge that is the longest of all its cells is split: on the way to a shorter one longer neighbours
come first, so that cells do not degenerate (Rivara 1997 Int J Numer Methods Eng 40:3313). Of edges of one length the
order knows the distance from the midsagittal plane, not the side: a mesh that is its own mirror image stays so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray
from .landmarks import Landmark
from .mesh import MIRROR_TOLERANCE, SpineMesh
from .size import SOURCE_RADIUS

EDGES_ACROSS = 2
"""Edges that a source's radius has to be divided into (h <= r/2)."""
_ENDS = np.array(list(combinations(range(4), 2)))


@dataclass(frozen=True, eq=False)
class Source:
    """Where an injection enters: within a radius (m) of a needle's tip, in the tip's part of the epidural space."""

    tip: Landmark
    radius: float = SOURCE_RADIUS

    @property
    def resolving_length(self) -> float:
        """Longest edge (m) that resolves the source."""
        return self.radius / EDGES_ACROSS

    def holding(self, mesh: SpineMesh) -> BoolArray:
        """Cells of the part of the epidural space that the source is truncated to, (m,)."""
        return np.isin(mesh.subregion, [int(part) for part in self.tip.subregions])

    def meets(self, ends: FloatArray) -> BoolArray:
        """Whether the middle of each edge (e, 2, 3) lies within the radius."""
        within: BoolArray = np.linalg.norm(ends.mean(axis=1) - self.tip.point, axis=1) < self.radius
        return within

    def longest_edge(self, mesh: SpineMesh) -> float:
        """Length of the longest edge (m) whose middle lies in the source; 0 where there is none."""
        edges, _ = _edges(mesh.cells[self.holding(mesh)])
        ends = mesh.points[edges]
        return float(_lengths(ends[self.meets(ends)]).max(initial=0.0))


def resolved(mesh: SpineMesh, sources: Iterable[Source]) -> SpineMesh:
    """The mesh, with edges within sources split until they resolve them."""
    for source in sources:
        mesh = _resolved(mesh, source)
    return mesh


def _resolved(mesh: SpineMesh, source: Source) -> SpineMesh:
    while True:
        edges, of_cell = _edges(mesh.cells)
        ends = mesh.points[edges]
        length = _lengths(ends)
        wanted = np.zeros(len(edges), dtype=bool)
        wanted[of_cell[source.holding(mesh)]] = True
        wanted &= length > source.resolving_length
        wanted[wanted] = source.meets(ends[wanted])
        if not wanted.any():
            return mesh
        mesh = _split(mesh, edges, of_cell, _terminal(_order(ends, length), wanted, of_cell))


def _edges(cells: IntArray) -> tuple[IntArray, IntArray]:
    """Edges (e, 2), each once, and the six of every cell (m, 6)."""
    pairs = np.sort(cells[:, _ENDS].reshape(-1, 2), axis=1)
    count = int(cells.max()) + 1
    keys, of_cell = np.unique(pairs[:, 0] * count + pairs[:, 1], return_inverse=True)
    return np.column_stack(np.divmod(keys, count)), of_cell.reshape(-1, len(_ENDS))


def _lengths(ends: FloatArray) -> FloatArray:
    lengths: FloatArray = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    return lengths


def _order(ends: FloatArray, length: FloatArray) -> IntArray:
    """Rank of each edge, the longest first; of two of a length by place, mirror images next to each other."""
    middle = ends.mean(axis=1)
    middle[:, 0] = np.abs(middle[:, 0])
    keys = np.round(np.column_stack([-length, middle]) / MIRROR_TOLERANCE).astype(np.int64)
    rank = np.empty(len(length), dtype=np.int64)
    rank[np.lexsort(keys.T[::-1])] = np.arange(len(length))
    return rank


def _terminal(rank: IntArray, wanted: BoolArray, of_cell: IntArray) -> IntArray:
    """Edges that are the longest of all their cells, at the ends of the paths from the wanted ones to longer ones."""
    longest = np.take_along_axis(of_cell, rank[of_cell].argmin(axis=1)[:, None], axis=1)[:, 0]
    marked = wanted.copy()
    while True:
        before = np.count_nonzero(marked)
        marked[longest[marked[of_cell].any(axis=1)]] = True
        if np.count_nonzero(marked) == before:
            break
    shorter = of_cell != longest[:, None]
    marked[of_cell[shorter]] = False
    chosen: IntArray = np.flatnonzero(marked)
    return chosen


def _split(mesh: SpineMesh, edges: IntArray, of_cell: IntArray, chosen: IntArray) -> SpineMesh:
    """Split edges that share no cell."""
    middle = np.full(len(edges), -1)
    middle[chosen] = len(mesh.points) + np.arange(len(chosen))
    points = np.concatenate([mesh.points, mesh.points[edges[chosen]].mean(axis=1)])
    cell, local = np.nonzero(middle[of_cell] >= 0)
    edge = of_cell[cell, local]
    cells = _halved(mesh.cells, cell, edges[edge], middle[edge])
    # a facet's edge is an edge of its cell
    number = {(a, b): m for (a, b), m in zip(edges[chosen].tolist(), middle[chosen].tolist(), strict=True)}
    pairs = np.sort(mesh.facets[:, [[0, 1], [0, 2], [1, 2]]], axis=2)
    touched = np.isin(pairs, edges[chosen]).all(axis=2)
    found = [
        (k, pair, number[pair]) for k, j in np.argwhere(touched) if (pair := tuple(pairs[k, j].tolist())) in number
    ]
    facet = np.array([entry[0] for entry in found], dtype=np.int64)
    facets = _halved(
        mesh.facets,
        facet,
        np.array([entry[1] for entry in found], dtype=np.int64).reshape(-1, 2),
        np.array([entry[2] for entry in found], dtype=np.int64),
    )

    def kept(values: IntArray, which: IntArray) -> IntArray:
        return np.concatenate([values, values[which]])

    return replace(
        mesh,
        points=points,
        cells=cells,
        region=kept(mesh.region, cell),
        subregion=kept(mesh.subregion, cell),
        slab=kept(mesh.slab, cell),
        level=kept(mesh.level, cell),
        facets=facets,
        facet_tag=kept(mesh.facet_tag, facet),
    )


def _halved(simplices: IntArray, which: IntArray, ends: IntArray, middle: IntArray) -> IntArray:
    """Simplices of which some are cut in two: the half with the edge's first end in place, the other one appended."""
    halves = []
    for end in (1, 0):
        half = simplices[which]
        half[half == ends[:, [end]]] = np.broadcast_to(middle[:, None], half.shape)[half == ends[:, [end]]]
        halves.append(half)
    out = simplices.copy()
    out[which] = halves[0]
    return np.concatenate([out, halves[1]])

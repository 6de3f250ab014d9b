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
        """Whether each edge (e, 2, 3) has its middle within the radius, or the tip in the ball over it."""
        reach = np.maximum(self.radius, 0.5 * _lengths(ends))  # cells may be larger than a source between their edges
        within: BoolArray = np.linalg.norm(ends.mean(axis=1) - self.tip.point, axis=1) < reach
        return within

    def longest_edge(self, mesh: SpineMesh) -> float:
        """Length of the longest edge (m) that the source meets; 0 where there is none."""
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
        mesh = _split(mesh, edges[_terminal(_order(ends, length), wanted, of_cell)])


def _edges(simplices: IntArray) -> tuple[IntArray, IntArray]:
    """Edges (e, 2), each once, and those of every simplex (m, 3 or 6)."""
    ends = np.array(list(combinations(range(simplices.shape[1]), 2)))
    pairs = np.sort(simplices[:, ends].reshape(-1, 2), axis=1)
    count = int(simplices.max()) + 1
    keys, numbers = np.unique(pairs[:, 0] * count + pairs[:, 1], return_inverse=True)
    return np.column_stack(np.divmod(keys, count)), numbers.reshape(-1, len(ends))


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


def _split(mesh: SpineMesh, chosen: IntArray) -> SpineMesh:
    """Split edges (k, 2) that share no cell, and so no facet."""
    middle = len(mesh.points) + np.arange(len(chosen))
    cells, cell = _halved(mesh.cells, chosen, middle)
    facets, facet = _halved(mesh.facets, chosen, middle)

    def kept(values: IntArray, which: IntArray) -> IntArray:
        return np.concatenate([values, values[which]])

    return replace(
        mesh,
        points=np.concatenate([mesh.points, mesh.points[chosen].mean(axis=1)]),
        cells=cells,
        region=kept(mesh.region, cell),
        subregion=kept(mesh.subregion, cell),
        slab=kept(mesh.slab, cell),
        level=kept(mesh.level, cell),
        facets=facets,
        facet_tag=kept(mesh.facet_tag, facet),
    )


def _halved(simplices: IntArray, chosen: IntArray, middle: IntArray) -> tuple[IntArray, IntArray]:
    """Simplices, those with a chosen edge (k, 2) cut in two, and which were cut: their other halves follow."""
    edges, of_simplex = _edges(simplices)
    count = int(max(simplices.max(), chosen.max())) + 1
    _, here, there = np.intersect1d(edges @ [count, 1], chosen @ [count, 1], return_indices=True)
    cut = np.full(len(edges), -1)
    cut[here] = there
    which, local = np.nonzero(cut[of_simplex] >= 0)
    number = cut[of_simplex[which, local]]
    halves = []
    for end in (1, 0):
        half = simplices[which]
        row, column = np.nonzero(half == chosen[number, end][:, None])
        half[row, column] = middle[number[row]]
        halves.append(half)
    out = simplices.copy()
    out[which] = halves[0]
    return np.concatenate([out, halves[1]]), which

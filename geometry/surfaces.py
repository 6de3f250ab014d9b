"""Facets of a tetrahedral mesh and their names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray
from .regions import Region

DURA, PIA, BONE = "dura", "pia", "bone"
CUT_PREFIX = "cut_"
FORAMEN_PREFIX = "foramen_"
CUT_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Facets:
    """All facets: ``nodes`` (f, 3) sorted, ``cells`` (f, 2) with -1 outside."""

    nodes: IntArray
    cells: IntArray

    @property
    def on_boundary(self) -> BoolArray:
        """Facets with a cell on one side only, (f,)."""
        return self.cells[:, 1] < 0


def all_facets(cells: IntArray) -> Facets:
    """Facets of a mesh with the one or two cells of each."""
    faces = np.sort(cells[:, [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]].reshape(-1, 3), axis=1)
    owner = np.repeat(np.arange(len(cells)), 4)
    order = np.lexsort(faces.T[::-1])
    faces, owner = faces[order], owner[order]
    first = np.concatenate([[True], np.any(faces[1:] != faces[:-1], axis=1)])
    start = np.flatnonzero(first)
    count = np.diff(np.append(start, len(faces)))
    pairs = np.full((len(start), 2), -1)
    pairs[:, 0] = owner[start]
    shared = count == 2
    pairs[shared, 1] = owner[start[shared] + 1]
    if np.any(count > 2):
        raise ValueError("a facet belongs to more than two cells")
    return Facets(faces[start], pairs)


def tag_surfaces(
    points: FloatArray, cells: IntArray, region: IntArray, foramen_vertices: dict[str, IntArray]
) -> tuple[IntArray, IntArray, dict[str, int]]:
    """Named surfaces of a swept mesh.

    Args:
        points: (n, 3).
        cells: (m, 4).
        region: (m,).
        foramen_vertices: vertices of the outer face of each stub by surface name.

    Returns:
        facets (f, 3), their tags (f,), and the tag of every name that has facets.
    """
    facets = all_facets(cells)
    outside = facets.on_boundary
    inner = region[facets.cells[:, 0]]
    outer = np.where(outside, 0, region[facets.cells[:, 1]])
    names = np.full(len(facets.nodes), "", dtype=object)
    pair = np.sort(np.column_stack([inner, outer]), axis=1)
    names[(pair == (Region.EPIDURAL, Region.SUBARACHNOID)).all(axis=1)] = DURA
    # Pia also closes the cord against the epidural space if the sac were to end above the conus.
    names[((pair[:, 1] == Region.CORD) & (pair[:, 0] != Region.CORD) & (pair[:, 0] > 0))] = PIA
    names[outside] = BONE
    z = points[:, 2]
    for end, height in (("cranial", z.max()), ("caudal", z.min())):
        at_end = outside & (np.abs(z[facets.nodes] - height) < CUT_TOLERANCE).all(axis=1)
        for member in Region:
            names[at_end & (inner == member)] = f"{CUT_PREFIX}{end}_{member.name.lower()}"
    for name, vertices in foramen_vertices.items():
        names[outside & np.isin(facets.nodes, vertices).all(axis=1)] = name
    named = names != ""
    present = ordered_names(set(names[named]))
    surfaces = {name: number for number, name in enumerate(present, start=1)}
    tags = np.array([surfaces[name] for name in names[named]], dtype=np.int32)
    return facets.nodes[named], tags.astype(np.int64), surfaces


def ordered_names(names: set[str]) -> list[str]:
    """Surface names in a fixed order: membranes, bone, cuts, foramina."""

    def rank(name: str) -> tuple[int, str]:
        if name in (DURA, PIA, BONE):
            return (DURA, PIA, BONE).index(name), name
        return (3 if name.startswith(CUT_PREFIX) else 4), name

    return sorted(names, key=rank)

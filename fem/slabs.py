"""Slabs of a spine, in which what is reported along the canal is counted: which level they are of, what is no tip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fem.arrays import Array
from geometry import SpineMesh, Subregion

TAPER_REACH = 60e-3
"""Slabs this near tell whether one belongs to the tip of sac or cord [m]: two segments.
A part of the canal that is narrow as a whole, as the thoracic one, is no tip."""

TAPER_SHARE = 0.5
"""A slab with at most this share of the largest area near it belongs to the tip, and counts in no minimum [1]."""


def whole_sections(edges: Array, area: Array) -> Array:
    """Slabs that hold a structure, its tapering tip left out, shape (slabs,).

    Args:
        edges: heights of the slabs' borders [m], shape (slabs + 1,).
        area: of the structure in every slab [m^2], zero where it is not.
    """
    middle = (edges[1:] + edges[:-1]) / 2
    near = np.abs(middle[:, None] - middle) <= TAPER_REACH
    largest = np.where(near, area, 0.0).max(axis=1)
    for reach in (-TAPER_REACH, TAPER_REACH):  # between slabs, too: where they lie must not tell
        largest = np.maximum(largest, np.interp(middle + reach, middle, area))
    whole: Array = area > TAPER_SHARE * largest
    return whole


def slab_levels(spine: SpineMesh) -> Array:
    """Name of the level of every slab."""
    return np.asarray(spine.levels)[_level_index(spine)]


def segment_coordinate(spine: SpineMesh) -> Callable[[float], float]:
    """Map a height z [m] to segments counted caudally from the cranial end of the mesh, fractions within a segment."""
    borders = np.flatnonzero(np.diff(_level_index(spine))) + 1
    z = np.concatenate([spine.slab_edges[:1], spine.slab_edges[borders], spine.slab_edges[-1:]])
    count = np.arange(len(z) - 1, -1, -1, dtype=float)
    return lambda height: float(np.interp(height, z, count))


def _level_index(spine: SpineMesh) -> Array:
    """Index of the level of every slab among the mesh's levels."""
    inside = spine.subregion != Subregion.FORAMINAL
    level = np.zeros(len(spine.slab_edges) - 1, dtype=int)
    level[spine.slab[inside]] = spine.level[inside]
    return level

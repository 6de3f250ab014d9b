"""Barriers to spread in the epidural space, as a factor on the mobility of each cell.

The interface between ventral and lateral space (posterior longitudinal ligament, peridural membrane) and the necks
between the dorsal fat pads are thinner than cells: they are smeared over the ventral space, and over the dorsal space
that lies under a lamina.
"""

from __future__ import annotations

import numpy as np

from fem.arrays import Array
from fem.materials import Barriers
from geometry import SpineMesh, Subregion

NECK = 0.5
"""Distance from the nearest interspace, over half a segment's length, beyond which the dorsal space is a neck [1]."""


def mobility_factor(spine: SpineMesh, barriers: Barriers) -> Array:
    """Factor on the mobility of every cell [1], 1 outside the epidural space."""
    factor = np.ones(len(spine.cells))
    factor[spine.subregion == Subregion.VENTRAL] = barriers.ventral
    factor[spine.subregion == Subregion.FORAMINAL] = barriers.foramen
    factor[(spine.subregion == Subregion.DORSAL) & _under_lamina(spine)] = barriers.lamina
    return factor


def _under_lamina(spine: SpineMesh) -> Array:
    """Whether each cell lies nearer to the middle of a segment than to an interspace."""
    edges = spine.slab_edges
    inner = sorted(spine.interspace_z.values())
    borders = np.array([float(edges[0]), *inner, float(edges[-1])])
    borders = borders[np.concatenate([[True], np.diff(borders) > 1e-9])]
    middle = spine.points[spine.cells][:, :, 2].mean(axis=1)
    index = np.clip(np.searchsorted(borders, middle) - 1, 0, len(borders) - 2)
    low, high = borders[index], borders[index + 1]
    half = np.maximum(0.5 * (high - low), 1e-9)
    result: Array = np.minimum(middle - low, high - middle) > NECK * half
    return result

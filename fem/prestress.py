"""How much of the healthy sac's pressure is held by reactions, and not by the tension of its dura."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from fem.arrays import Array

SEGMENT = 20e-3
"""Length of the sac over which forces are added up [m]: what a facet's corners hold against its middle cancels."""

SECTORS = 4
"""Sectors of half the circumference over which they are added up, the two sides of the body as one [1]."""


def share_held(comm: MPI.Comm, points: Array, reaction: Array, load: Array) -> float:
    """Reactions over loads, both added up by segment and sector, as norms [1].

    Args:
        comm: of the ranks that share the nodes.
        points: (n, 3) places of the nodes of a rank; x is 0 in the midsagittal plane, z runs along the canal.
        reaction: (n, 3) nodal forces [N].
        load: (n, 3) nodal forces of the pressure [N], zero where there is none.
    """
    side = np.where(points[:, 0] < 0, -1.0, 1.0)[:, None] ** [1, 0, 0]
    points, reaction, load = side * points, side * reaction, side * load
    loaded = np.linalg.norm(load, axis=1) > 0
    least, largest = (
        comm.allreduce(pick(points[loaded, 2], initial=start), op=op)
        for pick, start, op in ((np.min, np.inf, MPI.MIN), (np.max, -np.inf, MPI.MAX))
    )
    count = max(1, round((largest - least) / SEGMENT))
    segment = np.clip(((points[:, 2] - least) / (largest - least) * count).astype(int), 0, count - 1)

    def summed(index: Array, values: Array, size: int) -> Array:
        local = np.zeros((size, *values.shape[1:]))
        np.add.at(local, index, values)
        return np.asarray(comm.allreduce(local, op=MPI.SUM))

    number = summed(segment[loaded], np.ones(loaded.sum()), count)
    middle = summed(segment[loaded], points[loaded, 1], count) / np.maximum(number, 1)
    angle = np.arctan2(points[:, 1] - middle[segment], points[:, 0])
    sector = np.clip(((angle / np.pi + 0.5) * SECTORS).astype(int), 0, SECTORS - 1)
    parts = segment * SECTORS + sector
    held, pressed = (np.linalg.norm(summed(parts, force, count * SECTORS)) for force in (reaction, load))
    return float(held / pressed)

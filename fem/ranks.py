"""Reductions over ranks that MPI does not name: joined sets, elementwise extremes of arrays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from mpi4py import MPI

from fem.arrays import Array


def joined(comm: MPI.Comm, items: Iterable[int]) -> set[int]:
    """Union over ranks."""
    return set().union(*comm.allgather({int(item) for item in items}))


def smallest(comm: MPI.Comm, values: Array) -> Array:
    """Elementwise minimum over ranks."""
    return np.min(comm.allgather(values), axis=0)


def largest(comm: MPI.Comm, values: Array) -> Array:
    """Elementwise maximum over ranks."""
    return np.max(comm.allgather(values), axis=0)

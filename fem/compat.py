"""The few calls that differ between dolfinx 0.9, 0.10 and 0.11."""

from __future__ import annotations

from typing import Any

import dolfinx
from dolfinx import fem, mesh
from dolfinx.fem import petsc as fem_petsc

CELLS_AT_FACET = 2
"""Cells that meet at a facet, at most."""

VERSION = tuple(int(part) for part in dolfinx.__version__.split(".")[:2])


def create_vector(form: Any) -> Any:
    """PETSc vector for a compiled linear form (dolfinx 0.11 takes its function space)."""
    if VERSION >= (0, 11):
        return fem_petsc.create_vector(fem.extract_function_spaces([form])[0])
    return fem_petsc.create_vector(form)


def create_mesh(comm: Any, cells: Any, points: Any, element: Any) -> Any:
    """Mesh whose ranks see their neighbours' cells across facets.

    dolfinx 0.10 takes the element before the points; later ones want to be told how many cells meet at a facet.
    """
    try:
        partitioner = mesh.create_cell_partitioner(mesh.GhostMode.shared_facet)
    except TypeError:
        partitioner = mesh.create_cell_partitioner(mesh.GhostMode.shared_facet, CELLS_AT_FACET)
    return mesh.create_mesh(comm, cells, x=points, e=element, partitioner=partitioner)

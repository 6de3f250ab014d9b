"""The few calls that differ between dolfinx 0.9, 0.10 and 0.11."""

from __future__ import annotations

from typing import Any

import dolfinx
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc

VERSION = tuple(int(part) for part in dolfinx.__version__.split(".")[:2])


def create_vector(form: Any) -> Any:
    """PETSc vector for a compiled linear form (dolfinx 0.11 takes its function space)."""
    if VERSION >= (0, 11):
        return fem_petsc.create_vector(fem.extract_function_spaces([form])[0])
    return fem_petsc.create_vector(form)


def functionspace(mesh: Any, element: Any) -> Any:
    """Function space on a mesh."""
    return fem.functionspace(mesh, element)

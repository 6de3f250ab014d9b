"""What a result was made with: versions, machine, mesh, parameters with their tags."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any, Final

import fem
from fem.materials import parameter_table
from fem.parameters import TimeControl
from geometry import SpineMesh
from studies.case import Case
from studies.inputs import material_values
from studies.resolve import presets

MESH_ERROR: Final = Path(__file__).parent / "data" / "mesh_error.csv"
PACKAGES: Final = ("fenics-dolfinx", "fenics-basix", "fenics-ufl", "fenics-ffcx", "petsc4py", "mpi4py")
LIBRARIES: Final = ("gmsh", "numpy", "scipy", "meshio", "pydantic", "pint", "pandas")


@cache
def version() -> str:
    """Version of bloodpatch."""
    try:
        return importlib.metadata.version("bloodpatch")
    except importlib.metadata.PackageNotFoundError:
        project = Path(__file__).parents[1] / "pyproject.toml"
        if project.is_file():
            import tomllib

            return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
        return "unknown"


@cache
def _installed_versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in (*PACKAGES, *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _imported_versions() -> dict[str, str]:
    found = dict(_installed_versions())
    # Importing them here would start PETSc, which all ranks must do together.
    if "dolfinx" in sys.modules:
        found["dolfinx"] = sys.modules["dolfinx"].__version__
    if "petsc4py.PETSc" in sys.modules:
        found["petsc"] = ".".join(str(part) for part in sys.modules["petsc4py.PETSc"].Sys.getVersion())
    return found


@cache
def commit() -> dict[str, Any]:
    """Git commit of the code and whether it was changed since; empty outside a checkout."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return {}
    try:
        # Without locks: a run that is killed while git looks would leave one in the checkout, and block git there.
        quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        run = {"cwd": root, "env": quiet, "capture_output": True, "text": True, "timeout": 20, "check": True}
        head = subprocess.run(["git", "rev-parse", "HEAD"], **run).stdout.strip()  # type: ignore[call-overload]
        changed = subprocess.run(["git", "status", "--porcelain"], **run).stdout.strip()  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": head, "changed_since": bool(changed)}


def mesh_hash(mesh: SpineMesh) -> str:
    """Content hash of a mesh: points, cells, regions, tagged facets."""
    digest = hashlib.sha256()
    for array in (mesh.points, mesh.cells, mesh.region, mesh.subregion, mesh.facets, mesh.facet_tag):
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


UNMEASURED: Final = "not measured"
"""Stands in the table of errors for what its study did not have."""


@cache
def error_table() -> dict[str, tuple[str, str]]:
    """Measured error, and the version of the model that it was measured with, by size of the mesh.

    Written by ``bloodpatch verify production``; a row is about the default steps in time.
    """
    with MESH_ERROR.open(newline="", encoding="utf-8") as stream:
        return {row["size"]: (row["error"], row["model_version"]) for row in csv.DictReader(stream)}


def mesh_errors() -> dict[str, str]:
    """Stated error by size of the mesh, and that of the default steps in time, of what runs now.

    What another version of the model was measured to have says so.
    """
    return {
        size: error if error == UNMEASURED else error + of_version(measured)
        for size, (error, measured) in error_table().items()
    }


def of_version(measured: str, ran: Collection[str] | None = None) -> str:
    """Words that tell a figure of another version of the model from one of the runs' own.

    Args:
        measured: version that the figure is of.
        ran: versions of the runs that it is told of; None for what runs now.
    """
    if ran is None:
        return "" if measured == fem.MODEL_VERSION else f" (of model version {measured}; this is {fem.MODEL_VERSION})"
    if not set(ran) - {measured}:
        return ""
    return f" (of model version {measured}; these runs: {' and '.join(sorted(set(ran)))})"


DEFAULT_STEPS: Final = "default steps"
"""Row of the table of errors that is about the default steps in time."""


def step_note(case: Case, ran: Collection[str] | None = None) -> str:
    """Stated error of the steps in time, where they are the default ones.

    Args:
        case: as resolved.
        ran: versions of the model of the runs that it is told of; None for what runs now.
    """
    time, default = case.time, TimeControl()
    steps = ("first_step", "injection_step", "max_step", "late_step")
    if any(getattr(time, name) != getattr(default, name) for name in steps):
        return "not the default ones; error not known"
    error, measured = error_table().get(DEFAULT_STEPS, ("not known", ""))
    return f"{DEFAULT_STEPS}; error {error}{of_version(measured, ran) if measured and error != UNMEASURED else ''}"


def mesh_note(case: Case) -> str:
    """Size of the mesh and its stated error, for everything that is written; without a comma, for tables."""
    size = case.mesh.size if case.anatomy.mesh is None else "own mesh"
    return f"{size}; discretisation error {mesh_errors().get(size, 'not known')}"


def parameters(case: Case) -> list[dict[str, Any]]:
    """Every material and CSF parameter of a resolved case with value, source and tag."""
    values = material_values(case)
    rows = []
    for key, row in parameter_table().items():
        value = values.get(key, row.value)
        given = abs(value - row.value) > 1e-12 * abs(row.value)
        rows.append(
            {
                "key": f"materials.{key}",
                "value": value,
                "unit": row.unit,
                "tag": "given" if given else row.tag,
                "source": "given with the case" if given else row.source,
            }
        )
    csf = case.csf.model_dump(mode="json", exclude_none=True)
    for key, value in csf.items():
        preset = presets()[case.patient].get("baseline_pressure" if key == "set_point" else key)
        same = preset is not None and type(case.csf).model_validate({key: preset.value}) == type(
            case.csf
        ).model_validate({key: value})
        rows.append(
            {
                "key": f"csf.{key}",
                "value": value,
                "unit": "",
                "tag": preset.tag if same and preset else "given",
                "source": preset.source if same and preset else "given with the case",
            }
        )
    return rows


def provenance(case: Case, mesh: SpineMesh | None, ranks: int) -> dict[str, Any]:
    """`provenance.json` of a run."""
    data: dict[str, Any] = {
        "bloodpatch": version(),
        "model_version": fem.MODEL_VERSION,
        **commit(),
        "versions": _imported_versions(),
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "ranks": ranks,
        "use": "research use only; nothing here decides about a patient",
        "parameters": parameters(case),
    }
    if mesh is not None:
        data["mesh"] = {
            "size": case.mesh.size if case.anatomy.mesh is None else case.anatomy.mesh,
            "discretisation_error": mesh_errors().get(case.mesh.size, "not known")
            if case.anatomy.mesh is None
            else "not known",
            "hash": mesh_hash(mesh),
            "points": len(mesh.points),
            "cells": len(mesh.cells),
        }
    return data

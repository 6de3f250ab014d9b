"""Meshes kept on disk by the hash of everything they depend on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .anatomy import Anatomy
from .build import REFINE_RADIUS, build_mesh
from .mesh import Continuation, SpineMesh
from .quality import check_cells
from .refine import Source
from .size import MeshSize

_ARRAYS = (
    "points",
    "cells",
    "region",
    "subregion",
    "slab",
    "slab_edges",
    "level",
    "facets",
    "facet_tag",
    "canal_area",
)


def cache_folder(name: str) -> Path:
    """Folder in which the user's caches are kept: "mesh" or "forms"."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bloodpatch" / name


def mesh_key(
    anatomy: Anatomy,
    span: tuple[str, str],
    size: MeshSize,
    focus: Sequence[float] = (),
    sources: Sequence[Source] = (),
    refine_radius: float = REFINE_RADIUS,
) -> str:
    """Hash of all inputs of a mesh, of the code that makes it and of the version of Gmsh, which meshes its section."""
    counts = asdict(size)
    counts.pop("name")
    inputs = {
        "levels": anatomy.levels,
        "figures": sorted((place, name, repr(value)) for (place, name), value in anatomy.figures.items()),
        "shape": asdict(anatomy.shape),
        "dorsal_csf": sorted((level, repr(value)) for level, value in anatomy.dorsal_csf.items()),
        "span": list(span),
        "size": counts,
        "focus": [repr(float(z)) for z in focus],
        "sources": [
            ([repr(float(x)) for x in source.tip.point], sorted(source.tip.subregions), repr(float(source.radius)))
            for source in sources
        ],
        "refine_radius": repr(float(refine_radius)),
        "code": _code_hash(),
        "gmsh": _gmsh_version(),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


@cache
def _code_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _gmsh_version() -> str:
    """Version of Gmsh, as its package says: to load the library takes longer than to read a mesh."""
    try:
        return importlib.metadata.version("gmsh")
    except importlib.metadata.PackageNotFoundError:
        import gmsh

        return str(gmsh.__version__)


def cached_mesh(
    anatomy: Anatomy,
    span: tuple[str, str],
    size: MeshSize,
    focus: Sequence[float] = (),
    sources: Sequence[Source] = (),
    refine_radius: float = REFINE_RADIUS,
) -> SpineMesh:
    """The mesh of :func:`geometry.build_mesh`, from the cache if it is there and whole.

    An entry is written beside its place and moved there, so that a reader never sees half of one and two writers do
    not harm each other. A damaged entry is built anew; a folder that cannot be written is no error.
    """
    key = mesh_key(anatomy, span, size, focus, sources, refine_radius)
    path = cache_folder("mesh") / f"{key}.npz"
    mesh = _load(path, key, anatomy)
    if mesh is None:
        mesh = build_mesh(anatomy, span, size, focus, sources, refine_radius)
        _store(path, key, mesh)
    return mesh


def _store(path: Path, key: str, mesh: SpineMesh) -> None:
    arrays = {name: getattr(mesh, name) for name in _ARRAYS}
    header = {
        "key": key,
        "digest": _digest(arrays),
        "levels": mesh.levels,
        "surfaces": mesh.surfaces,
        "sac_closed": mesh.sac_closed,
        "continuation": {end: asdict(value) for end, value in mesh.continuation.items()},
        "span": mesh.span,
        "interspace_z": mesh.interspace_z,
    }
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{key[:16]}-", suffix=".npz")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, allow_pickle=False, header=np.array(json.dumps(header)), **arrays)
        temporary.replace(path)
    except OSError:
        # No cache is no harm: the mesh is built in a second or two.
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _load(path: Path, key: str, anatomy: Anatomy) -> SpineMesh | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            header = json.loads(str(stored["header"]))
            arrays = {name: stored[name] for name in _ARRAYS}
        if header["key"] != key or header["digest"] != _digest(arrays):
            return None
        check_cells(arrays["points"], arrays["cells"])
        return SpineMesh(
            **arrays,
            levels=tuple(header["levels"]),
            surfaces=header["surfaces"],
            sac_closed=header["sac_closed"],
            continuation={end: Continuation(**value) for end, value in header["continuation"].items()},
            anatomy=anatomy,
            span=(header["span"][0], header["span"][1]),
            interspace_z=header["interspace_z"],
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _digest(arrays: dict[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in _ARRAYS:
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()

"""Writing of meshes for other programs, in millimetres, with regions and surfaces by name."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from .errors import MeshError
from .mesh import SpineMesh
from .regions import Region

MILLIMETRES_PER_METRE = 1e3
REGION_PREFIX, SURFACE_PREFIX = "region:", "surface:"
"""Prefixes of the 0/1 cell arrays by which formats without names carry them."""
SURFACE_FORMATS = frozenset({"stl", "off", "wkt", "ply", "svg", "obj"})
"""Formats of meshio that leave tetrahedra out."""
_TETRAHEDRON, _TRIANGLE = 4, 2
"""Gmsh's numbers of element types."""


def region_names() -> dict[str, Region]:
    """Region by its name in files."""
    return {region.name.lower(): region for region in Region}


def check_format(path: str | Path) -> None:
    """Refuse a suffix in which a mesh with its tetrahedra cannot be written.

    Raises:
        MeshError: unknown suffix, or a format of surfaces.
    """
    target = Path(path)
    if target.suffix != ".msh":
        name = _meshio_format(target)
        if name in SURFACE_FORMATS:
            raise MeshError(f"mesh format {target.suffix} holds no tetrahedra; .msh and .vtu keep everything")


def _meshio_format(path: Path) -> str:
    import meshio

    suffixes = [suffix for suffix in ("".join(path.suffixes[-2:]), path.suffix) if suffix]
    formats = [f for suffix in suffixes for f in meshio.extension_to_filetypes.get(suffix, [])]
    if not formats:
        known = ", ".join(sorted(meshio.extension_to_filetypes))
        raise MeshError(f"mesh format {path.suffix or path.name!r} is unknown; known: {known}")
    return str(formats[0])


def write_mesh(mesh: SpineMesh, path: str | Path) -> None:
    """Write a mesh in the format that the suffix names (.msh, .vtu, .xdmf or any other of meshio).

    ``.msh`` is Gmsh 4.1 with physical names. Formats without names carry the arrays ``region``, ``subregion``,
    ``level`` and ``surface`` and a 0/1 array ``region:NAME`` or ``surface:NAME`` for each name.

    Raises:
        MeshError: unknown suffix, or a format that cannot hold the mesh.
        OSError: the file cannot be written.
    """
    target = Path(path)
    check_format(target)
    if target.suffix == ".msh":
        _write_gmsh(mesh, target)
    else:
        _write_meshio(mesh, target)


def _write_gmsh(mesh: SpineMesh, path: Path) -> None:
    import gmsh

    # Gmsh reports an unwritable file only on its terminal.
    path.open("wb").close()
    owned = not gmsh.isInitialized()
    if owned:
        gmsh.initialize(["-noenv"], readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.model.add("spine")
        points = (mesh.points * MILLIMETRES_PER_METRE).ravel()
        holds_nodes = False
        for region in Region:
            cells = np.flatnonzero(mesh.region == region)
            if not len(cells):
                continue
            gmsh.model.addDiscreteEntity(3, region)
            if not holds_nodes:
                gmsh.model.mesh.addNodes(3, region, np.arange(1, len(mesh.points) + 1), points)
                holds_nodes = True
            gmsh.model.mesh.addElementsByType(region, _TETRAHEDRON, cells + 1, mesh.cells[cells].ravel() + 1)
            gmsh.model.addPhysicalGroup(3, [region], region, region.name.lower())
        for name, tag in mesh.surfaces.items():
            facets = np.flatnonzero(mesh.facet_tag == tag)
            gmsh.model.addDiscreteEntity(2, tag)
            numbers = len(mesh.cells) + facets + 1
            gmsh.model.mesh.addElementsByType(tag, _TRIANGLE, numbers, mesh.facets[facets].ravel() + 1)
            gmsh.model.addPhysicalGroup(2, [tag], tag, name)
        gmsh.option.setNumber("Mesh.MshFileVersion", 4.1)
        gmsh.option.setNumber("Mesh.Binary", 0)
        gmsh.option.setNumber("Mesh.SaveAll", 0)
        gmsh.write(str(path))
    finally:
        if owned:
            gmsh.finalize()
        else:
            gmsh.model.remove()


def _write_meshio(mesh: SpineMesh, path: Path) -> None:
    import meshio

    name_of_format = _meshio_format(path)
    count, facets = len(mesh.cells), len(mesh.facets)
    data: dict[str, list[Any]] = {
        "region": [mesh.region.astype(np.int32), np.zeros(facets, dtype=np.int32)],
        "subregion": [mesh.subregion.astype(np.int32), np.zeros(facets, dtype=np.int32)],
        "level": [mesh.level.astype(np.int32), np.full(facets, -1, dtype=np.int32)],
        "surface": [np.zeros(count, dtype=np.int32), mesh.facet_tag.astype(np.int32)],
    }
    sets: dict[str, list[Any]] = {}
    for region in Region:
        if (mesh.region == region).any():
            sets[region.name.lower()] = [np.flatnonzero(mesh.region == region), np.array([], dtype=np.int64)]
    for name, tag in mesh.surfaces.items():
        sets[name] = [np.array([], dtype=np.int64), np.flatnonzero(mesh.facet_tag == tag)]
    named_sets = name_of_format == "abaqus"
    if not named_sets:
        for name in region_names():
            member = mesh.region == region_names()[name]
            if member.any():
                data[REGION_PREFIX + name] = [member.astype(np.int32), np.zeros(facets, dtype=np.int32)]
        for name, tag in mesh.surfaces.items():
            member = mesh.facet_tag == tag
            data[SURFACE_PREFIX + name] = [np.zeros(count, dtype=np.int32), member.astype(np.int32)]
    out = meshio.Mesh(
        mesh.points * MILLIMETRES_PER_METRE,
        [("tetra", mesh.cells), ("triangle", mesh.facets)],
        cell_data=None if named_sets else data,
        cell_sets=sets if named_sets else None,
    )
    chatter = io.StringIO()
    try:
        with contextlib.redirect_stdout(chatter), contextlib.redirect_stderr(chatter):
            meshio.write(path, out, file_format=name_of_format)
    except OSError:
        raise
    except (Exception, SystemExit) as error:  # meshio raises what its formats raise, and exits for some
        lines = [line for line in (str(error), *chatter.getvalue().splitlines()) if line.strip()]
        raise MeshError(
            f"mesh cannot be written as {name_of_format}: {lines[0] if lines else type(error).__name__}"
        ) from error

"""Reading of a user's own tetrahedral mesh with named regions and surfaces."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .anatomy import CONUS_INTERSPACE, Anatomy
from .arrays import BoolArray, FloatArray, IntArray, NameArray
from .build import continuations, level_of, slab_of
from .errors import MeshError, nearest
from .exchange import MILLIMETRES_PER_METRE, REGION_PREFIX, SURFACE_PREFIX, region_names
from .mesh import SpineMesh
from .partition import Partition
from .quality import cell_volumes, check_cells
from .regions import SIDES, Region, foramen_name
from .surfaces import BONE, CUT_PREFIX, DURA, FORAMEN_PREFIX, PIA, all_facets, ordered_names

LEAST_LENGTH, LARGEST_LENGTH = 5.0e-3, 1.5
"""Axial length (m) outside which a mesh is taken not to be in millimetres."""
_FORAMEN = re.compile(rf"{FORAMEN_PREFIX}([CTLS]\d+)([CTLS]\d+)_(left|right)")
_CUTS = tuple(f"{CUT_PREFIX}{end}_{region}" for end in ("cranial", "caudal") for region in region_names())
_NEEDED_SURFACES = (DURA, PIA, BONE, "cut_cranial_epidural", "cut_cranial_subarachnoid", "cut_caudal_epidural")


@dataclass(frozen=True)
class _Raw:
    """A file's content: metres, and a name for every cell and named facet."""

    points: FloatArray
    cells: IntArray
    facets: IntArray
    cell_names: NameArray
    facet_names: NameArray


def read_mesh(path: str | Path) -> SpineMesh:
    """Mesh of the user's own: millimetres, x left, y anterior, z cranial.

    Regions ``epidural``, ``subarachnoid``, ``cord``; surfaces ``dura``, ``pia``, ``bone``, ``cut_cranial_*``,
    ``cut_caudal_*`` and ``foramen_L3L4_left`` and so on, as physical groups (Gmsh), cell sets, or the arrays that
    :func:`geometry.write_mesh` makes. Cord and pia may be missing from a mesh that begins at the conus or below;
    without ``cut_caudal_subarachnoid`` the sac is taken to end in the mesh. Subregions follow from the angle about the
    sac's centre, levels from the foramina. What the mesh leaves out of the spine is taken from the anatomy table.

    Raises:
        MeshError: with one line that says what is wrong.
    """
    raw = _load(Path(path))
    region = _regions(raw)
    cells = raw.cells.copy()
    _check_length(raw)
    turned = cell_volumes(raw.points, cells) < 0.0
    cells[turned] = cells[turned][:, [0, 1, 3, 2]]
    check_cells(raw.points, cells)
    interspaces = _interspaces(raw)
    _check_names(raw, region, list(interspaces))
    facets, tags, surfaces = _surfaces(raw, cells, region)
    _check_frame(raw, interspaces)
    partition = Partition(
        raw.points, cells, region, {name: raw.facets[raw.facet_names == name] for name in surfaces if "foramen" in name}
    )
    levels = _levels(interspaces)
    edges = partition.slab_edges
    slab = slab_of(partition.centroids[:, 2], edges)
    borders = np.array(list(interspaces.values()))
    span = (levels[0], levels[-1])
    return SpineMesh(
        points=raw.points,
        cells=cells,
        region=region.astype(np.int8),
        subregion=partition.subregions().astype(np.int8),
        slab=slab.astype(np.int32),
        slab_edges=edges,
        level=level_of(0.5 * (edges[1:] + edges[:-1]), borders)[slab].astype(np.int8),
        levels=levels,
        facets=facets,
        facet_tag=tags,
        surfaces=surfaces,
        canal_area=partition.canal_area(),
        sac_closed="cut_caudal_subarachnoid" not in surfaces,
        continuation=continuations(Anatomy.from_table(), span),
        anatomy=None,
        span=span,
        interspace_z=interspaces,
    )


def _load(path: Path) -> _Raw:
    import meshio

    if not path.is_file():
        raise MeshError(f"mesh {path} cannot be read: there is no such file")
    chatter = io.StringIO()
    try:
        with contextlib.redirect_stdout(chatter), contextlib.redirect_stderr(chatter):
            mesh = meshio.read(path)
    except (Exception, SystemExit) as error:  # meshio raises what its formats raise, and exits for some
        raise MeshError(f"mesh {path} cannot be read: {_reason(error, chatter.getvalue())}") from error
    kinds = {block.type for block in mesh.cells}
    if unusable := {"tetra10", "hexahedron", "wedge", "pyramid", "hexahedron20", "triangle6"} & kinds:
        raise MeshError(f"mesh {path} has cells of type {min(unusable)}; linear tetrahedra and triangles are needed")
    if "tetra" not in kinds:
        raise MeshError(f"mesh {path} has no tetrahedra")
    if mesh.points.shape[1] != 3:
        raise MeshError(f"mesh {path} is not three-dimensional")
    names = _block_names(mesh)
    parts: dict[str, tuple[IntArray, NameArray]] = {}
    for kind, nodes in (("tetra", 4), ("triangle", 3)):
        chosen = [i for i, block in enumerate(mesh.cells) if block.type == kind]
        cells = [np.asarray(mesh.cells[i].data, dtype=np.int64) for i in chosen]
        parts[kind] = (
            np.concatenate([np.empty((0, nodes), dtype=np.int64), *cells]),
            np.concatenate([np.empty(0, dtype=object), *(names[i] for i in chosen)]),
        )
    used, flat = np.unique(parts["tetra"][0], return_inverse=True)
    renumber = np.full(len(mesh.points), -1)
    renumber[used] = np.arange(len(used))
    facets, facet_names = parts["triangle"]
    named = facet_names != ""
    facets = renumber[facets[named]]
    if (facets < 0).any():
        raise MeshError(f"mesh {path} has a named facet that belongs to no tetrahedron")
    points = np.asarray(mesh.points[used], dtype=np.float64) / MILLIMETRES_PER_METRE
    return _Raw(points, flat.reshape(-1, 4).astype(np.int64), facets, parts["tetra"][1], facet_names[named])


def _reason(error: BaseException, chatter: str) -> str:
    lines = [line.strip() for line in (str(error), *chatter.splitlines()) if line.strip() and line.strip() != "1"]
    return lines[0] if lines else type(error).__name__


def _block_names(mesh: Any) -> list[NameArray]:
    """Name of every cell of every block; "" for none. A cell with two names is refused."""
    names: list[NameArray] = [np.full(len(block.data), "", dtype=object) for block in mesh.cells]

    def give(block: int, members: BoolArray, name: str) -> None:
        taken = names[block][members]
        clash = (taken != "") & (taken != name)
        if clash.any():
            raise MeshError(f"a cell is named both {taken[clash][0]!r} and {name!r}")
        names[block][members] = name

    dimension = {"tetra": 3, "triangle": 2}
    physical = mesh.cell_data.get("gmsh:physical")
    if physical is not None and mesh.field_data:
        for name, (tag, dim) in mesh.field_data.items():
            for i, block in enumerate(mesh.cells):
                if dimension.get(block.type) == dim:
                    give(i, np.flatnonzero(np.asarray(physical[i]) == tag), name)
    for name, members in mesh.cell_sets.items():
        if not name.startswith("gmsh:"):
            for i, part in enumerate(members):
                # Some formats give sets of the wrong dimension empty, as None.
                if part is not None and len(part):
                    give(i, np.asarray(part, dtype=np.int64), name)
    for key, columns in mesh.cell_data.items():
        prefix = next((p for p in (REGION_PREFIX, SURFACE_PREFIX) if key.startswith(p)), None)
        if prefix:
            for i, column in enumerate(columns):
                give(i, np.flatnonzero(np.asarray(column).ravel() != 0), key.removeprefix(prefix))
    return names


def _regions(raw: _Raw) -> IntArray:
    known = region_names()
    for name in sorted({str(name) for name in raw.cell_names}):
        if name and name not in known:
            raise MeshError(f"region {name!r} is unknown{nearest(name, known)}")
    region = np.array([int(known.get(name, 0)) for name in raw.cell_names])
    if not region.any():
        raise MeshError(f"mesh has no named regions; it needs {', '.join(known)}")
    for name in ("epidural", "subarachnoid"):
        if not (region == known[name]).any():
            raise MeshError(f"mesh has no region {name!r}")
    if not region.all():
        raise MeshError(f"{int((region == 0).sum())} tetrahedra belong to no region")
    return region


def _interspaces(raw: _Raw) -> dict[str, float]:
    """Height of every interspace that has a foramen, cranial to caudal."""
    heights: dict[str, list[float]] = {}
    for name in sorted({str(n) for n in raw.facet_names if str(n).startswith(FORAMEN_PREFIX)}):
        match = _FORAMEN.fullmatch(name)
        if not match:
            raise MeshError(f"surface {name!r} is not the name of a foramen, such as foramen_L3L4_left")
        corner = raw.points[raw.facets[raw.facet_names == name]]
        area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
        height = float(np.average(corner[:, :, 2].mean(axis=1), weights=area))
        heights.setdefault(f"{match[1]}/{match[2]}", []).append(height)
    if not heights:
        raise MeshError("mesh has no foramina; levels are known by surfaces such as foramen_L3L4_left")
    return dict(sorted(((k, float(np.mean(v))) for k, v in heights.items()), key=lambda item: -item[1]))


def _levels(interspaces: dict[str, float]) -> tuple[str, ...]:
    names = list(interspaces)
    standard = Anatomy.from_table().interspaces
    for name in names:
        if name not in standard:
            raise MeshError(f"foramen at {name} is not at an interspace between C2 and S2")
    first = standard.index(names[0])
    expected = standard[first : first + len(names)]
    for name, wanted in zip(names, expected, strict=False):
        if name != wanted:
            raise MeshError(f"foramina from cranial to caudal: {name} stands where {wanted} is expected")
    if len(expected) < len(names):
        raise MeshError(f"foramina from cranial to caudal: {names[len(expected)]} stands below {expected[-1]}")
    return (names[0].split("/")[0], *(name.split("/")[1] for name in names))


def _check_names(raw: _Raw, region: IntArray, interspaces: list[str]) -> None:
    present = {str(name) for name in raw.facet_names}
    known = {DURA, PIA, BONE, *_CUTS} | {foramen_name(i, side) for i in interspaces for side in SIDES}
    for name in sorted(present - known):
        raise MeshError(f"surface {name!r} is unknown{nearest(name, sorted(known))}")
    standard = Anatomy.from_table().interspaces
    conus = standard.index(CONUS_INTERSPACE)
    begins_below = all(name in standard and standard.index(name) >= conus for name in interspaces)
    has_cord = bool((region == Region.CORD).any())
    if not has_cord and not begins_below:
        raise MeshError("mesh has no region 'cord'")
    for name in _NEEDED_SURFACES:
        if name not in present and not (name == PIA and not has_cord):
            raise MeshError(f"mesh has no surface {name!r}")


def _surfaces(raw: _Raw, cells: IntArray, region: IntArray) -> tuple[IntArray, IntArray, dict[str, int]]:
    """Facets with tags, each facet once; checked against the mesh's own boundary and interfaces."""
    facets = all_facets(cells)
    given, first = np.unique(np.sort(raw.facets, axis=1), axis=0, return_index=True)
    place = _find_rows(facets.nodes, given)
    if (place < 0).any():
        raise MeshError(f"{int((place < 0).sum())} named facets are not faces of tetrahedra")
    names = np.full(len(facets.nodes), "", dtype=object)
    names[place] = raw.facet_names[first]
    if (names[_find_rows(facets.nodes, np.sort(raw.facets, axis=1))] != raw.facet_names).any():
        raise MeshError("a facet belongs to two surfaces")
    outside = facets.on_boundary
    inner = region[facets.cells[:, 0]]
    outer = np.where(outside, 0, region[facets.cells[:, 1]])
    pair = np.sort(np.column_stack([inner, outer]), axis=1)
    touches_cord = (pair[:, 1] == Region.CORD) & (pair[:, 0] > 0) & (pair[:, 0] != Region.CORD)
    for name, interface, words in (
        (DURA, (pair == (Region.EPIDURAL, Region.SUBARACHNOID)).all(axis=1), "epidural space and subarachnoid space"),
        (PIA, touches_cord, "cord and what surrounds it"),
    ):
        if wrong := int(((names == name) != interface).sum()):
            raise MeshError(f"surface {name!r} is not the border between {words}: {wrong} facets differ")
    if bare := int((outside & (names == "")).sum()):
        raise MeshError(f"{bare} boundary facets belong to no surface")
    inside_named = ~outside & ~np.isin(names.astype(str), ("", DURA, PIA))
    if inside_named.any():
        raise MeshError(f"surface {names[inside_named][0]!r} has {int(inside_named.sum())} facets inside the mesh")
    for cut in _CUTS:
        wanted = region_names()[cut.rsplit("_", 1)[1]]
        if (inner[names == cut] != wanted).any():
            raise MeshError(f"surface {cut!r} has facets that are not of the region {wanted.name.lower()!r}")
    named = names != ""
    present = ordered_names({str(name) for name in names[named]})
    surfaces = {name: number for number, name in enumerate(present, start=1)}
    tags = np.array([surfaces[str(name)] for name in names[named]], dtype=np.int32)
    return facets.nodes[named], tags, surfaces


def _find_rows(rows: IntArray, wanted: IntArray) -> IntArray:
    """Index of each wanted row in lexicographically sorted rows of three vertices, -1 where there is none."""
    base = int(rows.max()) + 1
    weights = np.array([base * base, base, 1])
    keys, sought = rows @ weights, wanted @ weights
    place = np.minimum(np.searchsorted(keys, sought), len(keys) - 1)
    return np.where(keys[place] == sought, place, -1)


def _check_length(raw: _Raw) -> None:
    """Refuse other units than millimetres."""
    length = float(np.ptp(raw.points[:, 2]))
    if not LEAST_LENGTH <= length <= LARGEST_LENGTH:
        raise MeshError(f"mesh is {MILLIMETRES_PER_METRE * length:.3g} mm long; coordinates must be in millimetres")


def _check_frame(raw: _Raw, interspaces: dict[str, float]) -> None:
    """Left at positive x, cranial at positive z."""

    def mean(name: str, axis: int) -> float:
        return float(raw.points[raw.facets[raw.facet_names == name]][..., axis].mean())

    if mean("cut_cranial_epidural", 2) <= mean("cut_caudal_epidural", 2):
        raise MeshError("the cranial cut lies below the caudal cut; z must point cranially")
    for interspace in interspaces:
        left, right = (foramen_name(interspace, side) for side in SIDES)
        if {left, right} <= {str(n) for n in raw.facet_names} and mean(left, 0) <= mean(right, 0):
            raise MeshError(f"{left} lies to the right of {right}; x must point left")

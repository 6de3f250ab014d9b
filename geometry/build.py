"""From anatomy to mesh: template, sweep, stubs, names, checks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from .anatomy import Anatomy, interspaces_of
from .arrays import FloatArray, IntArray
from .errors import AnatomyError, MeshError
from .foramina import Stub, build_stubs
from .limits import mm
from .mesh import Continuation, SpineMesh
from .quality import cell_volumes, check_cells
from .refine import Source, resolved
from .regions import Region, Subregion
from .sections import Sections
from .size import MeshSize
from .stations import foramen_bands, stations
from .surfaces import tag_surfaces
from .sweep import Block, sweep
from .template import Sectors, build_template

REFINE_RADIUS = 0.012
"""Distance (m) from an injection over which axial cells grow from fine to coarse."""
VOLUME_TOLERANCE = 0.02
"""Largest relative difference between a region's volume and the integral of its analytic area."""
_BORDER_TOLERANCE = 1e-9
_AREA_STEP = 0.25e-3
_NEGLIGIBLE_VOLUME = 1e-9
"""Difference (m3) that is never a reason to refuse: a span may begin at the very tip of the conus."""


def build_mesh(
    anatomy: Anatomy,
    span: tuple[str, str],
    size: MeshSize,
    focus: Sequence[float] = (),
    sources: Sequence[Source] = (),
    refine_radius: float = REFINE_RADIUS,
) -> SpineMesh:
    """Mesh of a span of levels. Pure and deterministic.

    Args:
        anatomy: figures by level.
        span: first (cranial) and last level.
        size: counts and lengths.
        focus: heights (m) where axial cells are fine.
        sources: of the injections; axial cells are fine there, too, and edges within them resolve them.
        refine_radius: distance (m) from a focus beyond which cells are coarse.

    Raises:
        AnatomyError: unknown level, or a mesh that fails a check beside overridden figures, which are named.
        MeshError: a mesh that fails a check, with the reason.
    """
    sections, shape = anatomy.sections, anatomy.shape
    focus = sorted({*focus, *(float(source.tip.point[2]) for source in sources)})
    z = stations(anatomy, span, size, focus, refine_radius)
    bands = foramen_bands(anatomy, span)
    template = build_template(
        size, Sectors(shape.sleeve_half_angle, shape.foramen_half_angle, shape.lateral_half_angle)
    )
    canal = sweep(sections, template, z, bands)
    stubs = build_stubs(sections, template, z, bands, size, canal.points)
    whole = _joined(canal, stubs)
    with _overrides_named(anatomy, span):
        check_cells(whole.points, whole.cells)
        _check_volumes(sections, canal, z)
    facets, tags, surfaces = tag_surfaces(
        whole.points, whole.cells, whole.region, {stub.name: stub.outer_vertices for stub in stubs}
    )
    levels = anatomy.span_levels(span)
    borders = np.array([anatomy.interspace_z(name) for name in interspaces_of(levels)])
    middle = whole.points[whole.cells][:, :, 2].mean(axis=1)
    slab = slab_of(middle, z)
    swept = len(canal.cells) // (len(z) - 1)
    slab[: len(canal.cells)] = np.repeat(np.arange(len(z) - 1), swept)
    swept_mesh = SpineMesh(
        points=whole.points,
        cells=whole.cells,
        region=whole.region.astype(np.int8),
        subregion=whole.subregion.astype(np.int8),
        slab=slab.astype(np.int32),
        slab_edges=z,
        level=level_of(0.5 * (z[1:] + z[:-1]), borders)[slab].astype(np.int8),
        levels=levels,
        facets=facets,
        facet_tag=tags.astype(np.int32),
        surfaces=surfaces,
        canal_area=cell_volumes(canal.points, canal.cells).reshape(len(z) - 1, -1).sum(axis=1) / np.diff(z),
        sac_closed=bool(z[0] < anatomy.sac_end_z < z[-1]),
        continuation=continuations(anatomy, span),
        anatomy=anatomy,
        span=span,
        interspace_z={band.interspace: band.centre for band in reversed(bands)},
    )
    mesh = resolved(swept_mesh, sources)
    with _overrides_named(anatomy, span):
        check_cells(mesh.points, mesh.cells)
    return mesh


@contextmanager
def _overrides_named(anatomy: Anatomy, span: tuple[str, str]) -> Iterator[None]:
    """Put a failed check down to the overridden figures near it: limits of single figures do not foresee them all."""
    try:
        yield
    except MeshError as error:
        given = [_compared(anatomy, *key) for key in anatomy.overridden_beside(span, error.height)]
        if not given:
            raise
        allowed = "allowed is what can be meshed, nearer to the table's or with finer cells"
        raise AnatomyError(f"{', '.join(given)}: {allowed}; {error}") from error


def _compared(anatomy: Anatomy, place: str, name: str) -> str:
    """An overridden figure beside the table's."""
    values = anatomy.figures[place, name], anatomy.replaced[place, name]
    own, table = (f"{1e6 * value:.0f} mm2" if name == "canal_area" else mm(value) for value in values)
    return f"{place} {name} {own} (table: {'none' if math.isnan(values[1]) else table})"


def slab_of(height: FloatArray, edges: FloatArray) -> IntArray:
    """Axial interval of each height."""
    index: IntArray = np.clip(np.searchsorted(edges, height, side="right") - 1, 0, len(edges) - 2)
    return index


def level_of(height: FloatArray, borders: FloatArray) -> IntArray:
    """Index of the level, cranial to caudal, of each height; on a border it is the upper level.

    Args:
        height: (k,).
        borders: heights of the interspaces from cranial to caudal.
    """
    index: IntArray = (height[:, None] < borders[None, :] - _BORDER_TOLERANCE).sum(axis=1)
    return index


def _joined(canal: Block, stubs: list[Stub]) -> Block:
    blocks = [canal, *(stub.block for stub in stubs)]
    return Block(
        np.concatenate([block.points for block in blocks]),
        np.concatenate([block.cells for block in blocks]),
        np.concatenate([block.region for block in blocks]),
        np.concatenate([block.subregion for block in blocks]),
    )


def _check_volumes(sections: Sections, canal: Block, z: FloatArray) -> None:
    """Volumes of canal, sac and cord against the integrals of their analytic areas."""
    volumes = cell_volumes(canal.points, canal.cells)
    in_sac = (canal.region == Region.CORD) | (canal.subregion == Subregion.THECAL)
    heights = np.linspace(z[0], z[-1], max(2, int(np.ceil((z[-1] - z[0]) / _AREA_STEP))))
    canal_area, sac_area, cord_area = (
        area(heights) for area in (sections.canal_area, sections.sac_area, sections.cord_area)
    )
    cord_area = np.minimum(cord_area, sac_area)
    for name, mask, area in (
        ("canal", np.ones(len(volumes), dtype=bool), canal_area),
        ("epidural space", ~in_sac, canal_area - sac_area),
        ("sac", in_sac, sac_area),
        ("cord", canal.region == Region.CORD, cord_area),
    ):
        exact, measured = float(np.trapezoid(area, heights)), float(volumes[mask].sum())
        if abs(measured - exact) > VOLUME_TOLERANCE * exact + _NEGLIGIBLE_VOLUME:
            raise MeshError(
                f"volume of the {name} is {1e6 * measured:.3f} mL in the mesh, {1e6 * exact:.3f} mL by its sections, "
                f"more than {100 * VOLUME_TOLERANCE:g} % apart; the mesh is too coarse"
            )


def continuations(anatomy: Anatomy, span: tuple[str, str]) -> dict[str, Continuation]:
    """What a span leaves out of the anatomy beyond its cranial and its caudal end."""
    low, high = anatomy.span_bounds(span)
    return {
        "cranial": _continuation(anatomy, high, anatomy.length),
        "caudal": _continuation(anatomy, 0.0, low),
    }


def _continuation(anatomy: Anatomy, low: float, high: float) -> Continuation:
    """Canal and sac between two heights, and the foramina at or between them."""
    length = high - low
    if length <= _BORDER_TOLERANCE:
        return Continuation()
    z = np.linspace(low, high, int(np.ceil(length / _AREA_STEP)) + 1)
    sac = anatomy.sections.sac_area(z)
    epidural = float(np.trapezoid(anatomy.sections.canal_area(z) - sac, z)) / length
    sac_length = high - min(max(low, anatomy.sac_end_z), high)
    heights = [anatomy.interspace_z(name) for name in anatomy.interspaces]
    count = sum(low - _BORDER_TOLERANCE <= height <= high + _BORDER_TOLERANCE for height in heights)
    return Continuation(
        epidural_length=length,
        epidural_area=epidural,
        sac_length=sac_length,
        foramina=2 * count,
    )

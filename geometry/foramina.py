"""Foraminal stubs: prisms grown outwards from patches of the wall, each around a root sleeve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy
from .arrays import BoolArray, FloatArray, IntArray
from .regions import SIDES, Region, Subregion, foramen_name
from .sections import Sections, polygon_area
from .size import MeshSize
from .stations import ForamenBand
from .sweep import TETS_PER_PRISM, Block, column_middles, split_prisms, upside_down
from .template import Template

_OUTLINE_TOLERANCE = 1e-6
_EDGE_POINTS = 9


@dataclass(frozen=True)
class Patch:
    """Wall facets from which a stub grows, and their vertices' places on the unit square of the foramen."""

    facets: IntArray
    in_sleeve: BoolArray
    vertices: IntArray
    square: FloatArray


@dataclass(frozen=True)
class Stub:
    """One foraminal stub and the vertices of its outer face."""

    name: str
    block: Block
    outer_vertices: IntArray


def build_stubs(
    sections: Sections, template: Template, z: FloatArray, bands: list[ForamenBand], size: MeshSize, points: FloatArray
) -> list[Stub]:
    """Stubs of all foramina, left and right; new vertices are numbered from ``len(points)`` on."""
    stubs: list[Stub] = []
    first = len(points)
    for band in bands:
        for side in SIDES:
            patch = _patch(sections.anatomy, template, z, band, side, points)
            stub = _grow(sections, template, band, side, size, patch, points, first)
            first += len(stub.block.points)
            stubs.append(stub)
    return stubs


def _patch(
    anatomy: Anatomy, template: Template, z: FloatArray, band: ForamenBand, side: str, points: FloatArray
) -> Patch:
    shape, count = anatomy.shape, len(template.wall)
    middles = column_middles(template)
    on_side = (np.cos(middles) > 0.0) == (side == "left")
    columns = np.flatnonzero(on_side & (np.abs(np.sin(middles)) < np.sin(shape.foramen_half_angle)))
    height = 0.5 * (z[1:] + z[:-1])
    slabs = np.flatnonzero(np.abs(height - band.centre) < band.half_height)
    flipped = upside_down(height, [band])
    facets, in_sleeve = [], []
    for k in slabs:
        for c in columns:
            a, b = template.wall[c], template.wall[(c + 1) % count]
            low_a, low_b, high_a, high_b = (v + len(template.rho) * j for j in (k, k + 1) for v in (a, b))
            if (template.key[a] < template.key[b]) ^ flipped[k]:
                facets += [(low_a, low_b, high_b), (low_a, high_b, high_a)]
            else:
                facets += [(low_a, low_b, high_a), (low_b, high_b, high_a)]
            sleeve = abs(np.sin(middles[c])) < np.sin(shape.sleeve_half_angle)
            in_sleeve += 2 * [sleeve and abs(height[k] - band.centre) < band.half_sleeve]
    faces, sleeve_mask = np.array(facets), np.array(in_sleeve)

    ends = template.wall[[columns[0], (columns[-1] + 1) % count]]
    vertices = np.unique(faces)
    station = vertices // len(template.rho)
    # Across, by the distance from the coronal plane over that of the patch's edge in the same station.
    y = points[vertices, 1]
    edges = points[ends[None, :] + len(template.rho) * station[:, None], 1]
    edge = np.where(np.sign(edges[:, 0]) == np.sign(y), edges[:, 0], edges[:, 1])
    square = np.column_stack([y / np.abs(edge), (z[station] - band.centre) / band.half_height])
    return Patch(faces, sleeve_mask, vertices, square)


def _grow(
    sections: Sections,
    template: Template,
    band: ForamenBand,
    side: str,
    size: MeshSize,
    patch: Patch,
    points: FloatArray,
    first: int,
) -> Stub:
    anatomy = sections.anatomy
    outward = 1.0 if side == "left" else -1.0
    base = points[patch.vertices]
    p, q = _disc(patch.square).T
    # Where the canal ends in a narrow wing a stub that narrows further would shear its cells flat.
    half_width = max(0.5 * anatomy.value(band.interspace, "foramen_width"), float(np.abs(base[:, 1]).max()))
    # From the wall's most lateral point, whether or not a vertex lies there.
    heights = band.centre + band.half_height * np.linspace(-1.0, 1.0, _EDGE_POINTS)
    edge = float(sections.wall(heights, np.array([0.0]))[..., 0].max())
    outer = np.column_stack(
        [
            np.full(len(base), outward * (edge + anatomy.shape.stub_length)),
            half_width * p,
            band.centre + band.half_height * q,
        ]
    )
    shares, closing = _layers(size.stub_layers, anatomy.shape.sleeve_share)
    new_points = np.concatenate([(1.0 - s) * base + s * outer for s in shares])
    local = np.searchsorted(patch.vertices, patch.facets)
    count = len(patch.vertices)
    bottoms = [patch.facets, *(first + count * layer + local for layer in range(size.stub_layers - 1))]
    bottom = np.concatenate(bottoms)
    top = np.concatenate([first + count * layer + local for layer in range(size.stub_layers)])
    station, vertex = np.divmod(patch.facets, len(template.rho))
    # From the foramen's middle outwards, so that diagonals are the same above and below, left and right.
    level = np.abs(patch.square[local][:, :, 1])
    key = _ranks(np.round(level, 9), template.key[vertex], station)
    flipped = np.zeros(len(bottom), dtype=bool)
    cells = split_prisms(bottom, top, np.tile(key, (size.stub_layers, 1)), flipped)
    sleeve = np.tile(patch.in_sleeve, size.stub_layers)
    sleeve[-closing * len(patch.facets) :] = False
    region = np.where(sleeve, Region.SUBARACHNOID, Region.EPIDURAL)
    subregion = np.where(sleeve, Subregion.SLEEVE, Subregion.FORAMINAL)
    block = Block(new_points, cells, np.repeat(region, TETS_PER_PRISM), np.repeat(subregion, TETS_PER_PRISM))
    outer_vertices = first + count * (size.stub_layers - 1) + np.arange(count)
    return Stub(foramen_name(band.interspace, side), block, outer_vertices)


def _disc(square: FloatArray) -> FloatArray:
    """Patch to unit disc; the outline becomes a polygon with the area of the disc."""
    p, q = np.clip(square, -1.0, 1.0).T
    disc = np.column_stack([p * np.sqrt(1.0 - 0.5 * q * q), q * np.sqrt(1.0 - 0.5 * p * p)])
    outline = disc[np.max(np.abs(np.column_stack([p, q])), axis=1) > 1.0 - _OUTLINE_TOLERANCE]
    outline = outline[np.argsort(np.arctan2(outline[:, 1], outline[:, 0]))]
    return disc * np.sqrt(np.pi / polygon_area(outline))


def _layers(count: int, sleeve_share: float) -> tuple[FloatArray, int]:
    """Outer ends of a stub's layers over its length, and how many outermost ones close the sleeve."""
    closing = max(1, round((1.0 - sleeve_share) * count))
    open_ends = np.linspace(0.0, sleeve_share, count - closing + 1)[1:]
    return np.concatenate([open_ends, np.linspace(sleeve_share, 1.0, closing + 1)[1:]]), closing


def _ranks(*keys: IntArray) -> IntArray:
    """Rank of every entry by several keys, the first one leading; same shape as the keys."""
    rows = np.column_stack([key.ravel().astype(np.float64) for key in keys])
    _, rank = np.unique(rows, axis=0, return_inverse=True)
    ranked: IntArray = rank.reshape(keys[0].shape)
    return ranked

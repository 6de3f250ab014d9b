"""Sweep of the template through the stations: vertices, prisms, tetrahedra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray
from .regions import Region, Subregion
from .sections import Sections, polygon_area
from .stations import ForamenBand
from .template import CORD_RADIUS, SAC_RADIUS, Template, Zone

TETS_PER_PRISM = 3
_GAUSS_POINTS = 6
"""Points per axial interval of the integral of the epidural area."""


@dataclass(frozen=True)
class Block:
    """Part of a mesh under construction: cells with their labels; vertices are numbered globally."""

    points: FloatArray
    cells: IntArray
    region: IntArray
    subregion: IntArray


def split_prisms(bottom: IntArray, top: IntArray, key: IntArray, upside_down: BoolArray) -> IntArray:
    """Three tetrahedra for each prism, conforming on shared sides.

    The diagonal of a side runs from the bottom vertex of smaller key to the top vertex of larger key; upside down, from
    the top vertex of smaller key to the bottom vertex of larger key.

    Args:
        bottom: (m, 3) vertices, counter-clockwise seen from the top.
        top: (m, 3) vertices above them.
        key: (m, 3) order of the vertices, distinct within a prism.
        upside_down: (m,).

    Returns:
        (3 m, 4) cells of positive volume for prisms that are not inverted, prism by prism.
    """
    order = np.argsort(key, axis=1)
    first = np.where(upside_down[:, None], top, bottom)
    last = np.where(upside_down[:, None], bottom, top)
    p0, q0, r0 = np.take_along_axis(first, order, axis=1).T
    p1, q1, r1 = np.take_along_axis(last, order, axis=1).T
    cells = np.stack([[p0, q0, r0, r1], [p0, q0, r1, q1], [p0, p1, q1, r1]]).transpose(2, 0, 1)
    odd = ((order[:, 1] - order[:, 0]) % 3 != 1) ^ upside_down
    cells[odd] = cells[odd][:, :, [0, 1, 3, 2]]
    return np.ascontiguousarray(cells.reshape(-1, 4))


def swept_points(sections: Sections, template: Template, z: FloatArray) -> FloatArray:
    """Vertices of all stations, (k nv, 3), station by station.

    Outlines become polygons. They are widened a little so that cord and sac keep their exact areas at every station,
    and the epidural space its exact volume, whatever the number of divisions.
    """
    theta = template.theta
    rho = template.rho[None, :, None]
    sac = sections.sac(z, theta) * _widening(theta[template.sac])
    centre = np.stack([np.zeros_like(z), sections.cord_shift(z)], axis=1)[:, None, :]
    cord = centre + (sections.cord(z, theta) - centre) * _widening(theta[template.cord])
    wall = _wall(sections, template, z)
    inner = centre + (rho / CORD_RADIUS) * (cord - centre)
    ring = cord + (rho - CORD_RADIUS) * (sac - cord)
    outer = sac + (rho - SAC_RADIUS) * (wall - sac)
    xy = np.where(rho <= CORD_RADIUS, inner, np.where(rho <= SAC_RADIUS, ring, outer))
    # Exact symmetry, against round-off: the right half is the image of the left one, the midline is x = 0.
    left = np.flatnonzero(np.arange(len(theta)) < template.image)
    xy[:, template.image[left]] = xy[:, left] * np.array([-1.0, 1.0])
    xy[:, template.image == np.arange(len(theta)), 0] = 0.0
    heights = np.broadcast_to(z[:, None, None], (*xy.shape[:2], 1))
    return np.concatenate([xy, heights], axis=2).reshape(-1, 3)


def _widening(theta: FloatArray) -> float:
    """Scale by which a polygon inscribed in an ellipse at these angles gets the ellipse's area."""
    unit = np.column_stack([np.cos(theta), np.sin(theta)])
    return float(np.sqrt(np.pi / polygon_area(unit)))


def _wall(sections: Sections, template: Template, z: FloatArray) -> FloatArray:
    """Wall at all vertices' angles, (k, nv, 2).

    At every station the gap is scaled so that the epidural area is the mean of the exact one around the station,
    weighted by the station's hat function; then the volume between linear sections is the exact one.
    """
    full_sac = sections.sac(z, template.theta) / sections.sac_scale(z)[:, None, None]
    full_sac = full_sac * _widening(template.angles)
    offset = sections.offset(z, template.theta)
    nodes = template.wall
    # The area is a quadratic of the scale; its coefficients follow from three values.
    none, once, minus = (polygon_area(full_sac[:, nodes] + f * offset[:, nodes]) for f in (0.0, 1.0, -1.0))
    linear, square = 0.5 * (once - minus), 0.5 * (once + minus) - none
    epidural = _hat_means(sections, z)
    scale = 2.0 * epidural / (linear + np.sqrt(linear**2 + 4.0 * square * epidural))
    wall: FloatArray = full_sac + scale[:, None, None] * offset
    return wall


def _hat_means(sections: Sections, z: FloatArray) -> FloatArray:
    """Mean of the area between sac (as if it had no end) and wall, weighted by each station's hat function, (k,)."""
    share, weight = np.polynomial.legendre.leggauss(_GAUSS_POINTS)
    upper = 0.5 * (share + 1.0)
    step = np.diff(z)
    heights = z[:-1, None] + step[:, None] * upper
    flat = heights.ravel()
    area = sections.canal_area(flat) - np.pi * sections.sac_axes(flat).prod(axis=1)
    area = area.reshape(heights.shape) * (0.5 * weight) * step[:, None]
    total, base = np.zeros_like(z), np.zeros_like(z)
    for station, hat in ((slice(1, None), upper), (slice(None, -1), 1.0 - upper)):
        total[station] += (area * hat).sum(axis=1)
        base[station] += 0.5 * step
    means: FloatArray = total / base
    return means


def sweep(sections: Sections, template: Template, z: FloatArray, bands: list[ForamenBand]) -> Block:
    """Cells of the canal between all stations, without the foraminal stubs."""
    vertices, slabs = len(template.rho), len(z) - 1
    points = swept_points(sections, template, z)
    bottom = (template.triangles[None] + vertices * np.arange(slabs)[:, None, None]).reshape(-1, 3)
    key = np.tile(template.key[template.triangles], (slabs, 1))
    middle = 0.5 * (z[1:] + z[:-1])
    flipped = np.repeat(upside_down(middle, bands), len(template.triangles))
    cells = split_prisms(bottom, bottom + vertices, key, flipped)
    region, subregion = _labels(sections, template, middle, bands)
    return Block(
        points,
        cells,
        np.repeat(region.ravel(), TETS_PER_PRISM),
        np.repeat(subregion.ravel(), TETS_PER_PRISM),
    )


def upside_down(middle: FloatArray, bands: list[ForamenBand]) -> BoolArray:
    """Whether a slab is split upside down: below the middle of the nearest foramen.

    Then the diagonals of a foramen's patch run from its middle to its corners, above and below alike.
    """
    if not bands:
        return np.zeros(len(middle), dtype=bool)
    centres = np.array([band.centre for band in bands])
    nearest = centres[np.argmin(np.abs(middle[:, None] - centres), axis=1)]
    return np.asarray(middle < nearest - 1e-9)


def sleeve_slabs(middle: FloatArray, bands: list[ForamenBand]) -> BoolArray:
    """Slabs in which roots leave the sac."""
    inside = [np.abs(middle - band.centre) < band.half_sleeve for band in bands]
    return np.any(inside, axis=0) if inside else np.zeros(len(middle), dtype=bool)


def _labels(
    sections: Sections, template: Template, middle: FloatArray, bands: list[ForamenBand]
) -> tuple[IntArray, IntArray]:
    """Region and subregion of every (slab, triangle)."""
    anatomy, shape = sections.anatomy, sections.shape
    by_angle = _sector(template, shape.lateral_half_angle)
    has_cord, has_sac = middle > anatomy.conus_z, middle > anatomy.sac_end_z
    core, ring = template.zone == Zone.CORE, template.zone == Zone.RING
    region = np.full((len(middle), len(template.zone)), int(Region.EPIDURAL))
    subregion = np.broadcast_to(by_angle, region.shape).copy()
    for mask, new_region, new_subregion in (
        (np.outer(has_sac, core | ring), Region.SUBARACHNOID, Subregion.THECAL),
        (np.outer(has_cord & has_sac, core), Region.CORD, Subregion.CORD),
        (
            np.outer(has_sac & sleeve_slabs(middle, bands), sleeve_columns(template, shape.sleeve_half_angle)),
            Region.SUBARACHNOID,
            Subregion.SLEEVE,
        ),
    ):
        region[mask], subregion[mask] = int(new_region), int(new_subregion)
    return region, subregion


def _centroid_angles(template: Template) -> FloatArray:
    xy = np.column_stack([template.rho * np.cos(template.theta), template.rho * np.sin(template.theta)])
    centroid = xy[template.triangles].mean(axis=1)
    return np.arctan2(centroid[:, 1], centroid[:, 0])


def column_middles(template: Template) -> FloatArray:
    """Angle of the middle of every circumferential column, -pi/2 to 3 pi/2, (n,)."""
    start = template.angles
    width = (np.roll(start, -1) - start) % (2.0 * np.pi)
    return start + 0.5 * width


def _sector(template: Template, lateral: float) -> IntArray:
    """Epidural subregion by angle, (nt,)."""
    angle = _centroid_angles(template)
    columns = template.column >= 0
    angle[columns] = column_middles(template)[template.column[columns]]
    sine = np.sin(angle)
    side = np.where(np.cos(angle) > 0.0, Subregion.LATERAL_LEFT, Subregion.LATERAL_RIGHT)
    bound = np.sin(lateral)
    return np.where(sine > bound, Subregion.VENTRAL, np.where(sine < -bound, Subregion.DORSAL, side))


def sleeve_columns(template: Template, half_angle: float) -> BoolArray:
    """Epidural triangles between sac and wall that a root sleeve takes, (nt,)."""
    in_sleeve = np.abs(np.sin(column_middles(template))) < np.sin(half_angle)
    mask: BoolArray = (template.column >= 0) & in_sleeve[template.column]
    return mask

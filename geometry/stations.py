"""Axial stations: heights of the planes between which the template is swept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .anatomy import CSF_BORDER, Anatomy, interspaces_of
from .arrays import FloatArray
from .errors import MeshError
from .size import SOURCE_RADIUS, MeshSize

LEAST_SLAB = 1e-3
"""The ends of cord and sac nearer than this (m) to another breakpoint are left to it."""
LEAST_SLAB_RATIO = 0.25
"""Breakpoints within the sac's taper nearer to another one than this share of a coarse cell are left out."""
_INTEGRATION_POINTS = 201


@dataclass(frozen=True)
class ForamenBand:
    """Axial extent of one foramen and of the root sleeve in its middle, m."""

    interspace: str
    centre: float
    half_height: float
    half_sleeve: float


def foramen_bands(anatomy: Anatomy, span: tuple[str, str]) -> list[ForamenBand]:
    """Foramina strictly inside a span, caudal to cranial."""
    return [
        ForamenBand(
            name,
            anatomy.interspace_z(name),
            0.5 * anatomy.value(name, "foramen_height"),
            0.5 * anatomy.value(name, "root_diameter"),
        )
        for name in reversed(interspaces_of(anatomy.span_levels(span)))
    ]


def axial_length(z: FloatArray, size: MeshSize, focus: Sequence[float], refine_radius: float) -> FloatArray:
    """Wanted axial cell length at heights z: fine within the source of every focus, coarse beyond the radius."""
    if len(focus) == 0:
        return np.full_like(z, size.coarse_length)
    distance = np.min([np.abs(z - centre) for centre in focus], axis=0)
    # One fine cell beyond the source, so that a cell that reaches into it is fine too.
    inner = SOURCE_RADIUS + size.fine_length
    share = np.clip((distance - inner) / max(refine_radius - inner, 1e-9), 0.0, 1.0)
    return size.fine_length + share * (size.coarse_length - size.fine_length)


def stations(
    anatomy: Anatomy, span: tuple[str, str], size: MeshSize, focus: Sequence[float], refine_radius: float
) -> FloatArray:
    """Ascending heights (k+1,) of the planes; they hold every foramen's borders and the T11/T12 border."""
    low, high = anatomy.span_bounds(span)
    for z in focus:
        if not low <= z <= high:
            raise MeshError(
                f"injection at z = {1e3 * z:.1f} mm is outside the span {span[0]}-{span[1]}, "
                f"{1e3 * low:.1f} to {1e3 * high:.1f} mm"
            )
    fixed = [low, high]
    if len(anatomy.span_levels(span)) == 1:
        # Nothing else divides a single level, whose canal is not linear from one border to the other.
        fixed.append(anatomy.level_z(span[0]))
    for band in foramen_bands(anatomy, span):
        fixed += [band.centre + s * h for s in (-1.0, 1.0) for h in (band.half_height, band.half_sleeve)]
        if band.interspace == CSF_BORDER:
            fixed.append(band.centre)
    if min(fixed) < low or max(fixed) > high:
        raise MeshError(f"a foramen reaches beyond the span {span[0]}-{span[1]}; widen the span")
    # Sections turn fast where the sac tapers: more than one slab there, unless all slabs are long.
    tip = anatomy.shape.sac_tip_length
    ends = [(anatomy.conus_z, LEAST_SLAB), (anatomy.sac_end_z, LEAST_SLAB)]
    ends += [(anatomy.sac_end_z + share * tip, LEAST_SLAB_RATIO * size.coarse_length) for share in (1.0, 0.5, -0.5)]
    for z, least in ends:
        if low < z < high and np.min(np.abs(np.array(fixed) - z)) >= least:
            fixed.append(z)
    planes = [low]
    breaks = np.unique(np.round(fixed, 12))
    for a, b in pairwise(breaks):
        planes += _divided(float(a), float(b), size, focus, refine_radius)
    return np.array(planes)


def _divided(a: float, b: float, size: MeshSize, focus: Sequence[float], refine_radius: float) -> list[float]:
    """Planes above ``a`` up to ``b``, spaced in proportion to the wanted length."""
    z = np.linspace(a, b, _INTEGRATION_POINTS)
    density = 1.0 / axial_length(z, size, focus, refine_radius)
    count = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(z))])
    reach = SOURCE_RADIUS + size.fine_length
    in_source = any(a - reach < centre < b + reach for centre in focus)
    number = max(1, int(np.ceil(count[-1] - 1e-6)) if in_source else round(float(count[-1])))
    inner = np.interp(np.arange(1, number) * (count[-1] / number), count, z)
    return [*(float(v) for v in inner), b]

"""Places by level, side and approach: needle tips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .arrays import FloatArray
from .errors import AnatomyError
from .regions import Subregion, foramen_name
from .tables import read_shape

if TYPE_CHECKING:
    from .anatomy import Anatomy
    from .mesh import SpineMesh


INTERLAMINAR, TRANSFORAMINAL, FORAMINAL = "interlaminar", "transforaminal", "foraminal"
SUBREGION_OF_APPROACH = {
    INTERLAMINAR: Subregion.DORSAL,
    TRANSFORAMINAL: Subregion.VENTRAL,
    FORAMINAL: Subregion.FORAMINAL,
}
APPROACHES = tuple(SUBREGION_OF_APPROACH)
OUTWARD = {"midline": 0.0, "left": 1.0, "right": -1.0}
TIP_SIDES = tuple(OUTWARD)
_SECTOR_POINTS = 181


@dataclass(frozen=True, eq=False)
class Landmark:
    """A needle tip.

    Attributes:
        point: (3,) m. subregions: where the source is truncated to.
        interspace, approach, side, offset: as asked for.
    """

    point: FloatArray
    subregions: frozenset[Subregion]
    interspace: str
    approach: str
    side: str
    offset: float = 0.0


def anatomical_tip(
    anatomy: Anatomy, interspace: str, approach: str = INTERLAMINAR, side: str = "midline", offset: float = 0.0
) -> Landmark:
    """Needle tip from the cross-sections.

    Args:
        anatomy: figures by level.
        interspace: for example "L3/L4".
        approach: ``interlaminar``: in the middle of the dorsal gap at the interspace, on the midline or paramedian.
            ``transforaminal``: in the ventral gap, clear of the root. ``foraminal``: in the stub, caudal to the root
            sleeve, short of the canal.
        side: ``midline`` (interlaminar only), ``left`` or ``right``.
        offset: m. Interlaminar: distance from the midline; 0 with a side is the usual paramedian distance. Otherwise
            the distance lateral to (negative: medial to) the approach's usual place.

    Raises:
        AnatomyError: unknown interspace, approach or side; a tip outside its subregion.
    """
    outward = _check(approach, side, offset)
    z = anatomy.interspace_z(interspace)
    if approach == FORAMINAL:
        point = _stub_tip(anatomy, interspace, z, outward, offset)
    else:
        point = _gap_tip(anatomy, interspace, z, approach, outward, offset)
    return Landmark(point, frozenset({SUBREGION_OF_APPROACH[approach]}), interspace, approach, side, offset)


def _check(approach: str, side: str, offset: float) -> float:
    """Sign of x on the side asked for."""
    if approach not in APPROACHES:
        raise AnatomyError(f"approach {approach!r} is unknown; known: {', '.join(APPROACHES)}")
    if side not in TIP_SIDES:
        raise AnatomyError(f"side {side!r} is unknown; known: {', '.join(TIP_SIDES)}")
    if side == "midline" and approach != INTERLAMINAR:
        raise AnatomyError(f"a {approach} tip lies on a side, left or right, not on the midline")
    if side == "midline" and offset != 0.0:
        raise AnatomyError(f"a tip {1e3 * offset:g} mm off the midline needs a side, left or right")
    if not np.isfinite(offset) or (approach == INTERLAMINAR and offset < 0.0):
        raise AnatomyError(f"offset {offset} is not a distance")
    return OUTWARD[side]


def _gap_tip(anatomy: Anatomy, interspace: str, z: float, approach: str, outward: float, offset: float) -> FloatArray:
    """In the middle between sac and wall, at a distance from the midline."""
    shape, heights = anatomy.shape, np.array([z])

    def middle(angles: FloatArray) -> FloatArray:
        sac, wall = anatomy.sections.sac(heights, angles)[0], anatomy.sections.wall(heights, angles)[0]
        return np.asarray(0.5 * (sac + wall))

    # From the midline to the edge of the sector, on the left; mirrored afterwards.
    pole = -1.0 if approach == INTERLAMINAR else 1.0
    sector = middle(pole * np.linspace(0.5 * np.pi, shape.lateral_half_angle, _SECTOR_POINTS))
    sector[0, 0] = 0.0
    if approach == INTERLAMINAR:
        distance = abs(outward) * (offset if offset > 0.0 else shape.paramedian_offset)
    else:
        distance = float(middle(np.array([shape.transforaminal_angle]))[0, 0]) + offset
    if not 0.0 <= distance <= sector[-1, 0]:
        raise AnatomyError(
            f"{interspace}: an {approach} tip {1e3 * distance:.1f} mm from the midline is outside the "
            f"{SUBREGION_OF_APPROACH[approach].name.lower()} epidural space, {1e3 * sector[-1, 0]:.1f} mm to each side"
        )
    return np.array([outward * distance, np.interp(distance, sector[:, 0], sector[:, 1]), z])


def _stub_tip(anatomy: Anatomy, interspace: str, z: float, outward: float, offset: float) -> FloatArray:
    """Half way along the stub, in the middle between the root sleeve and the foramen's caudal edge."""
    length = anatomy.shape.stub_length
    depth = 0.5 * length + offset
    if not 0.0 <= depth <= length:
        raise AnatomyError(
            f"{interspace}: a foraminal tip {1e3 * depth:.1f} mm from the canal is outside the foramen, "
            f"{1e3 * length:.1f} mm long"
        )
    edge = float(anatomy.sections.wall(np.array([z]), np.array([0.0]))[0, 0, 0])
    below = 0.25 * (anatomy.value(interspace, "root_diameter") + anatomy.value(interspace, "foramen_height"))
    return np.array([outward * (edge + depth), 0.0, z - below])


def mesh_tip(
    mesh: SpineMesh, interspace: str, approach: str = INTERLAMINAR, side: str = "midline", offset: float = 0.0
) -> Landmark:
    """Needle tip from the subregions of a mesh that has no anatomy; arguments as in :func:`anatomical_tip`."""
    outward = _check(approach, side, offset)
    if interspace not in mesh.interspace_z:
        raise AnatomyError(f"interspace {interspace!r} is not in the mesh; it has {', '.join(mesh.interspace_z)}")
    z = mesh.interspace_z[interspace]
    subregion = SUBREGION_OF_APPROACH[approach]
    corner = mesh.points[mesh.cells[mesh.subregion == subregion]]
    heights = corner[:, :, 2]
    if approach == FORAMINAL:
        name = foramen_name(interspace, side)
        if name not in mesh.surfaces:
            raise AnatomyError(f"{interspace}: the mesh has no foramen on the {side}")
        face = mesh.points[np.unique(mesh.facets[mesh.facet_tag == mesh.surfaces[name]])]
        near = (heights.max(axis=1) >= face[:, 2].min()) & (heights.min(axis=1) <= face[:, 2].max())
    else:
        near = (heights.max(axis=1) >= z) & (heights.min(axis=1) <= z)
    if outward:
        near &= outward * corner[:, :, 0].mean(axis=1) > 0.0
    corner = corner[near]
    if not len(corner):
        raise AnatomyError(f"{interspace}: the mesh has no {subregion.name.lower()} epidural space there")
    reach = np.abs(corner[:, :, 0]).max()
    middle = corner.mean(axis=1)
    if approach == FORAMINAL:
        lateral = 0.5 * (np.abs(corner[:, :, 0]).min() + reach) + offset
        goal = np.array([outward * lateral, face[:, 1].mean(), z - 0.25 * np.ptp(face[:, 2])])
    else:
        usual = read_shape()[0].paramedian_offset if approach == INTERLAMINAR else 0.5 * reach
        distance = abs(outward) * (offset or usual) if approach == INTERLAMINAR else usual + offset
        if not 0.0 <= distance <= reach:
            raise AnatomyError(f"{interspace}: a tip {1e3 * distance:.1f} mm from the midline is outside its subregion")
        order = np.argsort(np.abs(middle[:, 0] - outward * distance))[: max(8, len(middle) // 10)]
        goal = np.array([outward * distance, middle[order, 1].mean(), z])
    point = goal if _inside(corner, goal) else middle[np.argmin(((middle - goal) ** 2).sum(axis=1))]
    return Landmark(point, frozenset({subregion}), interspace, approach, side, offset)


def _inside(corner: FloatArray, point: FloatArray) -> bool:
    """Whether a point lies in one of the tetrahedra (m, 4, 3)."""
    edges = np.swapaxes(corner[:, 1:] - corner[:, :1], 1, 2)
    local = np.linalg.solve(edges, (point - corner[:, 0])[..., None])[..., 0]
    return bool(((local >= 0.0).all(axis=1) & (local.sum(axis=1) <= 1.0)).any())

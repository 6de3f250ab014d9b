"""Places of leaks on the dura, by level, site and side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, FloatArray
from .errors import AnatomyError
from .landmarks import OUTWARD
from .mesh import SpineMesh
from .regions import SIDES, Subregion, foramen_name
from .surfaces import DURA
from .tables import read_shape

DORSAL, VENTRAL, SLEEVE = "dorsal", "ventral", "sleeve"

LEVEL_REACH = 10e-3
"""Distance from an interspace within which facets show both faces of the sac [m]: more than any facet is long. Fewer,
the nearest ones by height, may all lie on one face of a coarse mesh."""


@dataclass(frozen=True, eq=False)
class LeakPlace:
    """Where a leak is.

    Attributes:
        point: (3,) m, on the dura.
        on_sleeve: whether it lies on a root sleeve instead of the sac.
    """

    point: FloatArray
    on_sleeve: bool


def leak_place(mesh: SpineMesh, interspace: str, site: str, side: str) -> LeakPlace:
    """Place of a leak.

    Args:
        mesh: the spine.
        interspace: for example "L3/L4".
        site: ``dorsal`` or ``ventral``: of the sac, in the midline or as far beside it as a paramedian needle;
            ``sleeve``: the middle of a root sleeve's length.
        side: ``midline`` (not for sleeves), ``left`` or ``right``.

    Raises:
        AnatomyError: unknown interspace, site or side; a sleeve in the midline; a mesh without that sleeve.
    """
    if site not in SITES:
        raise AnatomyError(f"leak site {site!r} is unknown; known: {', '.join(SITES)}")
    if side not in OUTWARD:
        raise AnatomyError(f"side {side!r} is unknown; known: {', '.join(OUTWARD)}")
    if site == SLEEVE and side not in SIDES:
        raise AnatomyError("a root sleeve lies on a side, left or right, not in the midline")
    if interspace not in mesh.interspace_z:
        raise AnatomyError(f"interspace {interspace!r} is not in the mesh; it has {', '.join(mesh.interspace_z)}")
    return SITES[site](mesh, interspace, side)


def _dura(mesh: SpineMesh) -> tuple[FloatArray, BoolArray]:
    """Centroids of the dura's facets (f, 3), and whether each bounds a sleeve (f,)."""
    facets = mesh.facets[mesh.facet_tag == mesh.surfaces[DURA]]
    sleeve = np.zeros(len(mesh.points), dtype=bool)
    sleeve[mesh.cells[mesh.subregion == Subregion.SLEEVE]] = True
    thecal = np.zeros(len(mesh.points), dtype=bool)
    thecal[mesh.cells[mesh.subregion == Subregion.THECAL]] = True
    return mesh.points[facets].mean(axis=1), sleeve[facets].all(axis=1) & ~thecal[facets].all(axis=1)


def _on_sac(mesh: SpineMesh, interspace: str, side: str, outward: float) -> LeakPlace:
    """On the sac's dorsal (-1) or ventral (1) face."""
    centre, sleeve = _dura(mesh)
    z = mesh.interspace_z[interspace]
    wanted = np.array([OUTWARD[side] * read_shape()[0].paramedian_offset, z])
    near = centre[~sleeve & (np.abs(centre[:, 2] - z) < LEVEL_REACH)]
    if not len(near):
        raise AnatomyError(f"{interspace}: the mesh has no sac there")
    face = near[outward * (near[:, 1] - 0.5 * (near[:, 1].min() + near[:, 1].max())) > 0]
    nearest = face[np.argmin(((face[:, [0, 2]] - wanted) ** 2).sum(axis=1))]
    return LeakPlace(np.array([wanted[0], nearest[1], z]), False)


def _dorsal(mesh: SpineMesh, interspace: str, side: str) -> LeakPlace:
    return _on_sac(mesh, interspace, side, -1.0)


def _ventral(mesh: SpineMesh, interspace: str, side: str) -> LeakPlace:
    return _on_sac(mesh, interspace, side, 1.0)


def _sleeve(mesh: SpineMesh, interspace: str, side: str) -> LeakPlace:
    centre, sleeve = _dura(mesh)
    centre = centre[sleeve]
    name = foramen_name(interspace, side)
    if name in mesh.surfaces:
        heights = mesh.points[np.unique(mesh.facets[mesh.facet_tag == mesh.surfaces[name]])][:, 2]
        inside = (centre[:, 2] >= heights.min()) & (centre[:, 2] <= heights.max())
        centre = centre[inside & (OUTWARD[side] * centre[:, 0] > 0)]
    if name not in mesh.surfaces or not len(centre):
        raise AnatomyError(f"{interspace}: the mesh has no root sleeve on the {side}")
    return LeakPlace(0.5 * (centre.min(axis=0) + centre.max(axis=0)), True)


SITES: dict[str, Callable[[SpineMesh, str, str], LeakPlace]] = {DORSAL: _dorsal, VENTRAL: _ventral, SLEEVE: _sleeve}
"""How the place of each site is found."""

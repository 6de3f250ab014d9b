"""Whether a case can be posed: what it asks of its anatomy, or of a mesh of the user's own."""

from __future__ import annotations

import numpy as np

from geometry import AnatomyError, MeshError, Region, SpineMesh, Subregion, leak_place, read_mesh
from studies.case import Case
from studies.errors import InputError
from studies.resolve import CORD, LEVELS_OF, build_anatomy, check_reached, check_tips


def check_posable(case: Case) -> None:
    """Refuse a resolved case whose anatomy is impossible, or has no place for what is asked; no mesh is made.

    Raises:
        InputError: see above.
    """
    own = case.anatomy.mesh
    try:
        if own is None:
            check_tips(case, build_anatomy(case))
        else:
            mesh = read_mesh(own)
            check_tips(case, mesh)
            _check_places(case, mesh)
    except (AnatomyError, MeshError, OSError) as error:
        raise InputError("anatomy" if own is None else "anatomy.mesh", "", str(error)) from error


def _check_places(case: Case, mesh: SpineMesh) -> None:
    """Refuse what a mesh of the user's own has no place for: leaks, and limits that would never stop an injection."""
    for index, leak in enumerate(case.leak):
        try:
            leak_place(mesh, leak.level, leak.site, leak.side or "midline")
        except AnatomyError as error:
            raise InputError(f"leak.{index}", f"a {leak.site} leak at {leak.level}, {leak.side}", str(error)) from None
    levels = [mesh.levels[index] for index in np.unique(mesh.level)]
    missing = (
        [] if (mesh.region == Region.CORD).any() else [name for name, needed in LEVELS_OF.items() if needed == CORD]
    )
    missing += [] if (mesh.subregion == Subregion.FORAMINAL).any() else ["root_pressure_max_mmHg"]
    check_reached(case, levels, f"anatomy.mesh, {levels[0]}-{levels[-1]}", missing)

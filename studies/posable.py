"""Whether a case can be posed: what it asks of its anatomy, or of a mesh of the user's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from fem.parameters import MMHG
from fem.quantities import LIMITED_LEVELS, LUMBAR
from fem.tolerance import limits
from geometry import Anatomy, AnatomyError, MeshError, Region, SpineMesh, Subregion, leak_place, read_mesh
from studies.case import Case
from studies.errors import InputError
from studies.inputs import build_anatomy, stop_of
from studies.quantities import OFFSET, PRESSURE
from studies.values import LEVELS

FUSED: Final = ("S1/S2",)
"""Interspaces without a space between laminae: the sacrum is one bone."""
CORD: Final = LEVELS[: LEVELS.index("L1") + 1]
"""Levels that the cord reaches; the conus ends between L1 and L2."""
LEVELS_OF: Final = {
    "sac_area_lumbar_min_mm2": LUMBAR,
    **{f"sac_area_{level}_mm2": (level,) for level in LIMITED_LEVELS},
    **dict.fromkeys(("sac_width_min_ratio", "cord_area_min_ratio"), CORD),
}
"""Levels one of which a window must have for a quantity to exist."""
EPIDURAL: Final = ("epidural_pressure_needle_mmHg", "root_pressure_max_mmHg")
"""Quantities that are the epidural pressure before anything is injected."""


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
    _check_reached(case, levels, f"anatomy.mesh, {levels[0]}-{levels[-1]}", missing)


def check_levels(case: Case) -> None:
    """Refuse an injection or a leak outside of the window."""
    if case.anatomy.span is None:
        return
    first, last = (LEVELS.index(level) for level in case.anatomy.span)
    span = "-".join(case.anatomy.span)
    count = len(case.injection)
    for number, level in enumerate(interspaces_of(case)):
        if not first <= LEVELS.index(level.split("/")[0]) < last:
            key = f"injection.{number}.level" if number < count else f"leak.{number - count}.level"
            raise InputError(key, f'"{level}"', f"allowed is an interspace within anatomy.span, {span}")


def check_approaches(case: Case) -> None:
    """Refuse a needle between laminae where there are none."""
    for index, injection in enumerate(case.injection):
        if injection.approach == "interlaminar" and injection.level in FUSED:
            raise InputError(
                f"injection.{index}.approach",
                '"interlaminar"',
                f"{injection.level} is fused, and has no space between its laminae; "
                'allowed there is "transforaminal" or "foraminal"',
            )


def check_tips(case: Case, body: Anatomy | SpineMesh) -> None:
    """Refuse a needle whose tip lies outside the space that its approach is to reach.

    Args:
        case: resolved.
        body: its anatomy, or its mesh.

    Raises:
        InputError: a tip lies outside.
    """
    for index, injection in enumerate(case.injection):
        key = f"injection.{index}"
        if isinstance(body, SpineMesh) and injection.level not in body.interspace_z:
            allowed = f"allowed is an interspace of anatomy.mesh, {', '.join(body.interspace_z)}"
            raise InputError(f"{key}.level", f'"{injection.level}"', allowed)
        try:
            body.needle_tip(injection.level, injection.approach, injection.side or "midline", injection.offset)
        except AnatomyError as error:
            raise InputError(f"{key}.offset", f'"{OFFSET.format(injection.offset)}"', str(error)) from None


def check_stops(case: Case) -> None:
    """Refuse a limit that the resting patient is beyond, or whose quantity the window does not have.

    The one would stop the injection before it begins, the other never.
    """
    rest = case.csf.epidural_pressure
    assert rest is not None
    for index, injection in enumerate(case.injection):
        stop = stop_of(injection)
        if stop is None or stop.quantity not in EPIDURAL:
            continue
        if stop.value * MMHG <= rest or math.isclose(stop.value * MMHG, rest):
            allowed = (
                f'allowed is a limit above the pressure at rest, csf.epidural_pressure ("{PRESSURE.format(rest)}")'
            )
            raise InputError(f"injection.{index}.stop_at", f'"{injection.stop_at}"', allowed)
    if case.anatomy.span is not None:
        first, last = (LEVELS.index(level) for level in case.anatomy.span)
        _check_reached(case, LEVELS[first : last + 1], f"anatomy.span, {'-'.join(case.anatomy.span)}")


def _check_reached(case: Case, levels: Sequence[str], where: str, missing: Sequence[str] = ()) -> None:
    """Refuse a limit whose quantity is not to be had: it would never stop the injection.

    Args:
        case: resolved.
        levels: that are modelled.
        where: what has these levels, for messages.
        missing: quantities that are not to be had, whatever the levels.

    Raises:
        InputError: there is such a limit.
    """
    for index, injection in enumerate(case.injection):
        limit = limits().get(injection.stop_at or "")
        if limit is None:
            continue
        needed = LEVELS_OF.get(limit.quantity, levels)
        if limit.quantity in missing or not set(needed) & set(levels):
            part = "the roots" if limit.quantity in EPIDURAL else "the cord" if needed == CORD else " or ".join(needed)
            allowed = f"it is of {part}, and {where}, has none; allowed is a limit of what is there, or a pressure"
            raise InputError(f"injection.{index}.stop_at", f'"{injection.stop_at}"', allowed)


def interspaces_of(case: Case) -> list[str]:
    """Interspaces of the injections, then of the leaks."""
    return [injection.level for injection in case.injection] + [leak.level for leak in case.leak]

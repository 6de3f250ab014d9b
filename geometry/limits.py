"""Anatomy that cannot be: limits of every figure by the figures around it."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from .errors import AnatomyError

if TYPE_CHECKING:
    from .anatomy import Anatomy


LONGEST_SEGMENT = 58.0e-3
"""Longest segment (m): the table's longest, 36 mm, in the tallest person measured, 2.72 m for some 1.7 m."""
LEAST_PEDICLE = 3.0e-3
"""Bone (m) that two foramina leave of the pedicle between them; the table's leave 5.4 mm (C2) and more."""
RECESS_SHARE = 0.5
"""Deepest recess over the height of the window between two laminae: the ligamenta flava that close it meet at no less
than a right angle. The table's deepest is 0.28 (L4/L5)."""
LARGEST_FLARE = 0.25
"""Change of the canal's half diameters over the distance of two pedicle planes. Sections are planes across the axis: a
steeper wall is no tube to them, and across a foramen 20 mm high it turns by more than half the stub (9 mm), whose outer
face is plane. The table's largest is 0.11."""

_ROUND_OFF = 1e-6


def check_figures(anatomy: Anatomy) -> None:
    """Raise AnatomyError, with place, figures and what is allowed, for figures that cannot be together."""
    _check_numbers(anatomy)
    for upper, lower in pairwise(anatomy.levels):
        _check_foramen(anatomy, upper, lower)
        _check_recess(anatomy, upper, lower)
    for level in anatomy.levels:
        _check_level(anatomy, level)
    for upper, lower in pairwise(anatomy.levels):
        _check_flare(anatomy, upper, lower)


def _check_numbers(anatomy: Anatomy) -> None:
    for (place, name), value in anatomy.figures.items():
        optional = name in ("cord_ap", "cord_trans", "canal_area")
        may_vanish = name == "recess_depth"
        if math.isnan(value) and optional:
            continue
        if not math.isfinite(value) or value < 0.0 or (value == 0.0 and not may_vanish):
            raise AnatomyError(f"{place}: {name} is {value}, it must be positive and finite")


def _check_foramen(anatomy: Anatomy, upper: str, lower: str) -> None:
    """Between the pedicles, no wider than the canal that it leaves, with a root inside."""
    place, shape = f"{upper}/{lower}", anatomy.shape
    height, width, root = (anatomy.value(place, name) for name in ("foramen_height", "foramen_width", "root_diameter"))
    # It lies astride the interspace, so the shorter segment's pedicle, at its middle, is the nearer one.
    shorter = min(upper, lower, key=lambda level: anatomy.value(level, "segment_length"))
    segment = anatomy.value(shorter, "segment_length")
    if height > segment - LEAST_PEDICLE:
        raise AnatomyError(
            f"{place}: foramen {mm(height)} high does not fit between the pedicles; {shorter} is {mm(segment)} high, "
            f"allowed is a foramen {mm(LEAST_PEDICLE)} lower"
        )
    # Its front is the vertebral body and its back the facet joint, as the canal's are body and lamina.
    shallower = min(upper, lower, key=lambda level: anatomy.value(level, "canal_ap"))
    depth = anatomy.value(shallower, "canal_ap")
    if width > depth:
        raise AnatomyError(
            f"{place}: foramen {mm(width)} wide is wider than the canal of {shallower} is deep; "
            f"allowed is up to {_most(depth)}"
        )
    # The sleeve around it holds CSF, of which a layer thinner than the least one is nowhere.
    if root < shape.least_clearance:
        raise AnatomyError(f"{place}: root {mm(root)} thick is no root; allowed is from {mm(shape.least_clearance)}")
    if root > height - 2.0 * shape.gap_floor:
        raise AnatomyError(_misfit(place, "root", root, "foramen", height, "thick", "high", shape.gap_floor))
    # Without a gap: the widths are the sleeve's and the foramen's, and cervical roots fill theirs.
    if root > width:
        raise AnatomyError(_misfit(place, "root", root, "foramen", width, "thick", "wide", 0.0))


def _check_recess(anatomy: Anatomy, upper: str, lower: str) -> None:
    place = f"{upper}/{lower}"
    depth = anatomy.value(place, "recess_depth")
    apart = 0.5 * (anatomy.value(upper, "segment_length") + anatomy.value(lower, "segment_length"))
    window = anatomy.shape.recess_axial_share * apart
    if depth > RECESS_SHARE * window:
        raise AnatomyError(
            f"{place}: recess {mm(depth)} deep does not fit the interlaminar window, {mm(window)} high; "
            f"allowed is up to {_most(RECESS_SHARE * window)}"
        )


def _check_level(anatomy: Anatomy, level: str) -> None:
    """A vertebra of a human being; cord in sac in canal, by the tabulated diameters."""
    segment = anatomy.value(level, "segment_length")
    if segment > LONGEST_SEGMENT:
        most = _most(LONGEST_SEGMENT)
        raise AnatomyError(f"{level}: segment {mm(segment)} long is nobody's; allowed is up to {most}")
    floor, clearance, cap = anatomy.shape.gap_floor, anatomy.shape.least_clearance, anatomy.shape.conus_cap
    for word, suffix in (("wide", "trans"), ("deep", "ap")):
        cord, sac, canal = (anatomy.value(level, f"{part}_{suffix}") for part in ("cord", "sac", "canal"))
        if cord > sac - 2.0 * clearance:
            raise AnatomyError(_misfit(level, "cord", cord, "sac", sac, word, word, clearance))
        if sac > canal - 2.0 * floor:
            raise AnatomyError(_misfit(level, "sac", sac, "canal", canal, word, word, floor))
        # The cord tapers towards its blunt end; what follows below it in the sac is no thinner.
        if cord < cap:
            raise AnatomyError(f"{level}: cord {mm(cord)} {word} is thinner than its end; allowed is from {mm(cap)}")
        if sac < cap + 2.0 * clearance:
            raise AnatomyError(
                f"{level}: sac {mm(sac)} {word} has no room for the end of the cord, {mm(cap)}, and {mm(clearance)} of "
                f"CSF on each side; allowed is from {mm(cap + 2.0 * clearance)}"
            )


def _check_flare(anatomy: Anatomy, upper: str, lower: str) -> None:
    apart = 0.5 * (anatomy.value(upper, "segment_length") + anatomy.value(lower, "segment_length"))
    for word, name in (("wide", "canal_trans"), ("deep", "canal_ap")):
        above, below = anatomy.value(upper, name), anatomy.value(lower, name)
        if abs(above - below) > 2.0 * LARGEST_FLARE * apart:
            raise AnatomyError(
                f"{upper}/{lower}: canal {mm(above)} {word} at {upper} and {mm(below)} at {lower}, {mm(apart)} apart; "
                f"allowed is a difference of up to {_most(2.0 * LARGEST_FLARE * apart)}"
            )


def mm(length: float) -> str:
    """A length (m) in words."""
    return f"{1e3 * length:.1f} mm" if length >= 1e-3 else f"{1e3 * length:.2g} mm"


def _most(length: float) -> str:
    """A largest length (m) in words that is itself allowed."""
    return mm(1e-4 * math.floor(1e4 * length + _ROUND_OFF))


def _misfit(
    place: str, inner: str, size: float, outer: str, room: float, of_inner: str, of_outer: str, margin: float
) -> str:
    clearance = f"; a gap of {1e3 * margin:.2f} mm is needed on each side" if margin > 0.0 else ""
    return f"{place}: {inner} {mm(size)} {of_inner} does not fit the {outer}, {mm(room)} {of_outer}{clearance}"

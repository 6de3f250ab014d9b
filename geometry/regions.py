"""Names of regions and subregions of the spinal canal."""

from __future__ import annotations

from enum import IntEnum


class Region(IntEnum):
    """Material region of a cell."""

    EPIDURAL = 1
    SUBARACHNOID = 2
    CORD = 3


class Subregion(IntEnum):
    """Part of a region: where a source may act, where spread is held back."""

    VENTRAL = 1
    DORSAL = 2
    LATERAL_LEFT = 3
    LATERAL_RIGHT = 4
    FORAMINAL = 5
    THECAL = 6
    SLEEVE = 7
    CORD = 8


REGION_OF_SUBREGION = {
    Subregion.VENTRAL: Region.EPIDURAL,
    Subregion.DORSAL: Region.EPIDURAL,
    Subregion.LATERAL_LEFT: Region.EPIDURAL,
    Subregion.LATERAL_RIGHT: Region.EPIDURAL,
    Subregion.FORAMINAL: Region.EPIDURAL,
    Subregion.THECAL: Region.SUBARACHNOID,
    Subregion.SLEEVE: Region.SUBARACHNOID,
    Subregion.CORD: Region.CORD,
}

SIDES = ("left", "right")


def foramen_name(interspace: str, side: str) -> str:
    """Surface name of a foramen: ``("L3/L4", "left")`` becomes ``foramen_L3L4_left``."""
    return f"foramen_{interspace.replace('/', '')}_{side}"

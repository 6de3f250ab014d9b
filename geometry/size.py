"""Mesh size: named sizes, or all counts from one length."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import MeshError

SOURCE_RADIUS = 4e-3
"""Radius (m) of the injection source unless another one is asked for."""
NAMED_LENGTHS = {"draft": 5.0e-3, "default": 4.0e-3, "fine": 2.5e-3}
"""Reference edge length (m) of the named sizes."""
LENGTH_LIMITS = (0.5e-3, 5.0e-3)
_ROUND_OFF = 1e-9

# Nominal arcs of a lumbar section (m); a count is its arc over the reference length.
_SECTOR_ARC = 11.0e-3
_FLANK_ARC = 2.0e-3
_SLEEVE_ARC = 4.0e-3
"""One of 3 mm with cells a quarter shorter: between its sleeves the sac gives way."""
_GAP = 2.5e-3
_RECESS = 5.0e-3
_CORD_HALF_ARC = 11.0e-3
_STUB = 5.0e-3
_COARSE_OVER_REFERENCE = 2.0
"""With 3, one slab reaches from a sleeve to the next foramen, and the narrowest sac section is 3 % too wide."""
_FINE_OVER_REFERENCE = 0.8


@dataclass(frozen=True)
class MeshSize:
    """Counts and lengths of a mesh.

    Divisions are per half section (left or right of the midline). The circumference has
    ``2 (dorsal + 2 flank + sleeve + ventral)`` divisions: flanks and sleeve make up the patch from which the foramen
    opens, dorsal and ventral ones lie between it and the midline.

    Attributes:
        dorsal, ventral, flank, sleeve: circumferential divisions of the sectors, per side.
        cord: divisions of half the cord's outline.
        epidural_layers: layers of cells between dura and bone.
        dorsal_layers: the same in the dorsal sector, where the interlaminar recess makes the gap deep; a multiple.
        stub_layers: layers of a foraminal stub along its length; the last one closes the root sleeve.
        coarse_length: axial length of cells far from the injections, m.
        fine_length: axial length of cells beside an injection, m; within its source they are split further.
        name: name under which the size was asked for; results say it.
    """

    dorsal: int
    ventral: int
    flank: int
    sleeve: int
    cord: int
    epidural_layers: int
    dorsal_layers: int
    stub_layers: int
    coarse_length: float
    fine_length: float
    name: str = "custom"

    def __post_init__(self) -> None:
        counts = (self.dorsal, self.ventral, self.flank, self.sleeve, self.epidural_layers)
        if min(counts) < 1 or self.dorsal_layers < 1 or self.cord < 2 or self.stub_layers < 2:
            raise MeshError(f"mesh size {self} has a count below its least value (cord 2, stub layers 2, others 1)")
        if self.dorsal_layers % self.epidural_layers:
            raise MeshError(f"mesh size {self} needs dorsal layers that are a multiple of the epidural ones")
        if not 0.0 < self.fine_length <= self.coarse_length:
            raise MeshError(f"mesh size {self} needs 0 < fine_length <= coarse_length")

    @classmethod
    def named(cls, name: str) -> MeshSize:
        """Size ``draft``, ``default`` or ``fine``."""
        if name not in NAMED_LENGTHS:
            raise MeshError(f"mesh size {name!r} is unknown; known: {', '.join(NAMED_LENGTHS)}")
        return cls.from_length(NAMED_LENGTHS[name], name)

    @classmethod
    def from_length(cls, length: float, name: str | None = None) -> MeshSize:
        """All counts and lengths scaled together from one edge length (m), that of the injected region.

        Counts are rounded, so the ratio of two meshes is best taken from their numbers of cells.
        """
        low, high = LENGTH_LIMITS
        if not low * (1.0 - _ROUND_OFF) <= length <= high * (1.0 + _ROUND_OFF):
            raise MeshError(f"mesh size {1e3 * length:g} mm is outside {1e3 * low:g} to {1e3 * high:g} mm")

        def count(arc: float, least: int = 1) -> int:
            return max(least, round(arc / length))

        layers = count(_GAP)
        return cls(
            dorsal=count(_SECTOR_ARC),
            ventral=count(_SECTOR_ARC),
            flank=count(_FLANK_ARC),
            sleeve=count(_SLEEVE_ARC),
            cord=count(_CORD_HALF_ARC, 2),
            epidural_layers=layers,
            dorsal_layers=layers * max(1 if layers > 1 else 2, round(_RECESS / length / layers)),
            stub_layers=count(_STUB, 2),
            coarse_length=_COARSE_OVER_REFERENCE * length,
            fine_length=_FINE_OVER_REFERENCE * length,
            name=name or f"{1e3 * length:g} mm",
        )

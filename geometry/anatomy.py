"""Anatomy of the canal by vertebral level: figures, heights, overrides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .arrays import FloatArray
from .errors import AnatomyError, nearest
from .limits import check_figures
from .tables import (
    DATA,
    INTERSPACE_QUANTITIES,
    LEVEL_QUANTITIES,
    Figures,
    Provenance,
    Shape,
    Sources,
    read_dorsal_csf,
    read_interspaces,
    read_levels,
    read_shape,
)

if TYPE_CHECKING:
    from .landmarks import Landmark
    from .sections import Sections


CONUS_INTERSPACE = "L1/L2"
SAC_END_LEVEL = "S2"
CSF_BORDER = "T11/T12"
"""Interspace below which CSF counts as lumbosacral (Hogan 1996)."""


def interspaces_of(levels: Iterable[str]) -> tuple[str, ...]:
    """Names of the interspaces between consecutive levels."""
    names = tuple(levels)
    return tuple(f"{upper}/{lower}" for upper, lower in pairwise(names))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Canal, sac and cord of C2 to S2, in metres.

    The frame is x left, y anterior, z cranial, origin in the axis of the sac at the caudal end of the last level.
    ``figures`` maps (level, quantity) and (interspace, quantity) to SI values; NaN where the anatomy has none (no cord
    below L1, no tabulated canal area where the canal is an ellipse). ``sources`` gives tag and source of each,
    ``replaced`` the table's value of those that were overridden.
    """

    levels: tuple[str, ...]
    figures: Mapping[tuple[str, str], float]
    sources: Mapping[tuple[str, str], Provenance] = field(repr=False)
    shape: Shape
    dorsal_csf: Mapping[str, float] = field(repr=False)
    replaced: Mapping[tuple[str, str], float] = field(default_factory=dict, repr=False)

    @classmethod
    def from_table(
        cls,
        overrides: Mapping[str, Mapping[str, float]] | None = None,
        table: str | Path | None = None,
    ) -> Anatomy:
        """Anatomy of the table with some figures replaced.

        Args:
            overrides: SI values by place and quantity: ``{"L3": {"sac_ap": 0.013}, "L3/L4": {"recess_depth": 0.004}}``.
            table: a level table in the format of ``data/levels.csv``; that one by default.

        Raises:
            AnatomyError: unreadable table, unknown place or quantity, or figures that cannot be (nesting).
        """
        levels, figures, sources = read_levels(Path(table) if table is not None else DATA / "levels.csv")
        interspace_figures, interspace_sources = read_interspaces()
        for place in interspaces_of(levels):
            for name in INTERSPACE_QUANTITIES:
                if (place, name) not in interspace_figures:
                    raise AnatomyError(f"{place}: levels are not consecutive in the anatomy table")
                figures[place, name] = interspace_figures[place, name]
                sources[place, name] = interspace_sources[place, name]
        shape, shape_sources = read_shape()
        sources.update(shape_sources)
        tabulated = dict(figures)
        _apply(overrides or {}, levels, figures, sources)
        replaced = {
            (place, name): tabulated[place, name] for place, names in (overrides or {}).items() for name in names
        }
        anatomy = cls(levels, figures, sources, shape, read_dorsal_csf(), replaced)
        check_figures(anatomy)
        anatomy.sections.check_nesting()
        return anatomy

    def value(self, place: str, quantity: str) -> float:
        """One figure (SI); NaN where the anatomy has none."""
        try:
            return self.figures[place, quantity]
        except KeyError:
            raise AnatomyError(f"{place}: the anatomy has no {quantity}") from None

    def column(self, quantity: str) -> FloatArray:
        """A quantity over all levels (n,), or all interspaces (n-1,), cranial to caudal."""
        places = self.interspaces if quantity in INTERSPACE_QUANTITIES else self.levels
        return np.array([self.value(place, quantity) for place in places])

    @property
    def interspaces(self) -> tuple[str, ...]:
        """Names of the interspaces, cranial to caudal ("C2/C3", ...)."""
        return interspaces_of(self.levels)

    @cached_property
    def level_bounds(self) -> FloatArray:
        """Caudal and cranial border of each level, (n, 2), m."""
        lengths = self.column("segment_length")
        caudal = np.concatenate([np.cumsum(lengths[::-1])[::-1][1:], [0.0]])
        return np.column_stack([caudal, caudal + lengths])

    @property
    def length(self) -> float:
        """Height of the cranial end above the caudal end, m."""
        return float(self.level_bounds[0, 1])

    def level_z(self, level: str) -> float:
        """Height of a level's pedicle plane (its middle), m."""
        return float(self.level_bounds[self._level_index(level)].mean())

    def interspace_z(self, interspace: str) -> float:
        """Height of an interspace, the border of its two levels, m."""
        return float(self.level_bounds[self.interspace_index(interspace), 0])

    def interspace_index(self, interspace: str) -> int:
        """Index of an interspace, cranial to caudal."""
        if interspace not in self.interspaces:
            raise AnatomyError(f"interspace {interspace!r} is unknown{nearest(interspace, self.interspaces)}")
        return self.interspaces.index(interspace)

    def _level_index(self, level: str) -> int:
        if level not in self.levels:
            raise AnatomyError(f"level {level!r} is unknown{nearest(level, self.levels)}")
        return self.levels.index(level)

    def span_levels(self, span: tuple[str, str]) -> tuple[str, ...]:
        """Levels from the first to the last of a span, cranial to caudal."""
        first, last = (self._level_index(level) for level in span)
        if first > last:
            raise AnatomyError(f"span {span[0]}-{span[1]} runs upwards; name the cranial level first")
        return self.levels[first : last + 1]

    def overridden_beside(self, span: tuple[str, str], height: float | None = None) -> list[tuple[str, str]]:
        """Overridden figures (place, quantity) that shape a span, or the levels of it around a height (m)."""
        levels = self.span_levels(span)
        if height is not None:
            at = int(np.argmax(self.level_bounds[:, 0] <= height))
            levels = tuple(level for level in levels if abs(self.levels.index(level) - at) <= 1)
        return [key for key in self.replaced if set(key[0].split("/")) & set(levels)]

    def span_bounds(self, span: tuple[str, str]) -> tuple[float, float]:
        """Caudal and cranial end of a span, m."""
        levels = self.span_levels(span)
        first, last = self.levels.index(levels[0]), self.levels.index(levels[-1])
        return float(self.level_bounds[last, 0]), float(self.level_bounds[first, 1])

    def window(self, interspaces: Iterable[str], segments: int = 6) -> tuple[str, str]:
        """Span that reaches ``segments`` levels to each side of every interspace, ended by the anatomy."""
        indices = [self.interspace_index(name) for name in interspaces]
        if not indices:
            raise AnatomyError("a window needs at least one interspace")
        if segments < 1:
            raise AnatomyError(f"a window of {segments} segments is empty")
        first = max(min(indices) - segments + 1, 0)
        last = min(max(indices) + segments, len(self.levels) - 1)
        return self.levels[first], self.levels[last]

    @property
    def conus_z(self) -> float:
        """Height of the tip of the conus, m; above the anatomy if it ends caudal to the conus."""
        if CONUS_INTERSPACE in self.interspaces:
            return self.interspace_z(CONUS_INTERSPACE) + self.shape.conus_offset
        return math.inf if math.isnan(self.value(self.levels[0], "cord_ap")) else -math.inf

    @property
    def sac_end_z(self) -> float:
        """Height at which the sac ends, m; below the anatomy if that ends cranial to it."""
        if SAC_END_LEVEL not in self.levels:
            return -math.inf
        caudal, cranial = self.level_bounds[self.levels.index(SAC_END_LEVEL)]
        return float(cranial - self.shape.sac_end_share * (cranial - caudal))

    @cached_property
    def sections(self) -> Sections:
        """Cross-sections of this anatomy."""
        from .sections import Sections

        return Sections(self)

    def needle_tip(
        self, interspace: str, approach: str = "interlaminar", side: str = "midline", offset: float = 0.0
    ) -> Landmark:
        """Place of a needle tip; see :func:`geometry.landmarks.anatomical_tip`."""
        from .landmarks import anatomical_tip

        return anatomical_tip(self, interspace, approach, side, offset)


def _apply(
    overrides: Mapping[str, Mapping[str, float]], levels: tuple[str, ...], figures: Figures, sources: Sources
) -> None:
    interspaces = interspaces_of(levels)
    for place, quantities in overrides.items():
        if place not in levels and place not in interspaces:
            raise AnatomyError(f"level {place!r} is unknown{nearest(place, (*levels, *interspaces))}")
        known = LEVEL_QUANTITIES if place in levels else INTERSPACE_QUANTITIES
        before = {name: figures[place, name] for name in known}
        for name, value in quantities.items():
            if name not in known:
                raise AnatomyError(f"{place}: quantity {name!r} is unknown{nearest(name, known)}")
            if not math.isfinite(value):
                raise AnatomyError(f"{place}: {name} is {value}, it must be positive and finite")
            if name in ("cord_ap", "cord_trans") and math.isnan(figures[place, name]):
                raise AnatomyError(f"{place}: {name} cannot be set, the cord ends above")
            figures[place, name] = float(value)
            sources[place, name] = Provenance("override", "given with the case")
        if "canal_area" not in quantities and place in levels and {"canal_ap", "canal_trans"} & set(quantities):
            # A trefoil keeps its form when only its diameters are given.
            ratio = figures[place, "canal_ap"] * figures[place, "canal_trans"]
            figures[place, "canal_area"] *= ratio / (before["canal_ap"] * before["canal_trans"])

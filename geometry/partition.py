"""Slabs and subregions of a mesh of which only the regions are known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray
from .build import slab_of
from .quality import cell_volumes
from .regions import Region, Subregion
from .tables import read_shape

SLAB_LENGTH = 3.0e-3
"""Axial length (m) of a slab, if no slab stays empty with it."""
_TOUCH = 1.0e-3
"""Overlap (m) that does not count: foramina are seldom bounded by planes, and wider outside than at their mouths."""
_SPLITS = 2
"""How often cells are split in eight to share their volume among slabs."""


@dataclass(frozen=True, eq=False)
class Partition:
    """Where cells lie about the axis of the sac.

    Attributes:
        points (n, 3), cells (m, 4), region (m,): the mesh.
        foramina: facets (f, 3) of each foramen by surface name.
    """

    points: FloatArray
    cells: IntArray
    region: IntArray
    foramina: dict[str, IntArray]

    @cached_property
    def centroids(self) -> FloatArray:
        """Centroids of the cells, (m, 3)."""
        return np.asarray(self.points[self.cells].mean(axis=1))

    @cached_property
    def slab_edges(self) -> FloatArray:
        """Equal slabs, none without cells of canal and sac, (k+1,)."""
        low, high = float(self.points[:, 2].min()), float(self.points[:, 2].max())
        for count in range(max(1, round((high - low) / SLAB_LENGTH)), 0, -1):
            edges = np.linspace(low, high, count + 1)
            if len(np.unique(slab_of(self.centroids[:, 2], edges))) == count:
                break
        return edges

    @cached_property
    def _middle(self) -> FloatArray:
        return 0.5 * (self.slab_edges[1:] + self.slab_edges[:-1])

    @cached_property
    def _slab(self) -> IntArray:
        return slab_of(self.centroids[:, 2], self.slab_edges)

    def _beside_foramina(self, low: FloatArray, high: FloatArray) -> BoolArray:
        """Whether the intervals from ``low`` to ``high`` meet the axial extent of a foramen."""
        inside = np.zeros(len(low), dtype=bool)
        for facets in self.foramina.values():
            heights = self.points[facets][:, :, 2]
            inside |= (high >= heights.min()) & (low <= heights.max())
        return inside

    @cached_property
    def _cells_beside_foramina(self) -> BoolArray:
        z = self.centroids[:, 2]
        return self._beside_foramina(z, z)

    def _extent(self, mask: BoolArray, axis: int) -> tuple[FloatArray, FloatArray]:
        """Least and largest coordinate of the masked cells in each slab, NaN without cells, (k,) each."""
        least, largest = np.full(len(self._middle), np.inf), np.full(len(self._middle), -np.inf)
        values = self.points[self.cells[mask]][:, :, axis]
        np.minimum.at(least, self._slab[mask], values.min(axis=1))
        np.maximum.at(largest, self._slab[mask], values.max(axis=1))
        empty = ~np.isfinite(least)
        least[empty], largest[empty] = np.nan, np.nan
        return least, largest

    def _profile(self, values: FloatArray, usable: BoolArray) -> FloatArray:
        """A slab's value from the usable slabs, interpolated, at every cell's height, (m,)."""
        good = usable & np.isfinite(values)
        if not good.any():
            good = np.isfinite(values)
        return np.interp(self.centroids[:, 2], self._middle[good], values[good])

    @cached_property
    def _axes(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Centre (x, y) and semi-axes of the sac, half width of the canal, at every cell's height."""
        in_sac = self.region != Region.EPIDURAL
        # Cells reach beyond the slab that holds their centroid.
        corner_z = self.points[self.cells][:, :, 2]
        low, high = self.slab_edges[:-1].copy(), self.slab_edges[1:].copy()
        np.minimum.at(low, self._slab, corner_z.min(axis=1))
        np.maximum.at(high, self._slab, corner_z.max(axis=1))
        away = ~self._beside_foramina(low + _TOUCH, high - _TOUCH)
        everywhere = np.ones_like(away)
        x_low, x_high = self._extent(in_sac, 0)
        y_low, y_high = self._extent(in_sac, 1)
        canal_low, canal_high = self._extent(np.ones(len(self.cells), dtype=bool), 0)
        # Sleeves and stubs widen sac and canal beside the foramina, only leftwards and rightwards.
        return (
            self._profile(0.5 * (x_low + x_high), away),
            self._profile(0.5 * (y_low + y_high), everywhere),
            self._profile(0.5 * (x_high - x_low), away),
            self._profile(0.5 * (y_high - y_low), everywhere),
            self._profile(0.5 * (canal_high - canal_low), away),
        )

    @cached_property
    def _outside_canal(self) -> BoolArray:
        """Cells of the foraminal stubs, their sleeves included."""
        x, _, _, _, half_width = self._axes
        beside = self._cells_beside_foramina
        return np.asarray(beside & (np.abs(self.centroids[:, 0] - x) > half_width))

    def subregions(self) -> IntArray:
        """Subregion of every cell, (m,)."""
        shape, _ = read_shape()
        x, y, wide, deep, _ = self._axes
        across, along = (self.centroids[:, 0] - x) / wide, (self.centroids[:, 1] - y) / deep
        sine = along / np.maximum(np.hypot(across, along), 1e-300)
        bound = np.sin(shape.lateral_half_angle)
        side = np.where(across > 0.0, Subregion.LATERAL_LEFT, Subregion.LATERAL_RIGHT)
        sector = np.where(sine > bound, Subregion.VENTRAL, np.where(sine < -bound, Subregion.DORSAL, side))
        out = np.where(self._outside_canal, Subregion.FORAMINAL, sector)
        sleeve = self._cells_beside_foramina & (np.abs(across) > 1.0)
        subarachnoid = np.where(sleeve, Subregion.SLEEVE, Subregion.THECAL)
        out = np.where(self.region == Region.SUBARACHNOID, subarachnoid, out)
        return np.asarray(np.where(self.region == Region.CORD, Subregion.CORD, out))

    def canal_area(self) -> FloatArray:
        """Mean area of the canal without stubs in every slab, (k,)."""
        inside = ~self._outside_canal
        volumes = cell_volumes(self.points, self.cells)[inside]
        corner_z = self.points[self.cells[inside]][:, :, 2]
        parts = _equal_parts(_SPLITS)
        heights = corner_z @ parts.T
        share = np.repeat(volumes / len(parts), len(parts))
        slab = slab_of(heights.ravel(), self.slab_edges)
        total = np.bincount(slab, weights=share, minlength=len(self._middle))
        return np.asarray(total / np.diff(self.slab_edges))


def _equal_parts(splits: int) -> FloatArray:
    """Barycentric centroids of the 8^splits equal parts of a tetrahedron, (8^splits, 4)."""
    parts = np.eye(4)[None]
    for _ in range(splits):
        finer = []
        for a, b, c, d in parts:
            ab, ac, ad, bc, bd, cd = (0.5 * (p + q) for p, q in ((a, b), (a, c), (a, d), (b, c), (b, d), (c, d)))
            finer += [(a, ab, ac, ad), (ab, b, bc, bd), (ac, bc, c, cd), (ad, bd, cd, d)]
            finer += [(ab, ac, ad, bd), (ab, ac, bc, bd), (ac, ad, bd, cd), (ac, bc, bd, cd)]
        parts = np.array(finer)
    return np.asarray(parts.mean(axis=1))

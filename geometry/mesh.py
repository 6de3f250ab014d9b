"""The mesh of the spinal canal as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .arrays import FloatArray, IntArray
from .quality import (
    PERCENTILES,
    QualityReport,
    cell_volumes,
    dihedral_angles,
    mean_ratio,
)
from .regions import Region, Subregion
from .surfaces import FORAMEN_PREFIX

if TYPE_CHECKING:
    from .anatomy import Anatomy
    from .landmarks import Landmark


MIRROR_TOLERANCE = 1e-9
"""Places closer than this are mirror images of each other [m]."""


@dataclass(frozen=True)
class Continuation:
    """What a window leaves out beyond one of its ends; all zero at the end of the anatomy.

    Attributes:
        epidural_length: length of canal left out, m; epidural_area: its mean epidural area, m2.
        sac_length: length of sac left out, m.
        foramina: number of foramina left out, both sides counted.
    """

    epidural_length: float = 0.0
    epidural_area: float = 0.0
    sac_length: float = 0.0
    foramina: int = 0


@dataclass(frozen=True, eq=False)
class SpineMesh:
    """Tetrahedral mesh of the canal; n points, m cells, f facets, k slabs. Metres; x left, y anterior, z cranial.

    Attributes:
        points: (n, 3) float64. cells: (m, 4) int64, positive volume.
        region: (m,) int8, :class:`Region`. subregion: (m,) int8, :class:`Subregion`.
        slab: (m,) int32, index of the axial interval of the cell (stub cells: by their middle).
        slab_edges: (k+1,) heights, ascending.
        level: (m,) int8, index into ``levels``, which run from cranial to caudal; that of the cell's slab.
        facets: (f, 3) int64 with ``facet_tag`` (f,) int32, each facet once; every boundary facet is among them, and
            the interior facets of dura and pia.
        surfaces: tag by name: dura, pia, bone, cut_cranial_epidural, ..., foramen_L3L4_left, ...
        canal_area: (k,) mean reference area of the canal in each slab without the stubs, m2.
        sac_closed: whether the sac ends inside the mesh.
        continuation: what the window leaves out, by "cranial" and "caudal".
        anatomy: what the mesh was made from; None for a mesh of the user's own.
        span: first and last level.
        interspace_z: height of each interspace inside the mesh, m.
        tips: needle tips found before a mesh of the user's own was refined around them; they stay where they were.
    """

    points: FloatArray
    cells: IntArray
    region: IntArray
    subregion: IntArray
    slab: IntArray
    slab_edges: FloatArray
    level: IntArray
    levels: tuple[str, ...]
    facets: IntArray
    facet_tag: IntArray
    surfaces: dict[str, int]
    canal_area: FloatArray
    sac_closed: bool
    continuation: dict[str, Continuation]
    anatomy: Anatomy | None
    span: tuple[str, str]
    interspace_z: dict[str, float]
    tips: tuple[Landmark, ...] = ()

    @cached_property
    def volumes(self) -> FloatArray:
        """Cell volumes, m3, (m,)."""
        return cell_volumes(self.points, self.cells)

    @property
    def foramina(self) -> list[str]:
        """Surface names of the foramina, cranial to caudal, left before right."""
        order = {name.replace("/", ""): index for index, name in enumerate(self.interspace_z)}
        names = [name for name in self.surfaces if name.startswith(FORAMEN_PREFIX)]
        return sorted(names, key=lambda name: (order.get(name.split("_")[1], len(order)), name))

    def region_volumes(self) -> dict[Region, float]:
        """Volume of each region, m3."""
        return {member: float(self.volumes[self.region == member].sum()) for member in Region}

    def subregion_volumes(self) -> dict[Subregion, float]:
        """Volume of each subregion, m3."""
        return {member: float(self.volumes[self.subregion == member].sum()) for member in Subregion}

    def surface_area(self, name: str) -> float:
        """Area of a named surface, m2."""
        corner = self.points[self.facets[self.facet_tag == self.surfaces[name]]]
        cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        return float(0.5 * np.linalg.norm(cross, axis=1).sum())

    def quality(self) -> QualityReport:
        """Quality of the cells."""
        ratio = mean_ratio(self.points, self.cells)
        worst = int(np.argmin(ratio))
        x, y, z = (float(v) for v in self.points[self.cells[worst]].mean(axis=0))
        return QualityReport(
            measure="mean ratio",
            minimum=float(ratio[worst]),
            percentiles={p: float(np.percentile(ratio, p)) for p in PERCENTILES},
            worst_point=(x, y, z),
            least_volume=float(self.volumes.min()),
            largest_dihedral=float(dihedral_angles(self.points, self.cells).max()),
        )

    def needle_tip(
        self, interspace: str, approach: str = "interlaminar", side: str = "midline", offset: float = 0.0
    ) -> Landmark:
        """Place of a needle tip, from the anatomy where there is one, else from the mesh itself."""
        from .landmarks import mesh_tip

        if self.anatomy is not None:
            return self.anatomy.needle_tip(interspace, approach, side, offset)
        for tip in self.tips:
            if (tip.interspace, tip.approach, tip.side, tip.offset) == (interspace, approach, side, offset):
                return tip
        return mesh_tip(self, interspace, approach, side, offset)

    def transformed(self, rotation: FloatArray, translation: FloatArray) -> SpineMesh:
        """Rigidly moved copy; only points change, so heights of slabs and levels no longer apply. For tests."""
        if not np.isclose(np.linalg.det(rotation), 1.0):
            raise ValueError("rotation must be proper; see mirrored()")
        return replace(self, points=self.points @ np.asarray(rotation).T + np.asarray(translation))

    @cached_property
    def left_half(self) -> IntArray | None:
        """Cells left of the midsagittal plane, (m/2,), where the mesh is its own mirror image; None where it is not."""
        points = np.round(self.points / MIRROR_TOLERANCE).astype(np.int64)
        order, back = np.lexsort(points.T), np.lexsort((points * [-1, 1, 1]).T)
        image = np.empty(len(points), dtype=np.int64)
        image[back] = order
        if not np.array_equal(points[order], (points * [-1, 1, 1])[back]):
            return None
        side = np.sign(points[:, 0])[self.cells]
        if np.any((side.min(axis=1) < 0) & (side.max(axis=1) > 0)):
            return None
        other = self.mirrored()
        here = np.column_stack([np.sort(self.cells, axis=1), self.region, self.subregion, self.slab])
        there = np.column_stack([np.sort(image[other.cells], axis=1), other.region, other.subregion, other.slab])
        if not np.array_equal(here[np.lexsort(here.T)], there[np.lexsort(there.T)]):
            return None
        return np.flatnonzero(side.max(axis=1) > 0)

    def mirrored(self) -> SpineMesh:
        """Mirror image in the midsagittal plane, left and right exchanged. For tests."""
        swap = mirror_subregions()
        other = {"left": "right", "right": "left"}
        surfaces = {}
        for name, tag in self.surfaces.items():
            head, _, side = name.rpartition("_")
            mirrored = f"{head}_{other[side]}" if name.startswith(FORAMEN_PREFIX) else name
            surfaces[mirrored] = tag
        return replace(
            self,
            points=self.points * np.array([-1.0, 1.0, 1.0]),
            cells=self.cells[:, [0, 1, 3, 2]],
            subregion=swap[self.subregion].astype(np.int8),
            surfaces=surfaces,
        )


def mirror_subregions() -> IntArray:
    """Subregion of the mirror image by subregion."""
    swap = np.arange(max(Subregion) + 1)
    swap[[Subregion.LATERAL_LEFT, Subregion.LATERAL_RIGHT]] = [Subregion.LATERAL_RIGHT, Subregion.LATERAL_LEFT]
    return swap

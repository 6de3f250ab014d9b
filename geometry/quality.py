"""Cell volumes, cell quality and the limits below which a mesh is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import FloatArray, IntArray
from .errors import MeshError

LEAST_QUALITY = 0.01
"""Smallest mean ratio that is accepted. Layers across a thin gap are anisotropic by design; slivers are far below."""
LEAST_VOLUME = 1e-13
"""Smallest cell volume (m3) that is accepted: an edge of about 0.1 mm."""
PERCENTILES = (1.0, 5.0, 50.0)


@dataclass(frozen=True)
class QualityReport:
    """Quality of a mesh by mean ratio, 12 (3 V)^(2/3) / sum of squared edges: 1 regular, 0 flat.

    Attributes:
        measure: name of the measure.
        minimum: smallest value.
        percentiles: value by percentile.
        worst_point: centroid of the worst cell, m.
        least_volume: smallest cell volume, m3.
        largest_dihedral: largest dihedral angle (rad); slivers are near pi.
    """

    measure: str
    minimum: float
    percentiles: dict[float, float]
    worst_point: tuple[float, float, float]
    least_volume: float
    largest_dihedral: float


def cell_volumes(points: FloatArray, cells: IntArray) -> FloatArray:
    """Signed volumes of tetrahedra (m3), (m,)."""
    corner = points[cells]
    edges = corner[:, 1:] - corner[:, :1]
    volumes: FloatArray = np.einsum("ij,ij->i", edges[:, 0], np.cross(edges[:, 1], edges[:, 2])) / 6.0
    return volumes


def mean_ratio(points: FloatArray, cells: IntArray) -> FloatArray:
    """Mean ratio of tetrahedra (Liu & Joe 1994, doi:10.1007/BF01934991), (m,)."""
    corner = points[cells]
    squares = sum(((corner[:, i] - corner[:, j]) ** 2).sum(axis=1) for i in range(4) for j in range(i))
    volume = np.maximum(cell_volumes(points, cells), 0.0)
    ratio: FloatArray = 12.0 * (3.0 * volume) ** (2.0 / 3.0) / squares
    return ratio


def dihedral_angles(points: FloatArray, cells: IntArray) -> FloatArray:
    """Dihedral angles at the six edges (rad), (m, 6)."""
    corner = points[cells]
    faces = ((1, 3, 2), (0, 2, 3), (0, 3, 1), (0, 1, 2))
    normals = [np.cross(corner[:, b] - corner[:, a], corner[:, c] - corner[:, a]) for a, b, c in faces]
    units = [n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-300) for n in normals]
    cosines = [np.einsum("ij,ij->i", units[i], units[j]) for i in range(4) for j in range(i)]
    angles: FloatArray = np.pi - np.arccos(np.clip(np.stack(cosines, axis=1), -1.0, 1.0))
    return angles


def check_cells(points: FloatArray, cells: IntArray, least_quality: float = LEAST_QUALITY) -> None:
    """Raise MeshError for non-finite points, inverted, tiny or badly shaped cells."""
    if not np.isfinite(points).all():
        raise MeshError("mesh has points that are not finite")
    volumes = cell_volumes(points, cells)
    worst = int(np.argmin(volumes))
    if volumes[worst] < LEAST_VOLUME:
        state = "inverted" if volumes[worst] < 0.0 else "too small"
        raise MeshError(
            f"cell {worst} is {state}: volume {1e9 * volumes[worst]:.3g} mm3 at {_place(points, cells, worst)}",
            height=float(points[cells[worst], 2].mean()),
        )
    quality = mean_ratio(points, cells)
    worst = int(np.argmin(quality))
    if quality[worst] < least_quality:
        raise MeshError(
            f"cell {worst} is badly shaped: mean ratio {quality[worst]:.2g}, least {least_quality:g}, "
            f"at {_place(points, cells, worst)}",
            height=float(points[cells[worst], 2].mean()),
        )


def _place(points: FloatArray, cells: IntArray, cell: int) -> str:
    x, y, z = 1e3 * points[cells[cell]].mean(axis=0)
    return f"({x:.1f}, {y:.1f}, {z:.1f}) mm"

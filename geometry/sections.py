"""Cross-sections of cord, sac and canal at any height.

Outlines are curves over the parametric angle t of the sac's ellipse: t = 0 left, pi/2 anterior (ventral), -pi/2 dorsal.
Every outline maps the same t, so rings between outlines are obtained by straight lines of constant t.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from .arrays import FloatArray
from .errors import AnatomyError
from .limits import mm

if TYPE_CHECKING:
    from .anatomy import Anatomy


DORSAL_ANGLE = -0.5 * np.pi
ANALYTIC_DIVISIONS = 720
"""Points of the polygon that stands for the exact outline when areas are taken."""
CHECK_STEP = 1e-3
"""Axial step (m) at which nesting is checked between levels."""
LOBE_POWERS = (0.2, 400.0)
"""Widest and narrowest lobe of a trefoil: power of |cos t| and |sin t|."""


def polygon_area(points: FloatArray) -> FloatArray:
    """Signed area of closed polygons, (..., n, 2) to (...)."""
    x, y = points[..., 0], points[..., 1]
    following = (np.roll(x, -1, axis=-1), np.roll(y, -1, axis=-1))
    area: FloatArray = 0.5 * np.sum(x * following[1] - following[0] * y, axis=-1)
    return area


class Sections:
    """Outlines of one anatomy. Arrays over heights z (k,) and angles t (n,) have shape (k, n, 2), metres."""

    def __init__(self, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self.shape = anatomy.shape
        self._z = anatomy.level_bounds.mean(axis=1)[::-1]
        self._sac = PchipInterpolator(
            self._z, 0.5 * np.column_stack([anatomy.column("sac_trans"), anatomy.column("sac_ap")])[::-1]
        )
        self._cord = self._cord_axes()
        self._eccentricity = self._cord_eccentricity()
        self._powers = self._lobe_powers()

    # --- sac -----------------------------------------------------------------------------------------------------

    def sac_axes(self, z: FloatArray) -> FloatArray:
        """Left-right and AP semi-axes of the sac as if it had no end, (k, 2)."""
        axes: FloatArray = self._sac(np.clip(z, self._z[0], self._z[-1]))
        return axes

    def sac_scale(self, z: FloatArray) -> FloatArray:
        """Width over tabulated width: 1, falling to the tip ratio at the end of the sac, (k,).

        Below the end the meshing core widens again, so that its cells are not needles.
        """
        if not np.isfinite(self.anatomy.sac_end_z):
            return np.ones_like(z)
        away = np.clip(np.abs(z - self.anatomy.sac_end_z) / self.shape.sac_tip_length, 0.0, 1.0)
        return self.shape.sac_tip_ratio + (1.0 - self.shape.sac_tip_ratio) * away

    def sac(self, z: FloatArray, t: FloatArray) -> FloatArray:
        """Outline of the sac; below its end, of the meshing core that continues it."""
        axes = self.sac_axes(z) * self.sac_scale(z)[:, None]
        return _ellipse(axes, t)

    # --- cord ----------------------------------------------------------------------------------------------------

    def _cord_axes(self) -> PchipInterpolator | None:
        anatomy = self.anatomy
        axes = 0.5 * np.column_stack([anatomy.column("cord_trans"), anatomy.column("cord_ap")])
        has_cord = np.isfinite(axes).all(axis=1)
        if not has_cord.any():
            return None
        z, axes = anatomy.level_bounds.mean(axis=1)[has_cord], axes[has_cord]
        if np.isfinite(anatomy.conus_z):
            z = np.append(z, anatomy.conus_z)
            axes = np.vstack([axes, np.full(2, 0.5 * self.shape.conus_cap)])
        if len(z) == 1:
            z, axes = np.append(z, z[0] - 1.0), np.vstack([axes, axes])
        return PchipInterpolator(z[::-1], axes[::-1])

    def _cord_eccentricity(self) -> PchipInterpolator:
        """Ventral shift of the cord over its room for it, from the thickness of dorsal CSF where measured."""
        anatomy = self.anatomy
        z, shift = [], []
        for level, dorsal in anatomy.dorsal_csf.items():
            if level not in anatomy.levels:
                continue
            room = 0.5 * (anatomy.value(level, "sac_ap") - anatomy.value(level, "cord_ap"))
            z.append(anatomy.level_z(level))
            # Room is NaN where a table has no cord.
            shift.append(np.clip((dorsal - room) / room, -1.0, 1.0) if np.isfinite(dorsal) and room > 0.0 else 0.0)
        if len(z) < 2:
            z, shift = [0.0, 1.0], [0.0, 0.0]
        return PchipInterpolator(z[::-1] if z[0] > z[-1] else z, shift[::-1] if z[0] > z[-1] else shift)

    def cord_axes(self, z: FloatArray) -> FloatArray:
        """Semi-axes of the cord; below the conus, of the meshing core that continues it, (k, 2)."""
        core = self.shape.core_ratio * self.sac_axes(z) * self.sac_scale(z)[:, None]
        if self._cord is None:
            return core
        cord: FloatArray = self._cord(np.clip(z, self._cord.x[0], self._cord.x[-1]))
        below = np.clip((self.anatomy.conus_z - z) / self.shape.core_growth_length, 0.0, 1.0)[:, None]
        return (1.0 - below) * cord + below * core

    def cord_shift(self, z: FloatArray) -> FloatArray:
        """Ventral shift of the cord's centre from the sac's, (k,)."""
        knots = self._eccentricity.x
        share = np.where((z < knots[0]) | (z > knots[-1]), 0.0, self._eccentricity(np.clip(z, knots[0], knots[-1])))
        room = self.sac_axes(z)[:, 1] * self.sac_scale(z) - self.cord_axes(z)[:, 1]
        limit = np.maximum(room - self.shape.least_clearance, 0.0)
        shift: FloatArray = np.clip(share * room, -limit, limit)
        return shift

    def cord(self, z: FloatArray, t: FloatArray) -> FloatArray:
        """Outline of the cord, or of the core below it."""
        outline = _ellipse(self.cord_axes(z), t)
        outline[..., 1] += self.cord_shift(z)[:, None]
        return outline

    # --- canal ---------------------------------------------------------------------------------------------------

    def _level_gap(self, index: int, t: FloatArray) -> FloatArray:
        """Epidural gap of one level along the sac's normals, (n,)."""
        power = float(self._powers[index])
        return self._elliptic_gap(index, t) if np.isnan(power) else self._trefoil_gap(index, t, power)

    def _trefoil_gap(self, index: int, t: FloatArray, power: float) -> FloatArray:
        """A floor with lobes to both sides, ventrally and dorsally; a higher power makes them narrower."""
        left_right, ventral, dorsal = self._surplus(index)
        floor = self.shape.gap_floor
        ap = np.where(np.sin(t) > 0.0, ventral, dorsal)
        lobes = (left_right - floor) * np.abs(np.cos(t)) ** power + (ap - floor) * np.abs(np.sin(t)) ** power
        return floor + lobes

    def _surplus(self, index: int) -> tuple[float, float, float]:
        """What the canal is wider than the sac: to each side, ventrally, dorsally."""
        anatomy, level = self.anatomy, self.anatomy.levels[index]
        wide = 0.5 * (anatomy.value(level, "canal_trans") - anatomy.value(level, "sac_trans"))
        deep = anatomy.value(level, "canal_ap") - anatomy.value(level, "sac_ap")
        return wide, self.shape.ventral_share * deep, (1.0 - self.shape.ventral_share) * deep

    def _elliptic_gap(self, index: int, t: FloatArray) -> FloatArray:
        """Distance along the sac's normal to the canal's ellipse."""
        anatomy, level = self.anatomy, self.anatomy.levels[index]
        semi = 0.5 * np.array([anatomy.value(level, "canal_trans"), anatomy.value(level, "canal_ap")])
        sac = 0.5 * np.array([[anatomy.value(level, "sac_trans"), anatomy.value(level, "sac_ap")]])
        _, ventral, dorsal = self._surplus(index)
        start = (_ellipse(sac, t)[0] - np.array([0.0, 0.5 * (ventral - dorsal)])) / semi
        ray = _normals(sac, t)[0] / semi
        a, b, c = (ray**2).sum(axis=1), (start * ray).sum(axis=1), (start**2).sum(axis=1) - 1.0
        gap: FloatArray = (-b + np.sqrt(b * b - a * c)) / a
        return gap

    def _lobe_powers(self) -> FloatArray:
        """Power of each trefoil level's lobes for which the canal has its tabulated area; NaN for ellipses."""
        anatomy = self.anatomy
        powers = np.full(len(anatomy.levels), np.nan)
        t = analytic_angles()
        for index, area in enumerate(anatomy.column("canal_area")):
            if np.isnan(area):
                continue
            level = anatomy.levels[index]
            axes = 0.5 * np.array([[anatomy.value(level, "sac_trans"), anatomy.value(level, "sac_ap")]])

            def excess(power: float, index: int = index, area: float = area, axes: FloatArray = axes) -> float:
                gap = self._trefoil_gap(index, t, power)
                return float(polygon_area(_ellipse(axes, t)[0] + gap[:, None] * _normals(axes, t)[0])) - area

            most, least = (excess(power) + area for power in LOBE_POWERS)
            if not least < area < most:
                raise AnatomyError(
                    f"{level}: canal area {1e6 * area:.0f} mm2 does not fit its diameters, "
                    f"{self._diameters(level, 'canal')}, and the sac, {self._diameters(level, 'sac')}; "
                    f"between {1e6 * least:.0f} and {1e6 * most:.0f} mm2 is possible"
                )
            powers[index] = brentq(excess, *LOBE_POWERS)
        return powers

    def _diameters(self, level: str, part: str) -> str:
        return f"{mm(self.anatomy.value(level, f'{part}_trans'))} by {mm(self.anatomy.value(level, f'{part}_ap'))}"

    def gap(self, z: FloatArray, t: FloatArray) -> FloatArray:
        """Epidural gap along the sac's normals without the interlaminar recess, (k, n)."""
        levels = np.array([self._level_gap(index, t) for index in range(len(self.anatomy.levels))])
        interpolated: FloatArray = PchipInterpolator(self._z, levels[::-1])(np.clip(z, self._z[0], self._z[-1]))
        return interpolated

    def recess(self, z: FloatArray, t: FloatArray) -> FloatArray:
        """Depth that the interlaminar recess adds dorsally, (k, n): largest at the interspace, 0 at the pedicles."""
        anatomy, shape = self.anatomy, self.shape
        depth = np.zeros_like(z)
        for index, name in enumerate(anatomy.interspaces):
            centre = anatomy.interspace_z(name)
            up, down = (0.5 * float(np.diff(anatomy.level_bounds[i])[0]) for i in (index, index + 1))
            reach = shape.recess_axial_share * np.where(z > centre, up, down)
            depth += anatomy.value(name, "recess_depth") * _hump((z - centre) / reach)
        from_midline = np.abs((t - DORSAL_ANGLE + np.pi) % (2.0 * np.pi) - np.pi)
        return depth[:, None] * _hump(from_midline / shape.recess_half_angle)[None, :]

    def offset(self, z: FloatArray, t: FloatArray) -> FloatArray:
        """Vector from the sac (as if it had no end) to the wall of the canal, (k, n, 2)."""
        offset = self.gap(z, t)[..., None] * _normals(self.sac_axes(z), t)
        offset[..., 1] -= self.recess(z, t)
        return offset

    def wall(self, z: FloatArray, t: FloatArray) -> FloatArray:
        """Outline of the bony canal, foramina closed."""
        return _ellipse(self.sac_axes(z), t) + self.offset(z, t)

    # --- areas ---------------------------------------------------------------------------------------------------

    def canal_area(self, z: FloatArray) -> FloatArray:
        """Area inside the wall (m2), (k,)."""
        return polygon_area(self.wall(z, analytic_angles()))

    def sac_area(self, z: FloatArray) -> FloatArray:
        """Area of the sac (m2), 0 below its end."""
        area: FloatArray = np.pi * self.sac_axes(z).prod(axis=1) * self.sac_scale(z) ** 2
        return np.where(z >= self.anatomy.sac_end_z, area, 0.0)

    def cord_area(self, z: FloatArray) -> FloatArray:
        """Area of the cord (m2), 0 below the conus."""
        area: FloatArray = np.pi * self.cord_axes(z).prod(axis=1)
        return np.where(z >= self.anatomy.conus_z, area, 0.0)

    # --- nesting -------------------------------------------------------------------------------------------------

    def check_nesting(self) -> None:
        """Raise AnatomyError where cord, sac and canal do not nest between the levels."""
        anatomy = self.anatomy
        z = np.arange(CHECK_STEP, anatomy.length, CHECK_STEP)
        t = analytic_angles()
        gap = self.gap(z, t).min(axis=1)
        axes = self.sac_axes(z) * self.sac_scale(z)[:, None]
        cord = self.cord(z, t)
        # Distance from the cord to the sac along the cord's own angle; the ellipse's implicit function tells inside.
        inside = 1.0 - np.linalg.norm(cord / axes[:, None, :], axis=2).max(axis=1)
        for index in np.flatnonzero((gap < 0.999 * self.shape.gap_floor) | (inside <= 0.0)):
            level = anatomy.levels[int(np.argmax(anatomy.level_bounds[:, 0] <= z[index]))]
            if inside[index] <= 0.0:
                here = z[index : index + 1]
                wide, deep = 2.0 * self.cord_axes(here)[0]
                raise AnatomyError(
                    f"{level}: cord {mm(wide)} by {mm(deep)}, {mm(abs(self.cord_shift(here)[0]))} off the middle, does "
                    f"not fit the sac, {mm(2.0 * axes[index, 0])} by {mm(2.0 * axes[index, 1])}, "
                    f"{1e3 * z[index]:.0f} mm above the end"
                )
            sac, canal = self._diameters(level, "sac"), self._diameters(level, "canal")
            raise AnatomyError(
                f"{level}: sac {sac} leaves an epidural gap of {1e3 * gap[index]:.2f} mm in the canal, {canal}; "
                f"at least {1e3 * self.shape.gap_floor:.2f} mm is needed"
            )


def analytic_angles() -> FloatArray:
    """Angles of the polygon that stands for the exact outline."""
    return np.arange(ANALYTIC_DIVISIONS) * (2.0 * np.pi / ANALYTIC_DIVISIONS)


def _ellipse(axes: FloatArray, t: FloatArray) -> FloatArray:
    return axes[:, None, :] * np.column_stack([np.cos(t), np.sin(t)])[None]


def _normals(axes: FloatArray, t: FloatArray) -> FloatArray:
    """Outward unit normals of ellipses at parametric angles."""
    normals = np.column_stack([np.cos(t), np.sin(t)])[None] / axes[:, None, :]
    unit: FloatArray = normals / np.linalg.norm(normals, axis=2, keepdims=True)
    return unit


def _hump(x: FloatArray) -> FloatArray:
    """Cosine squared from 1 at 0 to 0 at distance 1."""
    return np.where(np.abs(x) < 1.0, np.cos(0.5 * np.pi * x) ** 2, 0.0)

"""Fluid injected at a steady rate at a point of full space (Rudnicki).

    p = Q/(4 pi kappa r) erfc(e),   e = r/(2 sqrt(c t)),
    u_r = Q alpha/(8 pi kappa K_v) (erfc e + erf(e)/(2 e^2) - exp(-e^2)/(e sqrt(pi))).

Full space is symmetric about the point, so that a narrow spherical wedge is enough: no flow through its flanks, exact
values of displacement on its slanted flanks and of both fields on its outer face. Fluid enters in the first layer of
cells about the tip, of radius 3e-3 at 24 cells along the radius and less on finer meshes. Errors are taken beyond
a quarter of the radius. Radii are the square of equal spaces, and steps shrink with the square of the cells.

[1] J. W. Rudnicki 1986, Mech Mater 5:383, doi:10.1016/0167-6636(86)90042-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import erf, erfc

from fem.arrays import Array
from fem.forms import compile_form, integrate
from fem.laws.kinematics import SmallStrain
from fem.poro import PoroModel
from fem.setup import Drained, Fixed, Setup
from studies.verification.biot import COMPRESSIBLE, Biot
from studies.verification.meshes import mapped
from studies.verification.posing import ErrorNorm, Stepping, at
from studies.verification.problem import Check, Curve, Problem, Result

ANGLE = 0.125
"""Opening of the wedge in both angles [rad]."""

TIP = 1e-3
"""Radius at which it is cut off; flow past a sphere of this size differs from a point's by its square."""

NEAR = 0.25
"""Radius below which errors are not taken."""

TIMES = (0.2, 0.5)
"""Named times c t/L^2."""

STEPS = (40, 40)
"""Steps up to each of them at 24 cells along the radius."""

COARSE = 24


@dataclass(frozen=True)
class Rudnicki:
    """Exact solution, Q = 1."""

    medium: Biot

    def pressure(self, x: Array, time: float) -> Array:
        """Pressure at points; finite at the source itself."""
        r = np.maximum(np.linalg.norm(x, axis=0), 1e-12)
        return erfc(r / (2 * np.sqrt(self.medium.diffusivity * time))) / (4 * np.pi * self.medium.mobility * r)

    def displacement(self, x: Array, time: float) -> Array:
        """Displacement at points; it has no direction at the source."""
        r = np.maximum(np.linalg.norm(x, axis=0), 1e-12)
        e = r / (2 * np.sqrt(self.medium.diffusivity * time))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            shape = erfc(e) + erf(e) / (2 * e**2) - np.exp(-(e**2)) / (e * np.sqrt(np.pi))
        shape = np.where(e < 1e-4, 1 - 4 * e / (3 * np.sqrt(np.pi)), shape)  # series at the source
        scale = self.medium.biot / (8 * np.pi * self.medium.mobility * self.medium.vertical)
        return scale * shape * x[:3] / r * (r > 1e-9)


@dataclass
class PointSource(Problem):
    """A wedge of full space."""

    name: str = "rudnicki"
    title: str = "Rudnicki's point source"
    axis: str = "cells along the radius"
    levels: tuple[int, ...] = (24, 48)
    full_levels: tuple[int, ...] = (48, 72)
    medium: Biot = COMPRESSIBLE

    def checks(self) -> Sequence[Check]:
        """1e-3 on the classics; h^2 in both fields, displacement being no better than the pressure that drives it."""
        return [Check("pressure L2", 1e-3, 2.0), Check("displacement L2", 1e-3, 2.0)]

    def run(self, level: int) -> Result:
        """March to the last named time."""
        exact = Rudnicki(self.medium)
        across = max(level // 36, 1)
        domain = mapped(self.comm, (level, across, across), wedge, {2: NEAR**0.5})
        model = PoroModel(
            domain,
            Setup(
                regions=[self.medium.region(1), self.medium.region(2)],
                fixed=[Fixed(("y0",), 1), Fixed(("z0",), 2), Fixed(("x0", "x1", "y1", "z1"))],
                drained=[Drained(("x1",), "p")],
                kinematics=SmallStrain(),
            ),
        )
        share = ANGLE * np.sin(ANGLE) / (4 * np.pi)
        _supply_at_tip(model, share)
        stepping = Stepping(model)
        norms = {
            "pressure L2": (ErrorNorm(model, "p", dx=domain.dx(2)), exact.pressure),
            "displacement L2": (ErrorNorm(model, "u", dx=domain.dx(2)), exact.displacement),
        }
        worst = dict.fromkeys(norms, 0.0)
        curves, start = [], 0.0
        for mark, count in zip(TIMES, STEPS, strict=True):
            for time, length in stepping.steps(start, mark, count * level**2 // COARSE**2):
                stepping.step(
                    length,
                    {"u": at(exact.displacement, time), "p": at(exact.pressure, time)},
                )
            start = mark
            for name, (norm, solution) in norms.items():
                worst[name] = max(worst[name], norm(at(solution, time)))
            curves.append(self._profile(model, exact, time))
        return Result(worst, tuple(curves), ("distance from the source r/L", "pressure p κL/Q"))

    def _profile(self, model: PoroModel, exact: Rudnicki, time: float) -> Curve:
        space, dofs = model.collapsed["p"]
        x = space.tabulate_dof_coordinates()
        r = np.linalg.norm(x, axis=1)
        shown = np.flatnonzero((r > NEAR / 2) & (x[:, 1] < 1e-9) & (x[:, 2] < 1e-9))
        fine = np.linspace(NEAR / 2, 1, 200)
        line = exact.pressure(np.stack([fine, 0 * fine, 0 * fine]), time)
        scale = self.medium.mobility
        values = model.state.x.array[np.asarray(dofs)[shown]]
        return Curve(f"ct/L² = {time:g}", r[shown], scale * values, fine, scale * line)


def _supply_at_tip(model: PoroModel, rate: float) -> None:
    """Put a rate [m^3/s] in at the vertices of the tip."""
    supply = model.supply["p"]
    space = model.collapsed["p"][0]
    at_tip = np.linalg.norm(space.tabulate_dof_coordinates(), axis=1) < 2 * TIP
    supply.x.array[:] = at_tip
    # with the quadrature of the model, whose cells at the tip are strongly curved
    total = sum(integrate(compile_form(supply * model.dx(region)), model.comm) for region in model.regions)
    supply.x.array[:] *= rate / total


def wedge(unit: Array) -> Array:
    """Spherical wedge about the x axis, from the tip to radius 1."""
    radius = TIP + (1 - TIP) * unit[:, 0] ** 2
    around, up = ANGLE * unit[:, 1], ANGLE * unit[:, 2]
    direction = [np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)]
    return np.stack([radius * part for part in direction], axis=1)

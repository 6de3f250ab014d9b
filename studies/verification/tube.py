"""Thick tube under inner pressure, plane strain, on curved second-order cells (Lame).

    u = (1 + nu)/E ((1 - 2 nu) A r + C/r),   A = (p_i a^2 - p_o b^2)/(b^2 - a^2),   C = (p_i - p_o) a^2 b^2/(b^2 - a^2).

The skeleton alone is at work: Biot coefficient 0, pore pressure 0.

[1] G. Lame 1852, Lecons sur la theorie mathematique de l'elasticite des corps solides.
[2] S. Timoshenko & J. N. Goodier 1970, Theory of Elasticity, art. 28.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import ufl

from fem.arrays import Array
from fem.laws.kinematics import SmallStrain
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import LinearElastic
from fem.poro import PoroModel
from fem.setup import Drained, Fixed, Region, Setup
from studies.verification.meshes import mapped, quarter_ring
from studies.verification.posing import ErrorNorm, Stepping, surface_mean
from studies.verification.problem import Check, Curve, Problem, Result


@dataclass(frozen=True)
class Lame:
    """Exact solution; E = 1."""

    poisson_ratio: float
    inner: float = 1.0
    outer: float = 2.0
    inside: float = 1.0

    def radial(self, r: Array) -> Array:
        """Radial displacement."""
        nu, a, b = self.poisson_ratio, self.inner, self.outer
        scale = self.inside * a**2 / (b**2 - a**2)
        return (1 + nu) * scale * ((1 - 2 * nu) * r + b**2 / r)

    def displacement(self, x: Array) -> Array:
        """Displacement at points in the plane."""
        r = np.linalg.norm(x[:2], axis=0)
        return self.radial(r) * x[:2] / r


@dataclass
class LameTube(Problem):
    """A quarter of the tube."""

    name: str = "lame"
    title: str = "Lame's tube"
    levels: tuple[int, ...] = (64, 128)
    full_levels: tuple[int, ...] = (32, 64, 128)
    ratios: tuple[float, ...] = (0.3, 0.4999)

    def checks(self) -> Sequence[Check]:
        """1e-5 with second-order geometry; P2 gives h^3 in L2 and h^2 in H1."""
        return [
            check
            for nu in self.ratios
            for check in (
                Check(f"u(a), nu {nu}", 1e-5, 3.0),
                Check(f"u(b), nu {nu}", 1e-5, 3.0),
                Check(
                    f"u L2, nu {nu}", 1e-4, 3.0, "a norm over coarse cells near a, where u has its fourth derivatives"
                ),
                Check(f"u H1, nu {nu}", 1e-2, 2.0, "a norm of gradients: one order less"),
            )
        ]

    def run(self, level: int) -> Result:
        """Solve for each Poisson ratio."""
        errors: dict[str, float] = {}
        curves = []
        for nu in self.ratios:
            exact = Lame(nu)
            domain = mapped(self.comm, (level, level), quarter_ring(exact.inner, exact.outer))
            push = domain.measure("x0")(metadata={"quadrature_degree": 6})
            normal = ufl.FacetNormal(domain.mesh)
            model = PoroModel(
                domain,
                Setup(
                    regions=[Region(1, "p", LinearElastic(1.0, nu), ConstantMobility(1.0), biot=0.0)],
                    fixed=[Fixed(("y0",), 1), Fixed(("y1",), 0)],
                    drained=[Drained(("x0", "x1"), "p")],
                    kinematics=SmallStrain(),
                    loads=lambda v, q, dt, model, n=normal, ds=push, p=exact.inside: -p * ufl.inner(n, v) * ds,
                ),
            )
            Stepping(model, force=1e-9).step(1.0)  # round-off of a bulk modulus of 1.7e3
            for name, side, radius in (("a", "x0", exact.inner), ("b", "x1", exact.outer)):
                mean = surface_mean(model, side, lambda u, p: ufl.sqrt(ufl.inner(u, u)))
                errors[f"u({name}), nu {nu}"] = abs(mean / float(exact.radial(np.array(radius))) - 1)
            for kind in ("L2", "H1"):
                errors[f"u {kind}, nu {nu}"] = ErrorNorm(model, "u", kind)(exact.displacement)
            curves.append(_profile(model, exact))
        return Result(errors, tuple(curves), ("radius r/a", "radial displacement E u/(p a)"))


def _profile(model: PoroModel, exact: Lame) -> Curve:
    x = model.vector_space.tabulate_dof_coordinates()
    line = np.flatnonzero(np.abs(x[:, 1]) < 1e-9)
    values = model.state.x.array[np.asarray(model.dofs["u"]).reshape(-1, 2)[line, 0]]
    fine = np.linspace(exact.inner, exact.outer, 100)
    return Curve(f"ν = {exact.poisson_ratio}", x[line, 0], values, fine, exact.radial(fine))

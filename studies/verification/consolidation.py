"""Consolidation of a column (Terzaghi) and of a slab between rigid plates (Mandel).

Terzaghi: a column of length L is loaded by q through its drained top z = 0. The pressure jumps to
p0 = alpha M q/(K_v + alpha^2 M) and diffuses out,

    p = p0 sum_{k odd} 4/(k pi) sin(k pi z/2L) exp(-k^2 pi^2 c t/4L^2).

Mandel: a slab of half-width a is squeezed by 2F between rigid, smooth, impervious plates and drains sideways. Load
moves from the softening edges to the middle, so that the pressure there first rises (Mandel-Cryer effect),

    p = 2 F B (1 + nu_u)/(3 a) sum sin a_n/(a_n - sin a_n cos a_n) (cos(a_n x/a) - cos a_n) exp(-a_n^2 c t/a^2),
    tan a_n/a_n = (1 - nu)/(nu_u - nu).

The plates follow their exact path and their force is a result, which has to come out as F.

Steps shrink with h^2, so that the second order in space shows in the whole error.

[1] K. von Terzaghi 1943, Theoretical Soil Mechanics.
[2] J. Mandel 1953, Geotechnique 3:287, doi:10.1680/geot.1953.3.7.287.
[3] A. H.-D. Cheng & E. Detournay 1988, Int J Numer Anal Methods Geomech 12:551, doi:10.1002/nag.1610120508.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy.optimize import brentq

from fem.arrays import Array
from fem.laws.kinematics import SmallStrain
from fem.poro import PoroModel
from fem.setup import Drained, Fixed, Setup
from studies.verification.biot import COMPRESSIBLE, INCOMPRESSIBLE, Biot
from studies.verification.meshes import rectangle
from studies.verification.posing import ErrorNorm, Field, Stepping, at, reaction, surface_mean, value_at_largest
from studies.verification.problem import Check, Curve, Problem, Result

MARKS = (0.001, 0.01, 0.05, 0.1, 0.5)
STEPS = (4, 10, 25, 25, 120)
"""Ends of the time segments c t/L^2, and the steps in each at eight cells."""

NORMS_FROM = 0.05
"""Norms are taken from here on; before, the layer at the drained side is thinner than the coarse cells."""

COARSE = 8
"""Cells to which the number of steps belongs."""


@dataclass(frozen=True)
class Terzaghi:
    """Exact solution of the column, L = q = 1."""

    medium: Biot
    terms: int = 400

    @property
    def initial(self) -> float:
        """Pressure just after loading."""
        biot = self.medium.biot
        return biot / (self.medium.vertical * self.medium.inverse_modulus + biot**2)

    def pressure(self, depth: Array, time: float) -> Array:
        """Pressure at depths below the drained top."""
        k = 2 * np.arange(self.terms)[:, None] + 1
        decay = np.exp(-(k**2) * np.pi**2 * self.medium.diffusivity * time / 4)
        return self.initial * np.sum(4 / (k * np.pi) * np.sin(k * np.pi * np.atleast_1d(depth) / 2) * decay, axis=0)

    def settlement(self, time: float) -> float:
        """Displacement of the top, downwards: load less pore pressure over K_v."""
        k = 2 * np.arange(self.terms) + 1
        decay = np.exp(-(k**2) * np.pi**2 * self.medium.diffusivity * time / 4)
        mean = self.initial * np.sum(8 / (k * np.pi) ** 2 * decay)
        return float((1 - self.medium.biot * mean) / self.medium.vertical)


@dataclass(frozen=True)
class Mandel:
    """Exact solution of the slab, a = F = 1."""

    medium: Biot
    terms: int = 400

    @property
    def roots(self) -> Array:
        """Positive roots a_n."""
        nu, nu_u = self.medium.poisson_ratio, self.medium.undrained_poisson
        slope = (1 - nu) / (nu_u - nu)
        # sin - slope a cos has one zero in each (n pi, n pi + pi/2)
        return np.array(
            [
                brentq(
                    lambda a: np.sin(a) - slope * a * np.cos(a),
                    n * np.pi + 1e-6 * (n == 0),
                    (n + 0.5) * np.pi,
                    xtol=1e-15,
                )
                for n in range(self.terms)
            ]
        )

    def _series(self, time: float) -> tuple[Array, Array]:
        a = self.roots
        return a, np.exp(-(a**2) * self.medium.diffusivity * time) / (a - np.sin(a) * np.cos(a))

    def pressure(self, x: Array, time: float) -> Array:
        """Pressure at distances from the middle."""
        a, weight = self._series(time)
        scale = 2 * self.medium.skempton * (1 + self.medium.undrained_poisson) / 3
        shape = np.cos(np.outer(np.atleast_1d(x), a)) - np.cos(a)
        return scale * shape @ (np.sin(a) * weight)

    def approach(self, time: float) -> float:
        """Downward displacement of the plate per height."""
        a, weight = self._series(time)
        mu, nu, nu_u = self.medium.shear, self.medium.poisson_ratio, self.medium.undrained_poisson
        return float((1 - nu) / (2 * mu) - (1 - nu_u) / mu * np.sum(np.sin(a) * np.cos(a) * weight))


@dataclass
class Consolidation(Problem):
    """A problem of consolidation in plane strain, with one medium after the other.

    Attributes:
        quantities: errors and their orders by design: h^2 in the pressure and, with dt of h^2, in what moves.
        axes: of the figure.
    """

    levels: tuple[int, ...] = (8, 16)
    full_levels: tuple[int, ...] = (8, 16, 32)
    media: dict[str, Biot] = field(default_factory=lambda: {"M 5": COMPRESSIBLE, "M inf": INCOMPRESSIBLE})
    quantities: ClassVar[Mapping[str, float | None]]
    axes: ClassVar[tuple[str, str]]

    def checks(self) -> Sequence[Check]:
        """1e-3, the acceptance of the classics."""
        return [
            Check(f"{quantity}, {medium}", 1e-3, order)
            for medium in self.media
            for quantity, order in self.quantities.items()
        ]

    def run(self, level: int) -> Result:
        """March to c t/L^2 = 0.5."""
        errors: dict[str, float] = {}
        curves: list[Curve] = []
        for label, medium in self.media.items():
            found, drawn = self._march(level, medium)
            errors |= {f"{quantity}, {label}": error for quantity, error in found.items()}
            curves = curves or drawn
        return Result(errors, tuple(curves), self.axes)

    @abstractmethod
    def _march(self, level: int, medium: Biot) -> tuple[dict[str, float], list[Curve]]:
        """Largest error of every quantity, and profiles at the marks."""


@dataclass
class TerzaghiColumn(Consolidation):
    """The column."""

    name: str = "terzaghi"
    title: str = "Terzaghi's column"
    quantities: ClassVar[Mapping[str, float | None]] = {"pressure L2": 2.0, "base pressure": None, "settlement": 2.0}
    axes: ClassVar[tuple[str, str]] = ("depth z/L", "pressure p/q")

    def _march(self, level: int, medium: Biot) -> tuple[dict[str, float], list[Curve]]:
        exact = Terzaghi(medium)
        domain = rectangle(self.comm, (0.25, 1.0), (max(level // 8, 1), level))
        top = domain.measure("top")
        model = PoroModel(
            domain,
            Setup(
                regions=[medium.region()],
                fixed=[Fixed(("left", "right"), 0), Fixed(("bottom",), 1)],
                drained=[Drained(("top",), "p")],
                kinematics=SmallStrain(),
                loads=lambda v, q, dt, model: -v[1] * top,
            ),
        )
        stepping = Stepping(model)
        norm = ErrorNorm(model, "p")
        worst = dict.fromkeys(self.quantities, 0.0)
        curves, start = [], 0.0
        for mark, count in zip(MARKS, STEPS, strict=True):
            for time, length in stepping.steps(start, mark, count * level**2 // COARSE**2):  # noqa: B007
                stepping.step(length)
            start = mark
            base = value_at_largest(model, "p", lambda x: -x[1])
            worst["base pressure"] = max(worst["base pressure"], abs(base - exact.pressure(np.array(1.0), time)[0]))
            if mark >= NORMS_FROM:
                worst["pressure L2"] = max(
                    worst["pressure L2"], norm(at(lambda x, t: exact.pressure(1 - x[1], t), time))
                )
                settled = -surface_mean(model, "top", lambda u, p: u[1])
                worst["settlement"] = max(worst["settlement"], abs(settled / exact.settlement(time) - 1))
            curves.append(
                _profile(model, at(lambda x, t: exact.pressure(1 - x, t), time), 1, f"ct/L² = {mark:g}", reverse=True)
            )
        return worst, curves


@dataclass
class MandelSlab(Consolidation):
    """A quarter of the slab, two wide and one high; the plate's force is the sum of nodal forces."""

    name: str = "mandel"
    title: str = "Mandel's slab"
    height: float = 0.25
    quantities: ClassVar[Mapping[str, float | None]] = {"pressure L2": 2.0, "middle pressure": 2.0, "plate force": 2.0}
    axes: ClassVar[tuple[str, str]] = ("distance from the middle x/a", "pressure p a/F")

    def _march(self, level: int, medium: Biot) -> tuple[dict[str, float], list[Curve]]:
        exact, height = Mandel(medium), self.height
        domain = rectangle(self.comm, (1.0, height), (level, max(level // 8, 1)))
        model = PoroModel(
            domain,
            Setup(
                regions=[medium.region()],
                fixed=[Fixed(("left",), 0), Fixed(("bottom", "top"), 1)],
                drained=[Drained(("right",), "p")],
                kinematics=SmallStrain(),
            ),
        )
        stepping = Stepping(model)
        norm = ErrorNorm(model, "p")
        worst = dict.fromkeys(self.quantities, 0.0)
        curves, start = [], 0.0
        for mark, count in zip(MARKS, STEPS, strict=True):
            for time, length in stepping.steps(start, mark, count * level**2 // COARSE**2):
                path = exact.approach(time)
                stepping.step(length, {"u": at(lambda x, e: np.stack([0 * x[0], -e * x[1]]), path)})
            start = mark
            if mark >= NORMS_FROM:
                worst["pressure L2"] = max(worst["pressure L2"], norm(at(lambda x, t: exact.pressure(x[0], t), time)))
                middle = value_at_largest(model, "p", lambda x: -x[0])
                error = abs(middle - exact.pressure(np.array(0.0), time)[0])
                worst["middle pressure"] = max(worst["middle pressure"], error)
                force = -reaction(model, "u", lambda x: np.stack([0 * x[0], np.isclose(x[1], height) * 1.0]))
                worst["plate force"] = max(worst["plate force"], abs(force - 1))
            curves.append(_profile(model, at(exact.pressure, time), 0, f"ct/a² = {mark:g}"))
        return worst, curves


def _profile(model: PoroModel, exact: Field, axis: int, label: str, reverse: bool = False) -> Curve:
    space, dofs = model.collapsed["p"]
    x = space.tabulate_dof_coordinates()
    line = np.flatnonzero(np.isclose(x[:, 1 - axis], 0.0))
    order = line[np.argsort(x[line, axis])]
    values = model.state.x.array[np.asarray(dofs)[order]]
    fine = np.linspace(0, 1, 201)
    shown = exact(fine)
    place = x[order, axis]
    return Curve(label, 1 - place if reverse else place, values, 1 - fine if reverse else fine, shown)

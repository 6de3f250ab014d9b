"""Manufactured solutions in three dimensions, linear and finite strain, space and time apart.

Smooth fields u(x, t) and p(x, t) are chosen; body force and fluid source follow from the strong form,

    f = -Div(P_eff - b p J F^-T),   s = d/dt(b (J - 1) + p/M) - Div(kappa J F^-1 F^-T Grad p),

by UFL's symbolic differentiation, and with them the traction and the fluid flux on the one face where no field is held.
The model sees the weak form only, so that a wrong sign, a missing J or a lost term shows.

* Space: one step from zero; the source is the increment of content over the step, exact for backward Euler, and the
  error is that of space alone. P2-P1: u in H1 2, p in L2 2, p in H1 1.
* Time: fields that are quadratic (u) and linear (p) lie in the spaces; the error is that of time alone. Order 1.

Both at Poisson ratios .3 and .479 and at dt kappa 1 and 1e-8: the second is undrained in effect, and its pressure rests
on the inf-sup stability of the pair.

[1] P. J. Roache 2002, J Fluids Eng 124:4, doi:10.1115/1.1436090.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh

from fem.domain import Domain
from fem.laws.kinematics import FiniteStrain, Kinematics, SmallStrain
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import LinearElastic, NeoHookean
from fem.laws.storage import LinearStorage, NoStorage
from fem.poro import PoroModel
from fem.setup import Drained, Fixed, Region, Setup
from studies.verification.meshes import on
from studies.verification.posing import ErrorNorm, Stepping
from studies.verification.problem import Check, Problem, Result

SIZE = (1.0, 0.8, 0.9)
"""Edges of the box: off the unit cube, where errors may cancel."""

HELD = ("x0", "x1", "y0", "y1", "z0")
"""Faces with exact values; traction and flux act on z1."""

UNDRAINED = 1e-3
"""dt kappa below which the flux is given on all faces. A pressure that is held at a side of an undrained body makes an
error in one layer of cells, of order 5/2 in L2, which hides that of the method on any mesh that can be afforded."""

SOURCE_DEGREE = 7
"""Quadrature degree of the source terms: past that of the test functions by five."""


@dataclass(frozen=True)
class Fields:
    """Exact fields, for numbers (numpy) and symbols (UFL) alike.

    Attributes:
        smooth: transcendental in space and linear in time; else quadratic and linear in space, sinusoidal in time.
        size: of the displacement.
    """

    smooth: bool
    size: float

    def growth(self, t: Any, m: Any) -> Any:
        """Time factor; zero at time zero, where the model starts."""
        return t if self.smooth else m.sin(1.5 * t)

    def displacement(self, x: Any, t: Any, m: Any) -> list[Any]:
        """Components of u."""
        scale = self.size * self.growth(t, m)
        if self.smooth:
            return [
                scale * m.sin(1.3 * x[1] + 0.7 * x[2] + 0.4),
                scale * m.cos(1.1 * x[0] + 0.9 * x[2]),
                scale * m.sin(0.8 * x[0] - 1.2 * x[1] + x[2]),
            ]
        return [
            scale * (x[0] ** 2 + 0.5 * x[1] * x[2]),
            scale * (x[1] - x[0] * x[1] + 0.3 * x[2]),
            scale * (x[2] ** 2 - 0.4 * x[0] * x[1]),
        ]

    def pressure(self, x: Any, t: Any, m: Any) -> Any:
        """Pore pressure."""
        if self.smooth:
            return self.growth(t, m) * m.cos(1.2 * x[0] - 0.6 * x[1]) * m.cos(1.4 * x[2])
        # a pressure of the order of E would buckle the body away from the chosen solution
        return self.growth(t, m) * (0.08 + 0.2 * x[0] - 0.14 * x[1] + 0.1 * x[2])


@dataclass(frozen=True)
class Variant:
    """One choice of kinematics and constants.

    Attributes:
        kinematics: linear or finite strain.
        poisson_ratio: drained.
        step_mobility: dt kappa at the step of the space problem.
    """

    kinematics: Kinematics
    poisson_ratio: float
    step_mobility: float

    @property
    def drained(self) -> tuple[str, ...]:
        """Faces where the pressure is held; through the others goes the exact flux."""
        return HELD if self.step_mobility > UNDRAINED else ()

    @property
    def label(self) -> str:
        """Name in the tables."""
        kind = "linear" if self.kinematics.linear else "finite"
        return f"{kind}, nu {self.poisson_ratio:g}, dt kappa {self.step_mobility:g}"

    def region(self) -> Region:
        """As a region of the model; E = 1."""
        linear = self.kinematics.linear
        solid = LinearElastic(1.0, self.poisson_ratio) if linear else NeoHookean(1.0, self.poisson_ratio)
        storage = LinearStorage(0.1) if linear else NoStorage()
        return Region(1, "p", solid, ConstantMobility(self.step_mobility), storage, 0.9 if linear else 1.0)


ALL = tuple(
    Variant(kinematics, nu, step_mobility)
    for kinematics in (SmallStrain(), FiniteStrain())
    for nu in (0.3, 0.479)
    for step_mobility in (1.0, 1e-8)
)


class Manufactured(Problem):
    """What space and time problem share: the model with its source terms."""

    fields: Fields

    def pose(self, cells: int, variant: Variant, increments: bool) -> tuple[PoroModel, Any]:
        """The model on a box, and the time at the end of the step as a constant.

        Args:
            cells: along each edge.
            variant: constants.
            increments: the source of a step is the increment of content from zero instead of the rate.
        """
        mesh = dmesh.create_box(
            self.comm, [(0.0, 0.0, 0.0), SIZE], [cells] * 3, ghost_mode=dmesh.GhostMode.shared_facet
        )
        sides = {f"{a}{e}": on(k, e * SIZE[k]) for k, a in enumerate("xyz") for e in (0, 1)}
        domain = Domain.from_mesh(mesh, sides)
        time = fem.Constant(mesh, 0.0)

        def loads(v: Any, q: Any, dt: Any, model: PoroModel) -> Any:
            x, t = ufl.SpatialCoordinate(mesh), ufl.variable(time)
            u = ufl.as_vector(self.fields.displacement(x, t, ufl))
            p = self.fields.pressure(x, t, ufl)
            region = model.regions[0]
            kinematics = variant.kinematics
            gradient = kinematics.gradient(u)
            # cofactor and pulled-back mobility written out once more, not taken from the model
            jacobian = ufl.det(gradient)
            inverse = ufl.inv(gradient)
            cofactor = ufl.Identity(3) if kinematics.linear else jacobian * inverse.T
            pull = ufl.Identity(3) if kinematics.linear else jacobian * inverse * inverse.T
            stress = region.solid.stress(gradient) - region.biot * p * cofactor
            change = ufl.tr(ufl.grad(u)) if kinematics.linear else jacobian - 1
            content = region.biot * change + region.storage.content(p)
            flux = -region.mobility.value(1.0) * ufl.dot(pull, ufl.grad(p))
            gained = content if increments else dt * ufl.diff(content, t)
            dx = domain.dx(metadata={"quadrature_degree": SOURCE_DEGREE})
            top = domain.measure("z1")(metadata={"quadrature_degree": SOURCE_DEGREE})
            crossed = domain.measure([side for side in sides if side not in variant.drained])(
                metadata={"quadrature_degree": SOURCE_DEGREE}
            )
            normal = ufl.FacetNormal(mesh)
            form = -ufl.inner(ufl.div(stress), v) * dx + ufl.inner(ufl.dot(stress, normal), v) * top
            form += (gained + dt * ufl.div(flux)) * q["p"] * dx - dt * ufl.inner(flux, normal) * q["p"] * crossed
            return form

        setup = Setup(
            regions=[variant.region()],
            fixed=[Fixed(HELD)],
            drained=[Drained(variant.drained, "p")] if variant.drained else [],
            kinematics=variant.kinematics,
            loads=loads,
        )
        return PoroModel(domain, setup), time

    def exact(self, t: float) -> dict[str, Any]:
        """Fields at a time, as functions of coordinates."""
        return {
            "u": lambda x: np.stack(self.fields.displacement(x, t, np)),
            "p": lambda x: self.fields.pressure(x, t, np),
        }


@dataclass
class ManufacturedSpace(Manufactured):
    """Errors of space."""

    name: str = "manufactured_space"
    title: str = "Manufactured solution, space"
    levels: tuple[int, ...] = (4, 8)
    full_levels: tuple[int, ...] = (4, 8, 12)
    variants: tuple[Variant, ...] = ALL
    fields: Fields = Fields(True, 0.1)

    def checks(self) -> Sequence[Check]:
        """Orders of P2-P1; the limits say only that the errors are small."""
        return [
            Check(f"{name} {kind}, {variant.label}", limit, order, sharp=True)
            for variant in self.variants
            for name, kind, limit, order in (("u", "H1", 1e-2, 2.0), ("p", "L2", 5e-2, 2.0), ("p", "H1", 0.5, 1.0))
        ]

    def run(self, level: int) -> Result:
        """One step of unit length."""
        errors = {}
        for variant in self.variants:
            model, time = self.pose(level, variant, increments=True)
            time.value = 1.0
            stepping = Stepping(model, force=1e-11, volume=1e-12)
            stepping.step(1.0, self.exact(1.0), guess=True)
            for name, kind in (("u", "H1"), ("p", "L2"), ("p", "H1")):
                errors[f"{name} {kind}, {variant.label}"] = ErrorNorm(model, name, kind)(self.exact(1.0)[name])
        return Result(errors)


@dataclass
class ManufacturedTime(Manufactured):
    """Errors of time."""

    name: str = "manufactured_time"
    title: str = "Manufactured solution, time"
    axis: str = "time steps"
    levels: tuple[int, ...] = (16, 32)
    full_levels: tuple[int, ...] = (8, 16, 32)
    variants: tuple[Variant, ...] = ALL
    fields: Fields = Fields(False, 0.04)
    cells: int = 2

    def checks(self) -> Sequence[Check]:
        """Backward Euler is of first order."""
        return [
            Check(f"{name} L2, {variant.label}", 0.2, 1.0, sharp=True)
            for variant in self.variants
            for name in ("u", "p")
        ]

    def run(self, level: int) -> Result:
        """To time 1 in equal steps; kappa is the named number, so that dt kappa is at most that."""
        errors = {}
        for variant in self.variants:
            model, time = self.pose(self.cells, variant, increments=False)
            stepping = Stepping(model, force=1e-11, volume=1e-13)
            for end, length in stepping.steps(0.0, 1.0, level):
                time.value = end
                stepping.step(length, self.exact(end))
            for name in ("u", "p"):
                errors[f"{name} L2, {variant.label}"] = ErrorNorm(model, name)(self.exact(1.0)[name])
        return Result(errors)

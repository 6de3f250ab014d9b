"""Membranes on a soft body filled with pore fluid, which presses from inside as CSF does on the dura.

* Closed cylinder in plane strain: the tension is T = p a. Hooke's law: u = p a^2 (1 - nu^2)/(E h). Mooney-Rivlin,
  stretch L: p a = 2 h (c1 + c2)(1 - 1/L^4), from the energy h (c1 + c2)(L^2 + 1/L^2 - 2).
* Rivlin's balloon, inflated by volume through its limit point: p = 4 (h/r)(1/L - 1/L^7)(c1 + c2 L^2).
* Tension-only, both families: fibres of tension T + E h ramp(e, toe) of the Green strain e, T the slack one. Cylinder:
  p a = T + h E ramp((L^2 - 1)/2), solved for L at pressures that press it together, pull it through the toe and beyond.
  Flat, at given stretch: force per width L (T + h E ramp).
* Prestressed: a cylinder given the tension T = p a in its reference is at rest there.

In cylinder and balloon every strain is uniform, F = L I (in the plane, or in space), so that the soft neo-Hookean body
takes a known share of the pressure, (mu (L - 1/L) + lambda (J^2 - 1)/(2 L))/L^(d-1), d = 2 or 3. The cylinder has a
core that is held on its exact path; the load is the exact pressure, and the error shows in the radius of the membrane.

[1] R. S. Rivlin & D. W. Saunders 1951, Phil Trans R Soc A 243:251, doi:10.1098/rsta.1951.0004.
[2] G. A. Holzapfel 2000, Nonlinear Solid Mechanics, sec. 6.5 (the balloon's pressure).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gmsh
import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from fem.domain import Domain
from fem.forms import compile_form, integrate
from fem.laws.fibres import LinearMembrane, Membrane, NeoHookeanMembrane, TensionOnlyMembrane
from fem.laws.kinematics import FiniteStrain, Kinematics, SmallStrain
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import LinearElastic, NeoHookean
from fem.poro import PoroModel
from fem.setup import Drained, Fixed, Region, Setup, SurfaceMembrane
from studies.verification.meshes import mapped, quarter_ring
from studies.verification.posing import Stepping, at, reaction, surface_mean, value_at_largest, vector_of
from studies.verification.problem import Check, Curve, Problem, Result
from studies.verification.tangent import jacobian_error

SOFT = 1e-3
"""Young modulus of the body, Poisson ratio 0; that of the membranes is about 1."""

FIRM = 0.05
"""The same about the tension-only cylinder: a slack sheet on a softer body wrinkles when it is pressed together."""

CORE = 0.5
"""Radius of the rigid core of a cylinder of radius 1."""

THICKNESS = 0.1

DURA = TensionOnlyMembrane(3.0, 1.0, THICKNESS, 0.03, 2e-4)

TILT = 1e-5
"""Fibre directions are turned by up to 1e-3 rad off the axis (fem.laws.fibres.TIE_BREAK): 1e-6 of a fibre's strain."""


def ramp(x: float, width: float) -> float:
    """The tension law written anew, in numbers: 0, parabola, line."""
    if x <= 0:
        return 0.0
    return x * x / (2 * width) if x < width else x - width / 2


def cylinder(
    comm: MPI.Comm, level: int, law: Membrane, kinematics: Kinematics, tension: float | None = None, soft: float = SOFT
) -> PoroModel:
    """Quarter of a soft, fluid-filled ring about a rigid core, with a membrane of radius 1 around it."""
    domain = mapped(comm, (2, level, 1), quarter_ring(CORE, 1.0, 1 / level))
    carried = None if tension is None else tuple(fem.Constant(domain.mesh, part * tension) for part in (0.5, 1.0))
    skeleton: Any = LinearElastic(soft, 0.0) if kinematics.linear else NeoHookean(soft, 0.0)
    return PoroModel(
        domain,
        Setup(
            regions=[Region(1, "p", skeleton, ConstantMobility(1e3))],
            membranes=[SurfaceMembrane("x1", law, carried)],
            fixed=[Fixed(("x0",)), Fixed(("y0",), 1), Fixed(("y1",), 0), Fixed(("z0", "z1"), 2)],
            drained=[Drained(("x0",), "p")],
            kinematics=kinematics,
        ),
    )


def body(stretch: float, dim: int, soft: float = SOFT) -> float:
    """Pressure that the uniformly stretched body takes; Poisson ratio 0."""
    return soft / 2 * (stretch - 1 / stretch) / stretch ** (dim - 1)


def stretch_of(model: PoroModel) -> float:
    """Mean radius of the loaded membrane over that of the unloaded one."""
    x = ufl.SpatialCoordinate(model.domain.mesh)
    radial = ufl.as_vector((x[0], x[1], 0.0))
    return 1 + surface_mean(model, "x1", lambda u, p: ufl.inner(u, radial) / ufl.inner(radial, radial))


def inflate(model: PoroModel, stretches: Sequence[float], pressure: Callable[[float], float]) -> list[float]:
    """Stretch found at the pressures that belong to the stretches wanted, one equilibrium after the other."""
    # steps so long that the fluid follows at once, and a volume tolerance of round-off of mobility, step and pressure
    stepping = Stepping(model, force=1e-13, volume=1e-8)
    found, before = [], 1.0
    for wanted in stretches:
        count = max(1, int(np.ceil(abs(wanted - before) / 0.02)))
        for part in np.linspace(before, wanted, count + 1)[1:]:
            load = pressure(part)
            stepping.step(
                1e4,
                {
                    "u": at(lambda x, e: e * np.stack([x[0], x[1], 0 * x[0]]), part - 1),
                    "p": at(lambda x, p: 0 * x[0] + p, load),
                },
            )
        before = wanted
        found.append(stretch_of(model))
    return found


@dataclass
class CylinderMembrane(Problem):
    """Cylinders: Hooke, Mooney-Rivlin and tension-only."""

    name: str = "cylinder"
    title: str = "Cylindrical membrane"
    axis: str = "cells along a quarter"
    levels: tuple[int, ...] = (4, 8)
    full_levels: tuple[int, ...] = (4, 8, 16)
    dura: TensionOnlyMembrane = DURA

    def checks(self) -> Sequence[Check]:
        """Second-order geometry: lengths and pressures converge with h^4, at least with h^3."""
        return [
            Check("Hooke u", 1e-5, 3.0),
            Check("Mooney-Rivlin L", 1e-5, 3.0),
            Check("tension-only L", TILT, None, "tilt of the fibres"),
            Check("tension-only tangent", 1e-6, None, "central differences with 1e-6, slack, in the toe and beyond"),
            Check("prestressed u", TILT, None, "tilt of the fibres"),
        ]

    def run(self, level: int) -> Result:
        """Inflate each cylinder."""
        nu, wanted = 0.45, [1.1]
        hooke = cylinder(self.comm, level, LinearMembrane(1.0, nu, THICKNESS), SmallStrain())
        found = inflate(hooke, wanted, lambda L: (L - 1) * (THICKNESS / (1 - nu**2) + SOFT))
        errors = {"Hooke u": _worst(found, wanted) / 0.1}

        c1, c2 = 0.15, 0.02
        wanted = [1.1, 1.2, 1.3]
        mooney = cylinder(self.comm, level, NeoHookeanMembrane(2 * c1, 2 * c2, THICKNESS), FiniteStrain())
        found = inflate(mooney, wanted, lambda L: 2 * THICKNESS * (c1 + c2) * (1 - L**-4) + body(L, 2))
        errors["Mooney-Rivlin L"] = _worst(found, wanted)

        tension = 0.03 * THICKNESS
        prestressed = cylinder(self.comm, level, self.dura, FiniteStrain(), tension)
        errors["prestressed u"] = abs(inflate(prestressed, [1.0], lambda L: tension)[0] - 1)

        wanted = [1.0 + e for e in (-0.03, -0.06, -0.03, 0.01, 0.02, 0.03, 0.045, 0.07, 0.1)]
        tube = cylinder(self.comm, level, self.dura, FiniteStrain(), soft=FIRM)
        found = inflate(tube, wanted, self.pressure)
        errors["tension-only L"] = _worst(found, wanted)
        errors["tension-only tangent"] = max(self._tangent(tube, stretch) for stretch in (0.96, 1.015, 1.06))
        loads = [self.pressure(L) for L in wanted]

        fine = np.linspace(min(wanted), max(wanted), 200)
        line = np.array([self.pressure(L) for L in fine])
        curve = Curve("tension-only", np.array(found), np.array(loads), fine, line)
        return Result(errors, (curve,), ("stretch", "pressure p/E"))

    def _tangent(self, tube: PoroModel, stretch: float) -> float:
        """Error of the Jacobian about a uniform stretch."""
        tube.state.x.array[:] = vector_of(
            tube,
            {
                "u": at(lambda x, e: e * np.stack([x[0], x[1], 0 * x[0]]), stretch - 1),
                "p": at(lambda x, p: 0 * x[0] + p, self.pressure(stretch)),
            },
        )
        return jacobian_error(tube, seed=5)

    def pressure(self, stretch: float) -> float:
        """Pressure at which the tension-only cylinder of radius 1 has a stretch."""
        law = self.dura
        fibres = law.circumferential_modulus * ramp((stretch**2 - 1) / 2, law.toe_strain)
        return float(law.slack_tension + law.thickness * fibres + body(stretch, 2, FIRM))


def _worst(found: Sequence[float], wanted: Sequence[float]) -> float:
    return float(np.max(np.abs(np.array(found) - np.array(wanted))))


@dataclass
class RivlinBalloon(Problem):
    """An octant of a spherical balloon, inflated by injection past its limit point."""

    name: str = "balloon"
    title: str = "Rivlin's balloon"
    axis: str = "cells per radius"
    levels: tuple[int, ...] = (2, 4)
    full_levels: tuple[int, ...] = (2, 4, 8)
    first: float = 0.45
    second: float = 0.05
    stretches: tuple[float, ...] = (1.15, 1.4, 1.8, 2.3)

    def checks(self) -> Sequence[Check]:
        """The sphere is the only error: its area and volume converge at least with h^3."""
        return [Check("pressure", 1e-4, 3.0), Check("volume balance", 1e-8, None, "finite strain")]

    def pressure(self, stretch: float) -> float:
        """Rivlin's pressure at a stretch; radius 1."""
        return float(
            4 * THICKNESS * (1 / stretch - stretch**-7) * (self.first + self.second * stretch**2) + body(stretch, 3)
        )

    def run(self, level: int) -> Result:
        """Inject and compare the pressures."""
        model = PoroModel(
            octant(self.comm, level),
            Setup(
                regions=[Region(1, "p", NeoHookean(SOFT, 0.0), ConstantMobility(1.0))],
                membranes=[SurfaceMembrane("sphere", NeoHookeanMembrane(2 * self.first, 2 * self.second, THICKNESS))],
                fixed=[Fixed((f"{axis}0",), k) for k, axis in enumerate("xyz")],
            ),
        )
        stepping = Stepping(model, force=1e-11, volume=1e-10)
        before, found = 1.0, []
        for stretch in self.stretches:
            count = max(1, round((stretch - before) / 0.1))
            for part in np.linspace(before, stretch, count + 1)[1:]:
                model.supply["p"].x.array[:] = part**3 - before**3
                stepping.step(1.0)
                before = float(part)
            found.append(value_at_largest(model, "p", lambda x: x[0]))
        exact = np.array([self.pressure(stretch) for stretch in self.stretches])
        fine = np.linspace(1, max(self.stretches), 200)
        curve = Curve(
            "c2/c1 = 1/9", np.array(self.stretches), np.array(found), fine, np.array([self.pressure(L) for L in fine])
        )
        return Result(
            {
                "pressure": _worst(found, [float(value) for value in exact]) / float(exact.max()),
                "volume balance": _balance(model, self.stretches[-1]),
            },
            (curve,),
            ("stretch", "pressure p/(2 c1 + 2 c2)"),
        )


def _balance(model: PoroModel, stretch: float) -> float:
    region = model.regions[0]
    u, p = model.split(model.state)
    held = integrate(compile_form(model.content(region, u, p["p"]) * model.dx(region)), model.comm)
    one = integrate(compile_form((1.0 + 0 * p["p"]) * model.dx(region)), model.comm)
    return abs(held / ((stretch**3 - 1) * one) - 1)


def octant(comm: MPI.Comm, level: int) -> Domain:
    """Octant of the unit ball on second-order cells; sides x0, y0, z0 and sphere."""
    if comm.rank == 0:
        gmsh.initialize(interruptible=False)
        gmsh.option.setNumber("General.Terminal", 0)
        model = gmsh.model
        ball = model.occ.addSphere(0, 0, 0, 1, angle1=0, angle2=np.pi / 2, angle3=np.pi / 2)
        model.occ.synchronize()
        model.addPhysicalGroup(3, [ball], 1)
        for _, face in model.getEntities(2):
            centre = np.array(model.occ.getCenterOfMass(2, face))
            flat = int(np.argmin(centre))
            name = f"{'xyz'[flat]}0" if centre[flat] < 1e-9 else "sphere"
            model.addPhysicalGroup(2, [face], name=name)
        gmsh.option.setNumber("Mesh.MeshSizeMax", 1 / level)
        gmsh.option.setNumber("Mesh.MeshSizeMin", 1 / level)
        model.mesh.generate(3)
        model.mesh.setOrder(2)
    domain = Domain.from_gmsh(comm, gmsh.model if comm.rank == 0 else None)
    if comm.rank == 0:
        gmsh.finalize()
    return domain


@dataclass
class FlatDura(Problem):
    """A flat tension-only sheet, stretched and released along its fibres: stress, continuity of its slope, tangent."""

    name: str = "tension_only"
    title: str = "Tension-only sheet"
    axis: str = "cells along an edge"
    levels: tuple[int, ...] = (1,)
    full_levels: tuple[int, ...] = (1, 2)
    dura: TensionOnlyMembrane = DURA

    def checks(self) -> Sequence[Check]:
        """The field is linear, so that every mesh is exact."""
        return [
            Check("force", TILT, None, "tilt of the fibres"),
            Check("slack force", 0.02, None, "force at -5 % over force at +5 %: the slack tension is 1/60 of that one"),
            Check("jump of stress", 1e-9, None, "C1: continuous, at distance 1e-10 of the kinks"),
            Check("jump of slope", 1e-4, None, "C1: the slope changes by E times the distance over the toe, 1e-6/0.03"),
            Check("tangent", 1e-7, None, "central differences with 1e-6"),
        ]

    def run(self, level: int) -> Result:
        """Hold every displacement and read the forces."""
        domain = mapped(self.comm, (level, level, level), lambda unit: unit)
        model = PoroModel(
            domain,
            Setup(
                regions=[Region(1, "p", NeoHookean(SOFT, 0.0), ConstantMobility(1.0))],
                membranes=[SurfaceMembrane("x1", self.dura)],
                drained=[Drained(("x0", "x1", "y0", "y1", "z0", "z1"), "p")],
            ),
        )

        worst: dict[str, float] = {}
        curves = []
        for direction, label in ((2, "longitudinal"), (1, "circumferential")):
            found, curve = self._pull(model, direction, label)
            curves.append(curve)
            worst |= {name: max(value, worst.get(name, 0.0)) for name, value in found.items()}
        worst["tangent"] = self._tangent(model)
        return Result(worst, tuple(curves), ("stretch", "force per width / (E h)"))

    def _pull(self, model: PoroModel, direction: int, label: str) -> tuple[dict[str, float], Curve]:
        """Forces along one fibre family, which runs along a coordinate."""
        unit = np.eye(3)[direction][:, None]

        def force(stretch: float) -> float:
            model.state.x.array[:] = vector_of(model, {"u": lambda x: (stretch - 1) * unit * x[direction]})
            # the other family keeps its slack tension, which does no work on this virtual field
            return reaction(model, "u", lambda x: unit * x[direction])

        stretches = np.linspace(0.9, 1.1, 41)
        found = np.array([force(L) for L in stretches])
        exact = np.array([self.force(L, direction) for L in stretches])
        toe = float(np.sqrt(1 + 2 * self.dura.toe_strain))
        stress, slope = [], []
        for kink in (1.0, toe):
            near, step = 1e-10, 1e-6
            stress.append(abs(force(kink + near) - force(kink - near)))
            above = (force(kink + 2 * step) - force(kink)) / (2 * step)
            below = (force(kink) - force(kink - 2 * step)) / (2 * step)
            slope.append(abs(above - below))
        scale = THICKNESS * self.modulus(direction)
        errors = {
            "force": float(np.max(np.abs(found - exact)) / np.max(exact)),
            "jump of stress": max(stress) / scale,
            "jump of slope": max(slope) / scale,
        }
        if direction == 2:
            errors["slack force"] = float(abs(force(0.95)) / force(1.05))
        return errors, Curve(label, stretches, found / scale, stretches, exact / scale)

    def modulus(self, direction: int) -> float:
        """Of the fibres along a coordinate."""
        return float(self.dura.longitudinal_modulus if direction == 2 else self.dura.circumferential_modulus)

    def force(self, stretch: float, direction: int) -> float:
        """Force per width along the fibres."""
        law = self.dura
        fibres = self.modulus(direction) * stretch * ramp((stretch**2 - 1) / 2, law.toe_strain)
        slack = law.slack_tension * stretch
        return float(law.thickness * fibres + slack + SOFT / 2 * (stretch - 1 / stretch))  # the last is the body's own

    def _tangent(self, model: PoroModel) -> float:
        """Largest relative error of the Jacobian in a random direction, in compression, in the toe and beyond."""
        worst = 0.0
        for stretch in (0.95, 1.01, 1.06):
            model.state.x.array[:] = vector_of(
                model, {"u": at(lambda x, L: np.stack([0.01 * x[0] * x[2], 0.02 * x[1], (L - 1) * x[2]]), stretch)}
            )
            worst = max(worst, jacobian_error(model, seed=3))
        return worst

"""The patch in miniature: fluid injected into a ring between rigid bone and dura, which displaces CSF (coaxial patch).

Epidural space a < r < b, bone at b, dura of membrane stiffness E_m at a, sac inside it, which communicates with a
compartment of capacity C_c per length. At equilibrium, with V' injected per length and A = (b^2 - a^2)/2,

    alpha p - P_c = -u (K_v a/A + 2 mu/a + E_m/a^2),   p A/M - alpha a u = V'/2 pi,   C_c P_c = -2 pi a u.

The sac is meshed about a rigid core c and linked to the compartment, as in the patient's model. Its skeleton adds
K_s 2a/(a^2 - c^2) - 2 mu_s/a to the stiffness of the dura, below 1e-2 of it here, which the solution takes along. Units
are mm and kPa. With alpha = 1 and 1/M = 0 the displaced CSF equals the injected volume whatever the stiffness: a free
test of conservation.

[1] H. F. Wang 2000, Theory of Linear Poroelasticity, ch. 7 (the ring without membrane and compartment).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from fem.arrays import Array
from fem.compartments import ElasticCompartment
from fem.forms import compile_form, integrate
from fem.laws.fibres import LinearMembrane
from fem.laws.kinematics import SmallStrain
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import LinearElastic
from fem.laws.storage import LinearStorage
from fem.poro import PoroModel
from fem.setup import Fixed, Link, Region, Setup, SurfaceMembrane
from studies.verification.biot import Biot
from studies.verification.meshes import mapped, quarter_ring
from studies.verification.posing import ErrorNorm, Stepping, surface_mean, value_at_largest
from studies.verification.problem import Check, Curve, Problem, Result

CORE, SAC, BONE = 4.5, 7.5, 10.5
"""Radii of core, dura and bone [mm]."""

NETWORK = 0.05
"""Young modulus of the sac's skeleton, Poisson ratio 0 [kPa]."""

OPEN = 10.0
"""Conductance and mobility that are no resistance, at steps of 30 s."""


@dataclass(frozen=True)
class Coaxial:
    """Exact equilibrium; units mm, kPa."""

    medium: Biot
    dura_modulus: float
    dura_thickness: float = 0.3
    dura_poisson: float = 0.45
    capacity: float = 5.0
    injected: float = 1.0
    network: float = NETWORK

    @property
    def membrane(self) -> float:
        """E_m = E h/(1 - nu_d^2) [kPa mm]."""
        return self.dura_modulus * self.dura_thickness / (1 - self.dura_poisson**2)

    def solution(self) -> tuple[float, float, float]:
        """Displacement of the dura, pore pressure, CSF pressure."""
        m, a, area = self.medium, SAC, (BONE**2 - SAC**2) / 2
        stiffness = m.vertical * a / area + 2 * m.shear / a + self.membrane / a**2
        stiffness += self.network * (2 * a / (a**2 - CORE**2) - 1 / a)  # K_v = E, 2 mu = E
        matrix = [
            [stiffness, m.biot, -1.0],
            [-m.biot * a, m.inverse_modulus * area, 0.0],
            [2 * np.pi * a, 0.0, self.capacity],
        ]
        u, p, csf = np.linalg.solve(np.array(matrix), np.array([0.0, self.injected / (2 * np.pi), 0.0]))
        return float(u), float(p), float(csf)

    def displacement(self, x: Array) -> Array:
        """Displacement everywhere: u = A r + B/r on both sides, 0 at core and bone."""
        u, _, _ = self.solution()
        r = np.linalg.norm(x[:2], axis=0)
        rim = np.where(r > SAC, BONE, CORE)
        radial = u * (r / rim**2 - 1 / r) / (SAC / rim**2 - 1 / SAC)
        return np.stack([radial * x[0] / r, radial * x[1] / r, 0 * r])


STEP = 30.0
"""Long enough for fluid to follow; round-off of mobility, step and pressure stays below the balance asked for."""

SETTLING = 10
"""Steps after the injection; each leaves a tenth of what the network still has to drain."""

CASES = {
    "alpha 1": Coaxial(Biot(2.0, 0.35, 1.0, 0.0), 1000.0),
    "alpha .9": Coaxial(Biot(2.0, 0.35, 0.9, 0.05), 0.0),
}


@dataclass
class CoaxialPatch(Problem):
    """A quarter of a slab."""

    name: str = "coaxial"
    title: str = "Coaxial patch"
    levels: tuple[int, ...] = (4, 8)
    full_levels: tuple[int, ...] = (4, 8, 16)

    def checks(self) -> Sequence[Check]:
        """1e-5 with second-order geometry; scalars inherit at least the order of u in L2."""
        found = [
            check
            for case in CASES
            for check in (
                Check(f"u(a), {case}", 1e-5, 3.0),
                Check(f"pore pressure, {case}", 1e-5, 3.0),
                Check(f"CSF pressure, {case}", 1e-5, 3.0),
                Check(f"u L2, {case}", 1e-3, 3.0, "a norm over both rings; at eight cells u is steep in each"),
                Check(f"volume balance, {case}", 1e-10, None, "linear: round-off"),
            )
        ]
        # what is displaced is what was injected: exact on every mesh
        return [
            c if c.quantity != "CSF pressure, alpha 1" else Check(c.quantity, 1e-8, None, "conservation") for c in found
        ]

    def run(self, level: int) -> Result:
        """Inject in one step and let it settle."""
        errors: dict[str, float] = {}
        curves = []
        for label, case in CASES.items():
            model, stepping, height = pose(self.comm, level, case)
            model.supply["e"].x.array[:] = case.injected * height / 4 / volume(model) / STEP
            stepping.step(STEP)
            model.supply["e"].x.array[:] = 0.0
            for _ in range(SETTLING):
                stepping.step(STEP)
            u, p, csf = case.solution()
            found = value_of_dura(model)
            pressure = value_at_largest(model, "e", lambda x: x[0])
            errors |= {
                f"u(a), {label}": abs(found / u - 1),
                f"pore pressure, {label}": abs(pressure / p - 1),
                f"CSF pressure, {label}": abs(stepping.newton.pressure["csf"] / csf - 1),
                f"u L2, {label}": ErrorNorm(model, "u")(case.displacement),
                f"volume balance, {label}": balance(model, stepping, case, height),
            }
            curves.append(_profile(model, case, label))
        return Result(errors, tuple(curves), ("radius (mm)", "radial displacement (mm)"))


def pose(comm: MPI.Comm, level: int, case: Coaxial) -> tuple[PoroModel, Stepping, float]:
    """Model, solver and height of the slab [mm]."""
    height = (BONE - CORE) / level
    middle = (SAC - CORE) / (BONE - CORE)
    domain = mapped(comm, (level, level, 1), quarter_ring(CORE, BONE, height), {2: middle}, {"dura": middle})
    medium = case.medium
    fat = Region(
        2,
        "e",
        LinearElastic(medium.youngs_modulus, medium.poisson_ratio),
        ConstantMobility(1.0),
        LinearStorage(medium.inverse_modulus),
        medium.biot,
    )
    model = PoroModel(
        domain,
        Setup(
            regions=[Region(1, "s", LinearElastic(case.network, 0.0), ConstantMobility(OPEN)), fat],
            membranes=[
                SurfaceMembrane("dura", LinearMembrane(case.dura_modulus, case.dura_poisson, case.dura_thickness))
            ],
            links=[Link("x0", "s", "csf", OPEN)],
            fixed=[Fixed(("x0", "x1")), Fixed(("y0",), 1), Fixed(("y1",), 0), Fixed(("z0", "z1"), 2)],
            kinematics=SmallStrain(),
        ),
    )
    stepping = Stepping(model, {"csf": ElasticCompartment(case.capacity * height / 4)}, force=1e-12, volume=3e-12)
    return model, stepping, height


def value_of_dura(model: PoroModel) -> float:
    """Mean radial displacement of the dura."""
    x = ufl.SpatialCoordinate(model.domain.mesh)
    radial = ufl.as_vector((x[0], x[1], 0.0)) / ufl.sqrt(x[0] ** 2 + x[1] ** 2)
    return surface_mean(model, "dura", lambda u, p: ufl.inner(u, radial))


def balance(model: PoroModel, stepping: Stepping, case: Coaxial, height: float) -> float:
    """Injected less taken up by fat, sac and compartment, over injected."""
    u, p = model.split(model.state)
    held = sum(
        integrate(compile_form(model.content(region, u, p[region.pressure]) * model.dx(region)), model.comm)
        for region in model.regions
    )
    injected = case.injected * height / 4
    taken = stepping.compartments["csf"].volume(stepping.newton.pressure["csf"])
    return abs(injected - held - taken) / injected


def volume(model: PoroModel) -> float:
    """Volume of the meshed epidural space, at the quadrature of the model."""
    fat = next(region for region in model.regions if region.pressure == "e")
    return integrate(compile_form(fem.Constant(model.domain.mesh, 1.0) * model.dx(fat)), model.comm)


def _profile(model: PoroModel, case: Coaxial, label: str) -> Curve:
    x = model.vector_space.tabulate_dof_coordinates()
    line = np.flatnonzero((np.abs(x[:, 1]) < 1e-9) & (np.abs(x[:, 2]) < 1e-9))
    values = model.state.x.array[np.asarray(model.dofs["u"]).reshape(-1, 3)[line, 0]]
    fine = np.linspace(CORE, BONE, 200)
    exact = case.displacement(np.stack([fine, 0 * fine, 0 * fine]))[0]
    return Curve(label.replace("alpha", "α"), x[line, 0], values, fine, exact)

"""Tension-only fibres smeared over a volume: denticulate ligaments beside the cord, roots below it.

* A block with fibres along an oblique unit vector d, stretched by F = I + (L - 1) d d: the fibres carry the second
  Piola-Kirchhoff stress E ramp((L^2 - 1)/2, toe), so that the virtual field d (d.x) does the work

      V (E ramp((L^2 - 1)/2) L + mu (L - 1/L) + lambda/2 (L^2 - 1)/L),

  the last two terms from the neo-Hookean skeleton. Slack fibres do none; stress and slope are continuous; the tangent
  is that of the finite differences.
* Ligaments of a short thoracic window: smeared with the model's own weights over the band beside the cord, a coronal
  strain e does the work k l e ramp(e) per length of cord and side on the virtual field of strain one over the length l,
  whatever the mesh: k is the stiffness per length of cord that the table names.

[1] G. A. Holzapfel 2000, Nonlinear Solid Mechanics, sec. 6.7 (one family of fibres).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import ufl
from dolfinx import fem

from fem.arrays import Array
from fem.forms import compile_form, integrate
from fem.laws.fibres import SmearedFibres
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import NeoHookean, lame
from fem.materials import Materials
from fem.poro import PoroModel
from fem.setup import Drained, Region, Setup
from geometry import Region as Part
from geometry import SpineMesh, Subregion
from studies.verification.membranes import ramp
from studies.verification.meshes import mapped
from studies.verification.posing import reaction, vector_of
from studies.verification.problem import Check, Curve, Problem, Result
from studies.verification.spine import THORACIC, patch_of
from studies.verification.tangent import jacobian_error

LAW = SmearedFibres(5.0, 0.03)
SKELETON = NeoHookean(0.1, 0.3)
ALONG = (2 / 3, -1 / 3, 2 / 3)
SIDES = ("x0", "x1", "y0", "y1", "z0", "z1")

STRAIN = 0.01
"""Coronal strain of the ligaments, within their toe [1]."""


@dataclass
class Fibres(Problem):
    """The law on a block, and the weights of the ligaments."""

    name: str = "fibres"
    title: str = "Smeared fibres"
    levels: tuple[int, ...] = (1,)
    full_levels: tuple[int, ...] = (1, 2)

    def checks(self) -> Sequence[Check]:
        """The field is linear, so that every mesh is exact."""
        return [
            Check("force", 1e-10, None, "round-off"),
            Check("slack force", 1e-12, None, "exactly the skeleton's: nothing is added"),
            Check("jump of stress", 1e-9, None, "C1: continuous, at distance 1e-10 of the kinks"),
            Check("jump of slope", 1e-4, None, "C1: the slope changes by E times the distance over the toe, 1e-6/0.03"),
            Check("tangent", 1e-7, None, "central differences with 1e-6"),
            Check("stiffness of the ligaments", 1e-9, None, "round-off: the weights sum to the band's volume"),
        ]

    def run(self, level: int) -> Result:
        """Hold every displacement and read the work."""
        domain = mapped(self.comm, (level, level, level), lambda unit: unit)
        along = np.array(ALONG)
        fibres = ((LAW, ufl.as_vector(ALONG), 1.0),)
        model = PoroModel(
            domain,
            Setup(
                regions=[Region(1, "p", SKELETON, ConstantMobility(1.0), fibres=fibres)],
                drained=[Drained(SIDES, "p")],
            ),
        )

        def work(stretch: float) -> float:
            model.state.x.array[:] = vector_of(model, {"u": lambda x: (stretch - 1) * along[:, None] * (along @ x)})
            return reaction(model, "u", lambda x: along[:, None] * (along @ x))

        stretches = np.linspace(0.9, 1.1, 41)
        found, exact = np.array([work(L) for L in stretches]), np.array([self.work(L) for L in stretches])
        toe = float(np.sqrt(1 + 2 * LAW.toe_strain))
        stress, slope = [], []
        for kink in (1.0, toe):
            near, step = 1e-10, 1e-6
            stress.append(abs(work(kink + near) - work(kink - near)))
            above, below = (work(kink + s * step) - work(kink) for s in (2, -2))
            slope.append(abs(above + below) / (2 * step))
        tangents = []
        for stretch in (0.95, 1.015, 1.06):
            work(stretch)
            tangents.append(jacobian_error(model, seed=7))
        errors = {
            "force": float(np.max(np.abs(found - exact)) / np.max(exact)),
            "slack force": float(np.max(np.abs((found - exact)[stretches <= 1])) / np.max(exact)),
            "jump of stress": max(stress) / LAW.modulus,
            "jump of slope": max(slope) / LAW.modulus,
            "tangent": max(tangents),
            "stiffness of the ligaments": self._ligaments(),
        }
        curve = Curve("along the fibres", stretches, found / LAW.modulus, stretches, exact / LAW.modulus)
        return Result(errors, (curve,), ("stretch", "work / E"))

    @staticmethod
    def work(stretch: float) -> float:
        """Work on the virtual field per volume."""
        mu, lmbda = lame(SKELETON.youngs_modulus, SKELETON.poisson_ratio)
        skeleton = mu * (stretch - 1 / stretch) + lmbda / 2 * (stretch**2 - 1) / stretch
        return float(LAW.modulus * ramp((stretch**2 - 1) / 2, LAW.toe_strain) * stretch + skeleton)

    def _ligaments(self) -> float:
        """Relative error of the work of the denticulate ligaments of a window on a coronal strain."""
        model, _ = patch_of(self.comm, *THORACIC)
        spine, poro = model.spine, model.poro
        region = next(region for region in poro.regions if region.tag == Part.SUBARACHNOID)
        law, direction, weight = region.fibres[1]
        gradient = ufl.Identity(3) + STRAIN * ufl.outer(direction, direction)
        virtual = ufl.outer(direction, direction)
        work = law.virtual_work(gradient, virtual, direction) * weight
        found = integrate(compile_form(fem.Constant(model.domain.mesh, 1.0) * work * poro.dx(region)), self.comm)
        stiffness = Materials.from_table().values["ligaments.denticulate_stiffness"]
        toe = Materials.from_table().values["ligaments.toe_strain"]
        stretch = 1 + STRAIN
        per_length = stiffness * ramp((stretch**2 - 1) / 2, toe) * stretch * lengths(spine) ** 2
        exact = 2 * float(np.sum(per_length * np.diff(spine.slab_edges)))
        return abs(model.copies * found / exact - 1)


def lengths(spine: SpineMesh) -> Array:
    """Length of a ligament in every slab: half the width of the sac less half that of the cord [m]."""
    found = []
    for slab in range(len(spine.slab_edges) - 1):
        here = spine.slab == slab
        cord, sac = (
            np.ptp(spine.points[np.unique(spine.cells[here & part]), 0])
            for part in (spine.region == Part.CORD, spine.subregion == Subregion.THECAL)
        )
        found.append((sac - cord) / 2)
    return np.array(found)

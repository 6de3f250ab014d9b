"""The pressure jump across the dura: a leak of known conductance, and none.

Two saturated blocks in series, with a membrane between them, are held at pressures P and 0 at their ends. The flow is

    q = P/(L1/(k1 A) + 1/G + L2/(k2 A)),

and the pressure jumps by q/G; both are linear elsewhere, hence exact in the discrete space. Without a leak there is no
flow at all, to round-off: the blocks deform, and each keeps its fluid.

[1] K. Terzaghi & R. B. Peck 1967, Soil Mechanics in Engineering Practice, art. 14 (flow through layers in series).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fem.forms import compile_form, integrate
from fem.laws.fibres import LinearMembrane, NeoHookeanMembrane
from fem.laws.kinematics import FiniteStrain, Kinematics, SmallStrain
from fem.laws.leak import OpenLeak
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import LinearElastic, NeoHookean
from fem.poro import PoroModel
from fem.setup import Drained, Fixed, Leak, Region, Setup, SurfaceMembrane
from studies.verification.meshes import mapped
from studies.verification.posing import Stepping, reaction, value_at_largest
from studies.verification.problem import Check, Curve, Problem, Result

PRESSURE, CONDUCTANCE, MOBILITIES = 2.0, 0.3, (1.5, 0.4)
LENGTH = 1e6
"""Step after which nothing moves: c dt/L^2 of 1e5 and more."""
BALANCE = 1e-13 * LENGTH
"""Volume that may be out of balance after it: the sum over the vertices of the round-off of what flows in a step."""


@dataclass
class PressureJump(Problem):
    """Two blocks of unit section and half-unit length."""

    name: str = "jump"
    title: str = "Pressure jump with a leak"
    levels: tuple[int, ...] = (2,)
    full_levels: tuple[int, ...] = (2, 4)

    def checks(self) -> Sequence[Check]:
        """Exact in the discrete space: round-off, of steps and of a stiffness ratio of 1e2."""
        return [
            Check("flow", 1e-9, None, "round-off times c dt/L^2"),
            Check("jump", 1e-9, None, "round-off times c dt/L^2"),
            Check("balance of flow", 1e-9, None, "the same expression on both sides"),
            Check("sealed: flow", 1e-12, None, "round-off: no term couples the sides"),
            Check("sealed: volume kept, linear", 1e-10, None, "acceptance"),
            Check("sealed: volume kept, finite strain", 1e-8, None, "acceptance"),
        ]

    def run(self, level: int) -> Result:
        """With the leak, then sealed."""
        flow = PRESSURE / (0.5 / MOBILITIES[0] + 1 / CONDUCTANCE + 0.5 / MOBILITIES[1])
        model = self.pose(level, SmallStrain(), (Leak("tear", ("dura",), "s", "e", OpenLeak(CONDUCTANCE)),), ends=True)
        stepping = Stepping(model, force=1e-9, volume=BALANCE)
        for _ in range(2):
            stepping.step(LENGTH, {"s": lambda x: 0 * x[0] + PRESSURE, "e": lambda x: 0 * x[0]})
        entering = -reaction(model, "s", lambda x: np.isclose(x[0], 0.0) * 1.0) / LENGTH
        leaving = reaction(model, "e", lambda x: np.isclose(x[0], 1.0) * 1.0) / LENGTH
        inside = value_at_largest(model, "s", lambda x: x[0] * (x[0] < 0.5 + 1e-9))
        outside = value_at_largest(model, "e", lambda x: -np.abs(x[0] - 0.5))
        errors = {
            "flow": abs(abs(entering) / flow - 1),
            "jump": abs((inside - outside) / (flow / CONDUCTANCE) - 1),
            "balance of flow": abs(abs(entering) - abs(leaving)) / flow,
        }
        curve = self._profile(model, flow)

        sealed = self.pose(level, SmallStrain(), (), ends=True)
        stepping = Stepping(sealed, force=1e-9, volume=BALANCE)
        for _ in range(2):
            stepping.step(LENGTH, {"s": lambda x: 0 * x[0] + PRESSURE, "e": lambda x: 0 * x[0]})
        through = reaction(sealed, "e", lambda x: np.isclose(x[0], 1.0) * 1.0) / LENGTH
        errors["sealed: flow"] = abs(through) / flow
        errors["sealed: volume kept, linear"] = self._kept(level, SmallStrain())
        errors["sealed: volume kept, finite strain"] = self._kept(level, FiniteStrain())
        return Result(errors, (curve,), ("distance", "pressure"))

    def pose(self, level: int, kinematics: Kinematics, leaks: Sequence[Leak], ends: bool) -> PoroModel:
        """Sac in 0 < x < 1/2, epidural space beyond, dura between; closed at the ends or held at their pressures."""
        domain = mapped(self.comm, (2 * level, level, level), lambda unit: unit, {2: 0.5}, {"dura": 0.5})
        linear = kinematics.linear
        solid = LinearElastic(1.0, 0.2) if linear else NeoHookean(1.0, 0.2)
        dura = LinearMembrane(50.0, 0.4, 0.02) if linear else NeoHookeanMembrane(20.0, 2.0, 0.02)
        rollers = [Fixed((f"{axis}{end}",), k) for axis, k in (("y", 1), ("z", 2)) for end in (0, 1)]
        return PoroModel(
            domain,
            Setup(
                regions=[
                    Region(tag, name, solid, ConstantMobility(mobility))
                    for tag, name, mobility in zip((1, 2), ("s", "e"), MOBILITIES, strict=True)
                ],
                membranes=[SurfaceMembrane("dura", dura)],
                leaks=leaks,
                fixed=[Fixed(("x1",)), *([Fixed(("x0",))] if ends else []), *rollers],
                drained=[Drained(("x0",), "s"), Drained(("x1",), "e")] if ends else [],
                kinematics=kinematics,
                axis=(0.0, 0.0, 1.0),
            ),
        )

    def _kept(self, level: int, kinematics: Kinematics) -> float:
        """Inject into the closed epidural block, the sac's end free; largest change of volume that is not injected."""
        model = self.pose(level, kinematics, (), ends=False)
        stepping = Stepping(model, force=1e-10, volume=1e-13)
        # not uniform, so that everything moves and the dura bulges
        supply: Any = model.supply["e"]
        supply.interpolate(lambda x: 0.02 * (1 + np.sin(3 * x[1]) * x[2]))
        rate = integrate(compile_form(model.supply["e"] * model.dx(model.regions[1])), model.comm)
        for _ in range(4):
            stepping.step(0.5)
        u, p = model.split(model.state)
        held = [
            integrate(compile_form(model.content(region, u, p[region.pressure]) * model.dx(region)), model.comm)
            for region in model.regions
        ]
        injected = 2.0 * rate
        return max(abs(held[0]), abs(held[1] - injected)) / injected

    def _profile(self, model: PoroModel, flow: float) -> Curve:
        x, values = [], []
        for name, side in (("s", -1), ("e", 1)):
            space, dofs = model.collapsed[name]
            place = space.tabulate_dof_coordinates()
            line = np.flatnonzero(
                (np.abs(place[:, 1]) < 1e-9) & (np.abs(place[:, 2]) < 1e-9) & (side * (place[:, 0] - 0.5) > -1e-9)
            )
            line = line[np.argsort(place[line, 0])]
            x.append(place[line, 0])
            values.append(model.state.x.array[np.asarray(dofs)[line]])
        before = PRESSURE - flow * 0.5 / MOBILITIES[0]
        exact = np.array([PRESSURE, before, before - flow / CONDUCTANCE, 0.0])
        return Curve("leak", np.concatenate(x), np.concatenate(values), np.array([0, 0.5, 0.5, 1]), exact)

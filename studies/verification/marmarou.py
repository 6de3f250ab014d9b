"""Infusion into the craniospinal space, and a bolus (Marmarou).

Capacity C = 1/(k (P - P0)), k = ln 10/PVI; baseline P_b is held by formation I_f = (P_b - P0)/R; infusion at I gives

    P(t) = P0 + (I + I_f)(P_b - P0)/(I_f + I exp(-k (I R + P_b - P0) t/R)),

with the plateau P_b + I R. A bolus gives P_b' = P0 + (P_b - P0) 10^(dV/PVI).

The fluid enters a rigid, saturated box and reaches the compartment through its link, so that source, pore pressure,
link and bordered solve are all on the way. Backward Euler is of first order; its error has an expansion in the step, so
that Richardson's extrapolation over halved steps brings out the digits. Units are mmHg, mL and min.

[1] A. Marmarou, K. Shulman & R. M. Rosende 1978, J Neurosurg 48:332, doi:10.3171/jns.1978.48.3.0332.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fem.arrays import Array
from fem.compartments import CraniospinalCompartment
from fem.laws.kinematics import SmallStrain
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import LinearElastic
from fem.poro import PoroModel
from fem.setup import Fixed, Link, Region, Setup
from studies.verification.meshes import rectangle
from studies.verification.posing import Stepping
from studies.verification.problem import Check, Curve, Problem, Result

OPEN = 100.0
"""Mobility and conductance that are no resistance: the drop does not enter the pressure of the compartment."""

HALVINGS = 4
"""Step sequences in the extrapolation: n, n/2, n/4, n/8."""


@dataclass(frozen=True)
class Marmarou:
    """Exact solution; mmHg, mL, min."""

    baseline: float = 10.0
    reference: float = 0.0
    pvi: float = 25.0
    resistance: float = 8.0
    infusion: float = 1.5

    @property
    def formation(self) -> float:
        """I_f, which holds the baseline."""
        return (self.baseline - self.reference) / self.resistance

    def pressure(self, time: float | Array) -> Array:
        """Pressure at a time after the infusion began."""
        k, rest = np.log(10) / self.pvi, self.baseline - self.reference
        decay = np.exp(-k * (self.infusion * self.resistance + rest) * np.asarray(time) / self.resistance)
        total = self.infusion + self.formation
        return self.reference + total * rest / (self.formation + self.infusion * decay)


@dataclass
class Infusion(Problem):
    """Infusion for 20 min, its plateau, and a bolus of 4 mL."""

    name: str = "marmarou"
    title: str = "Marmarou's infusion and bolus"
    axis: str = "time steps"
    levels: tuple[int, ...] = (64, 128)
    full_levels: tuple[int, ...] = (64, 128, 256)
    exact: Marmarou = Marmarou()
    end: float = 20.0
    bolus: float = 4.0

    def checks(self) -> Sequence[Check]:
        """1e-6; backward Euler alone is of first order."""
        return [
            Check("P(20 min)", 1e-2, 1.0, "first order: the order is the check"),
            Check("P(20 min) extrapolated", 1e-6, None, "acceptance"),
            Check("plateau", 1e-6, None, "no error in time is left"),
            Check("bolus", 1e-6, None, "one step; the volume of the compartment is integrated exactly"),
            Check("volume balance", 1e-10, None, "linear in volume"),
        ]

    def run(self, level: int) -> Result:
        """March with level, level/2, level/4, level/8 steps."""
        ends = []
        track: list[float] = []
        for halving in range(HALVINGS):
            track = self.march(level // 2**halving, self.end, self.exact.infusion)
            ends.append(track[-1])
            if halving == 0:
                finest = track
        wanted = float(self.exact.pressure(self.end))
        plateau = self.march(40, 4000.0, self.exact.infusion)[-1]
        after, balance = self._bolus()
        raised = self.exact.reference + (self.exact.baseline - self.exact.reference) * 10 ** (
            self.bolus / self.exact.pvi
        )
        times = np.linspace(0, self.end, level + 1)
        fine = np.linspace(0, self.end, 300)
        shown = slice(None, None, max(level // 32, 1))
        curve = Curve(f"{level} steps", times[shown], np.array(finest)[shown], fine, self.exact.pressure(fine))
        return Result(
            {
                "P(20 min)": abs(ends[0] / wanted - 1),
                "P(20 min) extrapolated": abs(extrapolated(ends) / wanted - 1),
                "plateau": abs(plateau / (self.exact.baseline + self.exact.infusion * self.exact.resistance) - 1),
                "bolus": abs(after / raised - 1),
                "volume balance": balance,
            },
            (curve,),
            ("time (min)", "CSF pressure (mmHg)"),
        )

    def pose(self, resistance: float, formation: float) -> Stepping:
        """A rigid box of volume 1, linked to the compartment, at the baseline."""
        domain = rectangle(self.comm, (1.0, 1.0), (1, 1))
        model = PoroModel(
            domain,
            Setup(
                regions=[Region(1, "s", LinearElastic(1.0, 0.2), ConstantMobility(OPEN))],
                fixed=[Fixed(("left", "right", "bottom", "top"))],
                links=[Link("top", "s", "csf", OPEN)],
                kinematics=SmallStrain(),
            ),
        )
        csf = CraniospinalCompartment(
            pvi=self.exact.pvi,
            reference=self.exact.reference,
            outflow_resistance=resistance,
            formation=formation,
            venous=self.exact.reference,
            floor=self.exact.reference + 1e-3,
            share=0.0,
        )
        stepping = Stepping(model, {"csf": csf}, force=1e-10, volume=1e-9)
        stepping.newton.pressure["csf"] = self.exact.baseline
        model.state.x.array[model.dofs["s"]] = self.exact.baseline
        return stepping

    def march(self, steps: int, end: float, rate: float) -> list[float]:
        """Pressures at the ends of equal steps, the baseline first."""
        stepping = self.pose(self.exact.resistance, self.exact.formation)
        stepping.model.supply["s"].x.array[:] = rate
        track = [self.exact.baseline]
        for _, length in stepping.steps(0.0, end, steps):
            stepping.step(length)
            track.append(stepping.newton.pressure["csf"])
        return track

    def _bolus(self) -> tuple[float, float]:
        stepping = self.pose(1e12, 0.0)
        csf, before = stepping.compartments["csf"], stepping.newton.pressure["csf"]
        stepping.model.supply["s"].x.array[:] = self.bolus / 0.1
        stepping.step(0.1)
        after = stepping.newton.pressure["csf"]
        return after, abs((csf.volume(after) - csf.volume(before)) / self.bolus - 1)


def extrapolated(values: Sequence[float]) -> float:
    """Limit of a first-order sequence over n, n/2, n/4, ... steps (Richardson 1911)."""
    table = list(reversed(values))  # coarse first
    for order in range(1, len(table)):
        for k in range(len(table) - 1, order - 1, -1):
            table[k] += (table[k] - table[k - 1]) / (2**order - 1)
    return table[-1]

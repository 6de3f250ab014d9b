"""What pressure and plug each contribute to the CSF pressure.

Beside the run a second CSF pressure is followed: that of the same patient, squeezed by the same patch, whose leaks no
clot closes. The two differ by what leaks and by what is absorbed in return,

    V(P_open) - V(P) = integral of [absorbed(P) - absorbed(P_open) + q(P) - q(P_open)],

with V the volume of the whole craniospinal space and q the flow of the leaks at their drop in the run, shifted by
P_open - P. What P exceeds P_open by is the plug's; what P_open exceeds the baseline by is the pressure's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scipy.optimize import brentq

from fem.arrays import Array
from fem.compartments import CraniospinalCompartment
from fem.parameters import Leak

REACH = 1e4
"""How far beside a known pressure another one is sought [Pa]."""

ACCURACY = 1e-10
"""Accuracy of a pressure that is sought [Pa]."""


@dataclass(frozen=True)
class Craniospinal:
    """The whole craniospinal space as one volume, with the leaks of a patient.

    Attributes:
        space: formation, absorption and compliance of the whole, the window included.
        leaks: conductances are those of the model [m^3/(Pa s)].
    """

    space: CraniospinalCompartment
    leaks: Sequence[Leak]

    @classmethod
    def of(cls, compartment: CraniospinalCompartment, leaks: Sequence[Leak]) -> Craniospinal:
        """The whole that a compartment outside the window is part of."""
        return cls(replace(compartment, window_compliance=0.0, share=None), leaks)

    def open_flow(self, open_: Array, drop: Array, shift: float) -> float:
        """Flow of all leaks, none of them closed by clot [m^3/s], at drops that are shifted by a pressure.

        Args:
            open_: flow of each leak without the shift [m^3/s].
            drop: mean drop across each leak's patch without the shift [Pa].
            shift: [Pa].
        """
        total = 0.0
        for leak, flow, d in zip(self.leaks, open_, drop, strict=True):
            # where a flap is shut the drop says how far it is from opening
            now = leak.conductance * d if leak.flap and flow <= 0 else flow
            then = now + leak.conductance * shift
            total += max(then, 0.0) if leak.flap else then
        return total

    def without_plug(
        self, before: tuple[float, float], after: float, step: float, flow: float, open_: Array, drop: Array
    ) -> float:
        """CSF pressure at the end of a step had no clot closed a leak [Pa].

        Args:
            before: pressure of the run, and without plug, at the beginning [Pa].
            after: pressure of the run at the end [Pa].
            step: its length [s].
            flow: of all leaks in the run at its end [m^3/s].
            open_: flow of each leak there if clot closed none [m^3/s].
            drop: across each leak in the run at its end [Pa].
        """
        space = self.space
        gap = space.volume(before[1]) - space.volume(before[0])

        def defect(pressure: float) -> float:
            gained = space.inflow(pressure) - space.inflow(after) + flow - self.open_flow(open_, drop, pressure - after)
            return space.volume(pressure) - space.volume(after) - gap - step * gained

        return self._root(defect, after)

    def leaking_only(self, before: float, step: float, flow: float, slope: float) -> float:
        """CSF pressure at the end of a step in which nothing is displaced, from formation, absorption and leaks [Pa].

        Args:
            before: at the beginning [Pa].
            step: its length [s].
            flow: of all leaks at ``before`` [m^3/s].
            slope: growth of that flow with pressure [m^3/(Pa s)].
        """
        space = self.space

        def defect(pressure: float) -> float:
            lost = flow + slope * (pressure - before)
            return space.volume(pressure) - space.volume(before) - step * (space.inflow(pressure) - lost)

        return self._root(defect, before)

    @staticmethod
    def _root(defect: Callable[[float], float], near: float) -> float:
        if defect(near) == 0.0:
            return near
        return float(brentq(defect, near - REACH, near + REACH, xtol=ACCURACY))

"""Where the CSF pressure of a patient rests: formation against absorption and leaks, before the patch.

Formation = max(P - P_ss, 0)/R_out + G (P - p_e), with P_ss = set point - R_out formation. Three cases: leaks of known
conductance give the pressure; a known pressure gives the conductance; with both known the epidural pressure has to fit,
within what has been measured.

The epidural pressures measured in leaking patients are the resting ones (5.1 mmHg after dural puncture), so that what
leaks at rest is taken up where it leaks and raises the epidural pressure no further.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.optimize import brentq

from fem.errors import ModelError
from fem.parameters import Csf

MMHG = 133.322387415

RESTING_EPIDURAL = 4.7 * MMHG
"""Resting lumbar epidural pressure [Pa]; IJOA 1993, n = 50 (6.4 cmH2O)."""

EPIDURAL_RANGE = (0.4 * MMHG, 8.8 * MMHG)
"""Lowest and highest epidural pressure of that series [Pa] (0.5 and 12 cmH2O)."""

LEAST_DROP = 1.0 * MMHG
"""CSF above epidural pressure at rest where only the patient's pressure is known [Pa]; no measurement."""

AGREEMENT = 0.02
"""Relative difference between a conductance and the one that formation sustains that counts as none [1]."""


@dataclass(frozen=True)
class Regulation:
    """Formation and absorption.

    Attributes:
        set_point: pressure of the leak-free equilibrium [Pa].
        outflow_resistance: [Pa s/m^3].
        formation: [m^3/s].
    """

    set_point: float
    outflow_resistance: float
    formation: float

    @property
    def venous(self) -> float:
        """Pressure below which nothing is absorbed, P_ss [Pa]."""
        return self.set_point - self.outflow_resistance * self.formation

    def surplus(self, pressure: float) -> float:
        """Formation less absorption [m^3/s]: what a leak carries at rest."""
        return self.formation - max(pressure - self.venous, 0.0) / self.outflow_resistance


@dataclass(frozen=True)
class Rest:
    """State of a leaking patient at rest: CSF and epidural pressure [Pa], conductance of all leaks [m^3/(Pa s)]."""

    pressure: float
    epidural: float
    conductance: float


def resting_epidural(pressure: float) -> float:
    """Epidural pressure of a patient without leak [Pa]."""
    return min(RESTING_EPIDURAL, pressure)


def epidural_baseline(csf: Csf) -> float:
    """Epidural pressure before the patch [Pa]: as given, or the resting one."""
    return resting_epidural(csf.baseline_pressure) if csf.epidural_pressure is None else csf.epidural_pressure


def pressure_of_leak(regulation: Regulation, conductance: float, epidural: float | None = None) -> Rest:
    """Rest of a patient whose leaks are known.

    Raises:
        ModelError: the set point lies below the epidural pressure, so that nothing leaks.
    """
    outside = RESTING_EPIDURAL if epidural is None else epidural
    high = regulation.set_point
    if high <= outside:
        raise ModelError(
            f"the epidural pressure, {outside / MMHG:.3g} mmHg, is not below the set point, {high / MMHG:.3g} mmHg: "
            "nothing leaks"
        )
    pressure = brentq(lambda p: regulation.surplus(p) - conductance * (p - outside), outside, high, xtol=1e-9)
    return Rest(float(pressure), outside, conductance)


def conductance_of_pressure(regulation: Regulation, pressure: float, epidural: float | None = None) -> Rest:
    """Rest of a leaking patient whose pressure is known.

    Raises:
        ModelError: formation cannot sustain a leak at this pressure.
    """
    flow = _sustained(regulation, pressure)
    outside = min(RESTING_EPIDURAL, pressure - LEAST_DROP) if epidural is None else epidural
    if pressure <= outside:
        raise ModelError(
            f"the epidural pressure, {outside / MMHG:.3g} mmHg, is not below it: nothing leaks; "
            "allowed is a pressure above it"
        )
    return Rest(pressure, outside, flow / (pressure - outside))


def epidural_of_both(regulation: Regulation, pressure: float, conductance: float, epidural: float | None) -> Rest:
    """Rest of a leaking patient whose pressure and leaks are known.

    Raises:
        ModelError: formation does not sustain the two together, with the conductances that it does.
    """
    flow = _sustained(regulation, pressure)
    low, high = EPIDURAL_RANGE if epidural is None else (epidural, epidural)
    least = flow / (pressure - low) if pressure > low else float("inf")
    most = flow / (pressure - high) if pressure > high else float("inf")
    slack = 0.0 if epidural is None else AGREEMENT
    if not least * (1 - slack) <= conductance <= most * (1 + slack):
        bounds = f"at least {_shown(least)}" if most == float("inf") else f"{_shown(least)} to {_shown(most)}"
        raise ModelError(
            f"formation leaves {flow * 6e7:.3g} mL/min for leaks at this pressure, which allows {bounds} "
            f"with an epidural pressure of {low / MMHG:.2g} to {high / MMHG:.2g} mmHg; given is {_shown(conductance)}"
        )
    return Rest(pressure, pressure - flow / conductance if epidural is None else epidural, conductance)


def _sustained(regulation: Regulation, pressure: float) -> float:
    flow = regulation.surplus(pressure)
    if flow <= 0:
        raise ModelError(
            f"formation of {regulation.formation * 6e7:.3g} mL/min sustains no leak at this pressure; allowed is a "
            f"pressure below the set point, {regulation.set_point / MMHG:.3g} mmHg, and a formation above zero"
        )
    return flow


def _shown(conductance: float) -> str:
    return f"{conductance * 6e7 * MMHG:.3g} mL/(min mmHg)"

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
from fem.parameters import MMHG, Csf

RESTING_EPIDURAL = 4.7 * MMHG
"""Resting lumbar epidural pressure [Pa]; IJOA 1993, n = 50 (6.4 cmH2O)."""

EPIDURAL_RANGE = (0.4 * MMHG, 8.8 * MMHG)
"""Lowest and highest epidural pressure of that series [Pa] (0.5 and 12 cmH2O)."""

LEAST_DROP = 1.0 * MMHG
"""CSF above epidural pressure at rest where only the patient's pressure is known [Pa]; no measurement."""

AGREEMENT = 0.02
"""Relative difference between a conductance and the one that formation sustains that counts as none [1]."""

LEAST_SHARE = 1e-3
"""Share of formation at or below which what is left for leaks counts as none [1].

A thousandth moves the rest of the presets by .003 mmHg, which no manometer reads, while formation itself goes from 0.2
to 0.7 mL/min over the day (Nilsson 1992). At the set point round-off leaves 1e-16 of formation, of either sign.
"""

OPENING_DROP = 1.78
"""CSF above epidural pressure at rest below which a leak is not open [Pa]; 0.0133 mmHg.

Two thirds of the range over which a flap opens (``leak.smoothing``), where it lets through a third of what an open hole
does. A steady flow was found at 0.012 mmHg, none at 0.010 mmHg; a hole of 11 gauge has 0.0137 mmHg, one of 10 gauge
0.0094 mmHg.
"""


class ConductanceError(ModelError):
    """Formation sustains leaks at these pressures, but not of this conductance."""


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

    @property
    def least_depth(self) -> float:
        """How far below the set point formation leaves the least share for leaks [Pa]."""
        return LEAST_SHARE * self.outflow_resistance * self.formation

    def sustained(self, pressure: float) -> float:
        """What formation leaves for leaks at a pressure [m^3/s].

        Raises:
            ModelError: it is at most ``LEAST_SHARE`` of formation.
        """
        flow = self.surplus(pressure)
        if flow <= LEAST_SHARE * self.formation:
            raise ModelError(
                f"formation of {self.formation * 6e7:.3g} mL/min sustains no leak at this pressure; allowed is a "
                f"pressure more than {self.least_depth / MMHG:.2g} mmHg below the set point, "
                f"{self.set_point / MMHG:.3g} mmHg"
            )
        return flow


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
        ConductanceError: formation sustains no rest with it: hardly anything leaks, or hardly any pressure is left.
        ModelError: the set point does not lie above the epidural pressure, so that nothing leaks.
    """
    outside = RESTING_EPIDURAL if epidural is None else epidural
    high = regulation.set_point
    if high - outside <= OPENING_DROP + regulation.least_depth:
        raise ModelError(
            f"the epidural pressure, {outside / MMHG:.3g} mmHg, is not below the set point, {high / MMHG:.3g} mmHg: "
            f"nothing leaks; allowed are more than {(OPENING_DROP + regulation.least_depth) / MMHG:.2g} mmHg between"
        )
    least = LEAST_SHARE * regulation.formation / (high - regulation.least_depth - outside)
    most = regulation.surplus(outside + OPENING_DROP) / OPENING_DROP
    if not least < conductance <= most:
        raise ConductanceError(
            f"allowed with formation of {regulation.formation * 6e7:.3g} mL/min and an epidural pressure of "
            f"{outside / MMHG:.3g} mmHg are {conductance_text(least)} to {conductance_text(most)} in all leaks "
            f"together; given is {conductance_text(conductance)}"
        )
    pressure = brentq(lambda p: regulation.surplus(p) - conductance * (p - outside), outside, high, xtol=1e-9)
    return Rest(float(pressure), outside, conductance)


def conductance_of_pressure(regulation: Regulation, pressure: float, epidural: float | None = None) -> Rest:
    """Rest of a leaking patient whose pressure is known.

    Raises:
        ModelError: formation cannot sustain a leak at this pressure, or the epidural pressure is not below it.
    """
    flow = regulation.sustained(pressure)
    outside = min(RESTING_EPIDURAL, pressure - LEAST_DROP) if epidural is None else epidural
    if pressure - outside < OPENING_DROP:
        raise ModelError(
            f"the epidural pressure, {outside / MMHG:.3g} mmHg, is not below it: nothing leaks; "
            f"allowed is a pressure at least {OPENING_DROP / MMHG:.2g} mmHg above it"
        )
    return Rest(pressure, outside, flow / (pressure - outside))


def epidural_of_both(regulation: Regulation, pressure: float, conductance: float, epidural: float | None) -> Rest:
    """Rest of a leaking patient whose pressure and leaks are known.

    Raises:
        ModelError: formation does not sustain the two together, with the conductances that it does.
    """
    flow = regulation.sustained(pressure)
    low, high = EPIDURAL_RANGE if epidural is None else (epidural, epidural)
    slack = 0.0 if epidural is None else AGREEMENT
    drop = OPENING_DROP * (1 - slack)
    outside = f"an epidural pressure of {' to '.join(dict.fromkeys(f'{p / MMHG:.2g}' for p in (low, high)))} mmHg"
    leaves = f"formation leaves {flow * 6e7:.3g} mL/min for leaks at this pressure, which allows"
    if pressure - low < drop:
        raise ModelError(
            f"{leaves} no conductance with {outside}; allowed is a pressure at least {OPENING_DROP / MMHG:.2g} mmHg "
            f"above {low / MMHG:.2g} mmHg"
        )
    least, most = (flow / max(pressure - p, drop) for p in (low, high))
    if not least * (1 - slack) <= conductance <= most * (1 + slack):
        bounds = (
            f"at least {conductance_text(least)} and at most {conductance_text(most)}"
            if epidural is None
            else conductance_text(least)
        )
        raise ModelError(f"{leaves} {bounds} with {outside}; given is {conductance_text(conductance)}")
    return Rest(pressure, pressure - flow / conductance if epidural is None else epidural, conductance)


def conductance_text(conductance: float) -> str:
    """A conductance [m^3/(Pa s)] in the unit of messages."""
    return f"{conductance * 6e7 * MMHG:.3g} mL/(min mmHg)"

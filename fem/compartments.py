"""Lumped fluid compartments that share their pressure with a boundary of the model.

::

    spine --G--> [ P, V(P) ] <--- formation
                     |
                     +---> absorption max(P - P_ss, 0) / R_out

A compartment holds V(P) of fluid beyond its baseline: dV/dt = inflow from the model + its own inflow. V is the exact
integral of the capacity, so that the fluid it takes up is known to round-off whatever the step.
Source of the exponential pressure-volume relation: Marmarou 1978 J Neurosurg 48:332, doi:10.3171/jns.1978.48.3.0332.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log
from typing import Protocol

from fem.errors import ModelError
from fem.parameters import MMHG

ML_PER_MMHG = 1e-6 / MMHG
"""Compliance of a millilitre per millimetre of mercury [m^3/Pa]."""

LN10 = log(10.0)


class Compartment(Protocol):
    """A compartment with one pressure."""

    def volume(self, pressure: float) -> float:
        """Fluid held beyond an arbitrary constant [m^3]."""

    def capacity(self, pressure: float) -> float:
        """Derivative of the volume [m^3/Pa]."""

    def inflow(self, pressure: float) -> float:
        """Own net inflow [m^3/s]."""

    def inflow_slope(self, pressure: float) -> float:
        """Derivative of the own inflow [m^3/(Pa s)]."""


@dataclass(frozen=True)
class ElasticCompartment:
    """A closed compartment of constant capacity, such as the sac below the window.

    Attributes:
        compliance: [m^3/Pa].
    """

    compliance: float

    def volume(self, pressure: float) -> float:
        return self.compliance * pressure

    def capacity(self, pressure: float) -> float:
        return self.compliance

    def inflow(self, pressure: float) -> float:
        return 0.0

    def inflow_slope(self, pressure: float) -> float:
        return 0.0


@dataclass(frozen=True)
class SharedCompartment:
    """One of the equal parts of a compartment that mirror images of the model share.

    Attributes:
        whole: the compartment.
        parts: their number.
    """

    whole: Compartment
    parts: int

    def volume(self, pressure: float) -> float:
        return self.whole.volume(pressure) / self.parts

    def capacity(self, pressure: float) -> float:
        return self.whole.capacity(pressure) / self.parts

    def inflow(self, pressure: float) -> float:
        return self.whole.inflow(pressure) / self.parts

    def inflow_slope(self, pressure: float) -> float:
        return self.whole.inflow_slope(pressure) / self.parts


@dataclass(frozen=True)
class ClosedCompartment:
    """A compartment without formation and absorption, with a prescribed inflow instead.

    Attributes:
        whole: whose compliance it has.
        rate: inflow [m^3/s].
    """

    whole: Compartment
    rate: float

    def volume(self, pressure: float) -> float:
        return self.whole.volume(pressure)

    def capacity(self, pressure: float) -> float:
        return self.whole.capacity(pressure)

    def inflow(self, pressure: float) -> float:
        return self.rate

    def inflow_slope(self, pressure: float) -> float:
        return 0.0


@dataclass(frozen=True)
class CraniospinalCompartment:
    """Skull and the spine outside the window, with formation, absorption and the pressure-volume index.

    The capacity of the whole craniospinal space is PVI / (ln 10 (P - P_ref)); what the window and the sac below it take
    up, ``window_compliance``, is taken off. Below ``floor`` the capacity stays what it is there, since the relation is
    not known for a flaccid system; above ``ceiling`` likewise: with both at the baseline it is a linear system.

    Attributes:
        pvi: pressure-volume index [m^3].
        reference: pressure of infinite capacity [Pa].
        window_compliance: of the meshed window and the sac below it [m^3/Pa]; ignored where ``share`` is given.
        outflow_resistance: [Pa s/m^3].
        formation: [m^3/s].
        venous: pressure below which nothing is absorbed, P_ss [Pa].
        floor: [Pa]; above ``reference``.
        ceiling: [Pa]; not below ``floor``.
        share: spinal share of the capacity; None uses ``window_compliance``.
    """

    pvi: float
    reference: float
    outflow_resistance: float
    formation: float
    venous: float
    floor: float
    window_compliance: float = 0.0
    share: float | None = None
    ceiling: float = inf

    def __post_init__(self) -> None:
        if self.floor <= self.reference:
            raise ModelError("the floor of the craniospinal compliance lies below its reference pressure")

    def total(self, pressure: float) -> float:
        """Capacity of the whole craniospinal space [m^3/Pa]."""
        return self.pvi / (LN10 * (self._within(pressure) - self.reference))

    def _within(self, pressure: float) -> float:
        """The nearest pressure at which the relation holds [Pa]."""
        return min(max(pressure, self.floor), self.ceiling)

    def capacity(self, pressure: float) -> float:
        """Capacity outside the window [m^3/Pa].

        Raises:
            ModelError: the window takes up more than the whole has at this pressure.
        """
        if self.share is not None:
            return (1 - self.share) * self.total(pressure)
        rest = self.total(pressure) - self.window_compliance
        if rest <= 0:
            raise ModelError(
                f"at a CSF pressure of {pressure / MMHG:.3g} mmHg the spinal window alone is more compliant "
                f"({self.window_compliance / ML_PER_MMHG:.3g} mL/mmHg) than the pressure-volume index allows the whole "
                f"({self.total(pressure) / ML_PER_MMHG:.3g} mL/mmHg): raise the index or set the spinal share"
            )
        return rest

    def volume(self, pressure: float) -> float:
        within = self._within(pressure)
        logarithm = log((within - self.reference) / (self.floor - self.reference))
        whole = self.pvi / LN10 * logarithm + self.total(pressure) * (pressure - within)
        if self.share is not None:
            return (1 - self.share) * whole
        return whole - self.window_compliance * (pressure - self.floor)

    def inflow(self, pressure: float) -> float:
        return self.formation - max(pressure - self.venous, 0.0) / self.outflow_resistance

    def inflow_slope(self, pressure: float) -> float:
        return -1.0 / self.outflow_resistance if pressure > self.venous else 0.0

    def bolus_pressure(self, pressure: float, volume: float) -> float:
        """Pressure after a sudden bolus into the whole, P_ref + (P - P_ref) 10^(V/PVI) [Pa]."""
        return self.reference + (pressure - self.reference) * exp(LN10 * volume / self.pvi)

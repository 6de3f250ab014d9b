"""Viscosities [Pa s] as functions of the shear rate [1/s]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fem.arrays import Array


class Rheology(Protocol):
    """A fluid's viscosity."""

    def viscosity(self, shear_rate: Array) -> Array:
        """Viscosity [Pa s] at shear rates [1/s], of their shape."""


@dataclass(frozen=True)
class Newtonian:
    """Constant viscosity.

    Attributes:
        constant: [Pa s].
    """

    constant: float

    def viscosity(self, shear_rate: Array) -> Array:
        return self.constant + 0.0 * shear_rate


@dataclass(frozen=True)
class Carreau:
    """Shear thinning, mu_inf + (mu_0 - mu_inf) (1 + (lambda s)^2)^((n - 1)/2).

    Source of form and constants for blood: Cho & Kensey 1991 Biorheology 28:241.

    Attributes:
        zero_shear: [Pa s].
        infinite_shear: [Pa s].
        relaxation_time: [s].
        exponent: n [1].
    """

    zero_shear: float
    infinite_shear: float
    relaxation_time: float
    exponent: float

    def viscosity(self, shear_rate: Array) -> Array:
        thinning: Array = (1 + (self.relaxation_time * shear_rate) ** 2) ** ((self.exponent - 1) / 2)
        return self.infinite_shear + (self.zero_shear - self.infinite_shear) * thinning

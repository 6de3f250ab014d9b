"""Hydraulic mobilities k/mu [m^2/(Pa s)]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import ufl


class Mobility(Protocol):
    """Mobility as a function of the volume ratio J."""

    def value(self, volume_ratio: Any) -> Any:
        """Mobility [m^2/(Pa s)]."""


@dataclass(frozen=True)
class ConstantMobility:
    """Mobility that does not change with deformation."""

    mobility: Any

    def value(self, volume_ratio: Any) -> Any:
        return self.mobility


@dataclass(frozen=True)
class SwellingMobility:
    """Mobility that grows as the space opens: mobility exp(growth (J - 1)).

    Attributes:
        mobility: at J = 1 [m^2/(Pa s)].
        growth: exponent [1].
    """

    mobility: Any
    growth: Any

    def value(self, volume_ratio: Any) -> Any:
        return self.mobility * ufl.exp(self.growth * (volume_ratio - 1))

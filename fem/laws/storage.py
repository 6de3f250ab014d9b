"""Storage of fluid beside the change of volume, per reference volume and relative to the baseline pressure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import ufl


class Storage(Protocol):
    """Fluid stored per reference volume at a pore pressure above its reference."""

    def content(self, pressure: Any) -> Any:
        """Stored fluid [1] at ``pressure`` [Pa]."""


@dataclass(frozen=True)
class NoStorage:
    """Incompressible constituents and nothing else that gives way."""

    def content(self, pressure: Any) -> Any:
        return 0.0 * pressure


@dataclass(frozen=True)
class LinearStorage:
    """Biot's specific storage, content = pressure / modulus.

    Attributes:
        inverse_modulus: 1/M [1/Pa].
    """

    inverse_modulus: Any

    def content(self, pressure: Any) -> Any:
        return self.inverse_modulus * pressure


@dataclass(frozen=True)
class SaturatingVeins:
    """Blood expelled from the epidural veins makes room.

    Above the baseline pressure the room is capacity (1 - exp(-slope p/capacity)).

    A collapsed vein gives no more. Below the baseline the veins engorge with the slope they have there, so that the law
    is C1.

    Attributes:
        slope: at the baseline [1/Pa].
        capacity: room per reference volume [1].
    """

    slope: Any
    capacity: Any

    def content(self, pressure: Any) -> Any:
        positive = ufl.max_value(pressure, 0.0)
        expelled = self.capacity * (1 - ufl.exp(-self.slope * positive / self.capacity))
        return ufl.conditional(ufl.gt(pressure, 0), expelled, self.slope * pressure)

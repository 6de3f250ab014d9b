"""Outflow through a boundary, as a total rate that the model spreads over the boundary's reference area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from fem.laws.smooth import ramp


class Outflow(Protocol):
    """Total outflow of a boundary [m^3/s] at a pressure above its reference [Pa]."""

    def rate(self, pressure: Any) -> Any:
        """Outflow [m^3/s], positive out of the body."""


@dataclass(frozen=True)
class StarlingForamen:
    """A foramen lets fluid out above an opening pressure and nothing back in: conductance (p - p_open)_+.

    The resistance sits where the fluid leaves the space. Source of the behaviour: Rocco & Philip 1997 Reg Anesth
    22:167.

    Attributes:
        conductance: of one foramen [m^3/(Pa s)].
        opening_pressure: above the reference pressure [Pa].
        smoothing: range over which it opens [Pa].
    """

    conductance: Any
    opening_pressure: Any
    smoothing: Any

    def rate(self, pressure: Any) -> Any:
        return self.conductance * ramp(pressure - self.opening_pressure, self.smoothing)


@dataclass(frozen=True)
class AffineOutflow:
    """Outflow into something that has a pressure of its own, both ways.

    Attributes:
        conductance: of the whole boundary [m^3/(Pa s)].
        source: inflow at the reference pressure [m^3/s].
    """

    conductance: Any
    source: Any

    def rate(self, pressure: Any) -> Any:
        return self.conductance * pressure - self.source

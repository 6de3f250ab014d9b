"""Flow through a hole in the dura, per reference area of the patch of dura that stands for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from fem.laws.smooth import ramp


class LeakLaw(Protocol):
    """Flow per reference area [m/s] across a surface at a drop of pressure [Pa]."""

    def flux(self, drop: Any) -> Any:
        """Flow from the inner to the outer side; the model adds it on one side and takes it off the other."""


@dataclass(frozen=True)
class OpenLeak:
    """Flow in proportion to the drop, both ways.

    Attributes:
        density: conductance per area [m/(Pa s)].
    """

    density: Any

    def flux(self, drop: Any) -> Any:
        return self.density * drop


@dataclass(frozen=True)
class FlapLeak:
    """A leak that a flap of arachnoid may close against flow into the sac.

    Attributes:
        density: conductance per area [m/(Pa s)]; a function that is zero beside the leaks, and changes as clot covers
            them.
        flap: 1 where a flap closes, 0 where fluid goes both ways; a function.
        smoothing: range of pressure over which the flap opens [Pa].
    """

    density: Any
    flap: Any
    smoothing: Any

    def flux(self, drop: Any) -> Any:
        return self.density * (self.flap * ramp(drop, self.smoothing) + (1 - self.flap) * drop)

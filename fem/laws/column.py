"""Columns of fluid at rest: the head that gravity adds to a pressure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ufl


@dataclass(frozen=True)
class Column:
    """Head weight (level - height), never below a least one.

    Attributes:
        weight: density times gravity [Pa/m].
        level: height at which the head is zero [m].
        up: unit vector.
        least: head at least [Pa]: a vein above the heart collapses and carries none.
    """

    weight: Any
    level: Any
    up: tuple[Any, Any, Any]
    least: Any

    def _plain(self, x: Any) -> Any:
        return self.weight * (self.level - ufl.inner(ufl.as_vector(self.up), x))

    def head(self, x: Any) -> Any:
        """Head [Pa] at a position."""
        return ufl.max_value(self._plain(x), self.least)

    def gradient(self, x: Any) -> Any:
        """Its gradient [Pa/m]."""
        slope = ufl.conditional(ufl.gt(self._plain(x), self.least), -self.weight, 0.0 * self.weight)
        return slope * ufl.as_vector(self.up)

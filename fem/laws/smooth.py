"""Smooth replacements of kinks, exactly zero on the inactive side."""

from __future__ import annotations

from typing import Any

import ufl


def ramp(x: Any, width: Any) -> Any:
    """C1 positive part: 0 for x <= 0, x^2/(2 width) in the toe, x - width/2 beyond.

    It is exactly zero at and below zero, so that an equilibrium at the kink stays one.
    """
    toe = ufl.conditional(ufl.lt(x, width), x * x / (2 * width), x - width / 2)
    return ufl.conditional(ufl.gt(x, 0), toe, 0.0 * x)

"""Order, extrapolated value and grid-convergence index of a quantity over three or more discretisations.

The procedure of Celik et al. 2008 [1], after Roache [2]: with h1 < h2 < h3, r21 = h2/h1, r32 = h3/h2, e21 = f2 - f1 and
e32 = f3 - f2, the observed order p is the solution of

    p = |ln|e32/e21| + ln((r21^p - s)/(r32^p - s))| / ln r21,   s = sign(e32/e21),

the extrapolated value f0 = (r21^p f1 - f2)/(r21^p - 1), and the index of the finest one 1.25 |f1 - f0|/|f1|. Where the
differences change sign or grow, or p is below one half, there is no order to extrapolate with: the uncertainty is then
three times the range of the three values [3]. An order above the design's is not credited: f0 is computed with the
design's, and where the observed one is unreasonably high the factor is 3 in the place of 1.25 [4].

[1] I. B. Celik et al. 2008, J Fluids Eng 130:078001, doi:10.1115/1.2960953.
[2] P. J. Roache 1994, J Fluids Eng 116:405, doi:10.1115/1.2910291.
[3] L. Eca & M. Hoekstra 2014, J Comput Phys 262:104, doi:10.1016/j.jcp.2014.01.006.
[4] P. J. Roache 2011, J Fluids Eng 133:115501 (discussion of factors of safety).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scipy.optimize import brentq

SAFETY: Final = 1.25
"""Factor of safety of the index with three grids; Roache 1994."""

SAFETY_IN_DOUBT: Final = 3.0
"""Factor where the order is unreasonable (Roache 2011), and on the range of the values where none is seen [3]."""

UNREASONABLE: Final = 0.5
"""Excess of the observed order over the design's from which the series is not taken to be asymptotic."""

LEAST_ORDER: Final = 0.5
"""Observed order below which nothing is extrapolated: a series that has hardly begun to converge (Eca & Hoekstra)."""

MOST_ORDER: Final = 20.0
"""Bound of the search for an order; above it the differences are round-off."""

NO_DIFFERENCE: Final = 1e-12
"""Relative difference of two values that is none."""


@dataclass(frozen=True)
class Convergence:
    """What a quantity over refined discretisations says.

    Attributes:
        sizes: h, any unit, fine first.
        values: of the quantity there.
        order: observed from the three finest; NaN where they show none.
        extrapolated: to h = 0; the finest value where no order is seen.
        margin: uncertainty of the finest value, same unit as the quantity.
        safety: factor on the distance from the extrapolated value.
        note: how the series behaves.
    """

    sizes: tuple[float, ...]
    values: tuple[float, ...]
    order: float
    extrapolated: float
    margin: float
    safety: float
    note: str

    def error_at(self, index: int) -> float:
        """Uncertainty of the value at a discretisation, same unit; `index` 0 is the finest.

        Never less than that of a finer one: a coarse value that lies near the extrapolated one does so by chance.
        """
        values = self.values[: index + 1]
        if math.isnan(self.order):
            return max(abs(value - self.values[0]) for value in values) + self.margin
        return self.safety * max(abs(value - self.extrapolated) for value in values)

    def index_at(self, index: int) -> float:
        """The same over the value: the grid-convergence index [1]; NaN where the value is zero."""
        value = abs(self.values[index])
        return self.error_at(index) / value if value > 0 else math.nan


def convergence(sizes: Sequence[float], values: Sequence[float], design: float) -> Convergence:
    """Judge a series.

    Args:
        sizes: h of each discretisation, three or more, all different, in any order.
        values: of the quantity.
        design: order of the discretisation.

    Raises:
        ValueError: fewer than three, or two of one size.
    """
    pairs = sorted(zip(sizes, values, strict=True))
    h, f = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
    if len(h) < 3 or len(set(h)) < len(h) or h[0] <= 0:
        raise ValueError("three different sizes above zero are needed")
    spread = max(f[:3]) - min(f[:3])
    if spread <= NO_DIFFERENCE * max(abs(value) for value in f[:3]):
        return Convergence(h, f, math.nan, f[0], 0.0, 0.0, "the same at every size")
    fine, coarse = f[1] - f[0], f[2] - f[1]
    order, note = math.nan, ""
    if fine * coarse <= 0:
        note = "oscillates"
    else:
        order = observed(h[1] / h[0], h[2] / h[1], coarse / fine)
        if math.isnan(order) or order < LEAST_ORDER:
            note = "diverges" if math.isnan(order) or order <= 0 else f"order {order:.1f} only"
            order = math.nan
    if math.isnan(order):
        return Convergence(h, f, math.nan, f[0], SAFETY_IN_DOUBT * spread, SAFETY_IN_DOUBT, note)
    used = min(order, design)
    gain = (h[1] / h[0]) ** used - 1
    extrapolated = f[0] - fine / gain
    safety = SAFETY_IN_DOUBT if order > design + UNREASONABLE else SAFETY
    note = f"converges; extrapolated with the design's {design:g}" if order > design else "converges"
    return Convergence(h, f, order, extrapolated, safety * abs(fine) / gain, safety, note)


def observed(fine_ratio: float, coarse_ratio: float, growth: float) -> float:
    """Order p at which e32/e21 = r21^p (r32^p - 1)/(r21^p - 1), for monotone differences; NaN where there is none.

    Args:
        fine_ratio: r21.
        coarse_ratio: r32.
        growth: e32/e21, positive.
    """

    def defect(p: float) -> float:
        # (r^p - 1) as expm1 keeps its digits at p near zero, where the ratio tends to ln r32/ln r21
        fine, coarse = math.expm1(p * math.log(fine_ratio)), math.expm1(p * math.log(coarse_ratio))
        return p * math.log(fine_ratio) + math.log(coarse / fine) - math.log(growth)

    if defect(1e-9) > 0:
        return math.nan
    if defect(MOST_ORDER) < 0:
        return MOST_ORDER
    return float(brentq(defect, 1e-9, MOST_ORDER, xtol=1e-12))

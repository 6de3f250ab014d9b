"""Laws at their kinks and limits; tangents and tension-only behaviour are verified in tests/verification."""

import numpy as np
import pytest
import ufl

from fem.laws.exchange import StarlingForamen
from fem.laws.mobility import SwellingMobility
from fem.laws.smooth import ramp
from fem.laws.storage import SaturatingVeins


def number(expression) -> float:
    """Value of a UFL expression of numbers."""
    return float(ufl.as_ufl(expression)(()))


def test_ramp_is_exactly_zero_at_and_below_the_kink():
    assert number(ramp(ufl.as_ufl(0.0), 0.1)) == 0.0
    assert number(ramp(ufl.as_ufl(-3.0), 0.1)) == 0.0


@pytest.mark.parametrize("kink", [0.0, 0.1])
def test_ramp_has_a_continuous_slope(kink):
    step = 1e-6
    below = (number(ramp(ufl.as_ufl(kink), 0.1)) - number(ramp(ufl.as_ufl(kink - step), 0.1))) / step
    above = (number(ramp(ufl.as_ufl(kink + step), 0.1)) - number(ramp(ufl.as_ufl(kink), 0.1))) / step
    # the second derivative is 1/width, so two one-sided slopes differ by step/width
    assert above == pytest.approx(below, abs=1.1 * step / 0.1)


def test_foramina_let_nothing_out_at_baseline_and_nothing_back_in():
    law = StarlingForamen(3e-13, 0.0, 13.3)
    assert number(law.rate(ufl.as_ufl(0.0))) == 0.0
    assert number(law.rate(ufl.as_ufl(-500.0))) == 0.0
    assert number(law.rate(ufl.as_ufl(1013.3 / 2))) == pytest.approx(3e-13 * (1013.3 / 2 - 13.3 / 2))


def test_veins_saturate_and_are_smooth_at_baseline():
    law = SaturatingVeins(5e-5, 0.15)
    assert number(law.content(ufl.as_ufl(1e6))) == pytest.approx(0.15)
    assert number(law.content(ufl.as_ufl(0.0))) == 0.0
    small = 1e-3
    up, down = number(law.content(ufl.as_ufl(small))), number(law.content(ufl.as_ufl(-small)))
    assert up / small == pytest.approx(5e-5, rel=1e-6)
    assert -down / small == pytest.approx(5e-5, rel=1e-6)


def test_mobility_grows_with_swelling():
    law = SwellingMobility(3e-7, 2.0)
    assert number(law.value(ufl.as_ufl(1.5))) == pytest.approx(3e-7 * np.exp(1.0))

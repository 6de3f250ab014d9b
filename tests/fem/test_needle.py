"""Pressure drop in a needle at rates far from those of a patch."""

import numpy as np
import pytest

from fem.laws.rheology import Carreau, Newtonian
from fem.materials import Materials
from fem.needle import needle_table, pressure_drop

ML_PER_MIN = 1e-6 / 60


@pytest.mark.parametrize(("gauge", "rate"), [(34, 1000.0), (10, 1e-5), (10, 1e-300), (34, 1e15)])
def test_every_rate_has_a_drop(gauge, rate):
    needle, rate = needle_table()[gauge], rate * ML_PER_MIN
    exact = 8 * 1e-3 * needle.length * rate / (np.pi * (needle.inner / 2) ** 4)
    assert pressure_drop(needle, Newtonian(1e-3), rate) == pytest.approx(exact, rel=3e-4)


def test_blood_has_its_resting_viscosity_when_it_creeps_and_its_lowest_when_it_rushes():
    blood, needle = Materials.from_table().rheology["blood"], needle_table()[10]
    assert isinstance(blood, Carreau)
    for viscosity, rate in ((blood.zero_shear, 1e-9 * ML_PER_MIN), (blood.infinite_shear, 1e9 * ML_PER_MIN)):
        exact = pressure_drop(needle, Newtonian(viscosity), rate)
        assert pressure_drop(needle, blood, rate) == pytest.approx(exact, rel=1e-3)


def test_a_fluid_whose_stress_hardly_grows_is_sought_far_from_the_newtonian_shear_rate():
    needle, rate = needle_table()[20], 20 * ML_PER_MIN
    plastic = Carreau(0.056, 1e-9, 3.313, 0.05)
    drops = [pressure_drop(needle, plastic, rate * share) for share in (0.5, 1.0, 2.0)]
    assert 0 < drops[0] < drops[1] < drops[2] < 2 * drops[0]

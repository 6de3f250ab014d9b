"""Needle, clot and rest of a leaking patient against what can be worked out by hand."""

import numpy as np
import pytest

from fem.errors import ModelError
from fem.laws.clot import ClotLaw
from fem.laws.rheology import Carreau, Newtonian
from fem.materials import Materials
from fem.needle import needle_table, pressure_drop
from fem.parameters import MMHG
from fem.regulation import Regulation, conductance_of_pressure, epidural_of_both, pressure_of_leak
from fem.tolerance import limits, tolerated_volumes

RATE = 20e-6 / 60
REGULATION = Regulation(8.6 * MMHG, 8.6 * MMHG * 6e7, 0.3 / 6e7)


def test_a_newtonian_needle_is_hagen_poiseuille():
    needle = needle_table()[22]
    exact = 8 * 1e-3 * needle.length * RATE / (np.pi * (needle.inner / 2) ** 4)
    assert pressure_drop(needle, Newtonian(1e-3), RATE) == pytest.approx(exact, rel=3e-4)


def test_a_power_law_fluid_drops_less_than_its_resting_viscosity_says():
    # far above 1/lambda a Carreau fluid without infinite viscosity is a power law: Q ~ dp^(1/n)
    fluid, needle = Carreau(0.056, 0.0, 3.313, 0.5), needle_table()[20]
    ratio = pressure_drop(needle, fluid, 4 * RATE) / pressure_drop(needle, fluid, RATE)
    assert ratio == pytest.approx(4**0.5, rel=1e-3)


def test_blood_lies_between_its_two_viscosities():
    blood, needle = Materials.from_table().rheology["blood"], needle_table()[22]
    low, high = (pressure_drop(needle, Newtonian(mu), RATE) for mu in (0.0035, 0.056))
    assert low < pressure_drop(needle, blood, RATE) < 2 * low < high


def test_gelation_does_not_depend_on_the_steps():
    law = Materials.from_table().clot["blood"]
    liquid, age = np.ones(1), np.zeros(1)
    for step in (10.0, 50.0, 300.0, 40.0):
        liquid, age = liquid * (1 - law.gelled(age, step)), age + step
    assert liquid == pytest.approx(1 - law.gelled(np.zeros(1), 400.0), rel=1e-12)
    assert law.gelled(np.zeros(1), 240.0)[0] < 0.1
    assert law.gelled(np.zeros(1), 600.0)[0] > 0.9
    assert np.isfinite(law.gelled(np.array([1e7]), 1e7)).all()


def test_lysis_and_retraction_do_not_depend_on_the_steps():
    law = ClotLaw(360, 40, 0.4, 1200, 10800, 1e-12, 5333)
    for share in (law.lysed, law.retracted):
        assert (1 - share(100.0)) * (1 - share(900.0)) == pytest.approx(1 - share(1000.0))


def test_rest_of_a_leak_balances_formation():
    for conductance in (1e-14, 1e-12, 1e-11, 1e-10, 2.8e-9):
        rest = pressure_of_leak(REGULATION, conductance)
        assert conductance * (rest.pressure - rest.epidural) == pytest.approx(REGULATION.surplus(rest.pressure))
    assert pressure_of_leak(REGULATION, 1e-14).pressure == pytest.approx(REGULATION.set_point, rel=1e-3)


def test_a_pressure_gives_the_conductance_that_gives_the_pressure():
    rest = conductance_of_pressure(REGULATION, 7 * MMHG)
    assert pressure_of_leak(REGULATION, rest.conductance).pressure == pytest.approx(7 * MMHG)


def test_what_formation_cannot_sustain_is_refused_with_its_range():
    with pytest.raises(ModelError, match="below the set point"):
        conductance_of_pressure(REGULATION, 9 * MMHG)
    with pytest.raises(ModelError, match=r"at least 0\.115"):
        epidural_of_both(REGULATION, 3 * MMHG, 1e-13, None)


def test_every_limit_of_tolerance_has_a_source_and_is_found_by_interpolation():
    for limit in limits().values():
        assert limit.source
        assert limit.tag
    column = {
        "injected_mL": np.array([0.0, 5.0, 10.0]),
        "root_pressure_max_mmHg": np.array([5.0, 25.0, 45.0]),
        "cord_area_min_ratio": np.array([1.0, 0.9, 0.8]),
    }
    found = tolerated_volumes(column)
    assert found["tolerance_root_venules_volume_mL"] == pytest.approx(6.25)
    assert found["tolerance_root_capillaries_volume_mL"] == pytest.approx(8.75)
    assert np.isnan(found["tolerance_cord_area_volume_mL"])
    assert np.isnan(found["tolerance_sac_area_L3_volume_mL"])

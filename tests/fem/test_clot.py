"""What an injected fluid does to the epidural space it lies in: blood against saline, clot against fluid."""

from types import SimpleNamespace

import numpy as np
import pytest

from fem.clot import LEAST_REST, Injectate
from fem.materials import Materials
from fem.parameters import Injection

VOLUME, MOBILE_FRACTION = 1e-9, 0.3
FLUID = MOBILE_FRACTION * VOLUME
MATERIALS = Materials.from_table()


def injectate(*materials):
    """One vertex without swelling, whose fluid is the patient's own."""
    transport = SimpleNamespace(
        volume=np.array([VOLUME]),
        mobile_fraction=MOBILE_FRACTION,
        fluid=lambda: np.array([FLUID]),
        mobile=lambda immobile: FLUID - immobile,
    )
    return Injectate(transport, MATERIALS, [Injection("L3/L4", 1e-6, 1e-7, material=each) for each in materials])


def test_the_patients_own_fluid_leaves_the_mobility_as_it_is():
    assert injectate("blood").fluidity().tolist() == [1.0]


@pytest.mark.parametrize("material", ["saline", "blood", "fibrin_glue"])
def test_what_fills_the_space_flows_by_its_viscosity(material):
    held = injectate(material)
    held.contents.mobile[0] = FLUID
    viscosity = MATERIALS.viscosity
    assert held.fluidity() == pytest.approx(viscosity["csf"] / viscosity[material])
    held.contents.mobile[0] = 0.5 * FLUID  # logarithmic rule
    assert held.fluidity() == pytest.approx((viscosity["csf"] / viscosity[material]) ** 0.5)


def test_blood_flows_worse_than_saline_and_clot_hardly():
    found = {}
    for material in ("saline", "blood"):
        held = injectate(material)
        held.contents.mobile[0] = FLUID
        found[material] = float(held.fluidity()[0])
    held.contents.mobile[0], held.contents.clot[0] = 0.0, FLUID
    found["clot"] = float(held.fluidity()[0])
    assert found["saline"] > 5 * found["blood"] > 100 * found["clot"]
    assert found["clot"] == pytest.approx(MATERIALS.clot["blood"].mobility / MATERIALS.fat.mobility.mobility)


def test_serum_and_lysed_clot_flow_as_serum_does():
    held = injectate("blood")
    held.contents.serum[0] = 0.5 * FLUID
    held.contents.lysate[:] = 0.5 * FLUID
    assert held.fluidity() == pytest.approx(MATERIALS.viscosity["csf"] / MATERIALS.viscosity["serum"])


def test_a_clot_that_retracts_pulls_its_place_together_by_what_it_gave_off():
    held = injectate("blood", "saline")
    assert held.rest().tolist() == [1.0]
    held.contents.clot[0], held.contents.retracted[0] = 0.2 * VOLUME, 0.1 * VOLUME
    assert held.rest() == pytest.approx(0.9)
    held.contents.retracted[0] = VOLUME
    assert held.rest() == pytest.approx(LEAST_REST)


def test_saline_stays_fluid_and_pulls_nothing_together():
    held = injectate("saline")
    held.contents.mobile[0] = FLUID
    held.contents.age[0] = 1e6 * FLUID
    assert held.react(1e6) == 0.0
    assert held.contents.mobile.tolist() == [[FLUID]]
    assert held.rest().tolist() == [1.0]

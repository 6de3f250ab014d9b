import numpy as np
import pytest

from fem.compartments import CraniospinalCompartment, ElasticCompartment
from fem.errors import ModelError
from fem.parameters import MMHG

ML = 1e-6


def craniospinal(**changes) -> CraniospinalCompartment:
    settings = {
        "pvi": 25 * ML,
        "reference": 0.0,
        "outflow_resistance": 8 * MMHG / ML * 60,
        "formation": 0.3 * ML / 60,
        "venous": 4 * MMHG,
        "floor": 2 * MMHG,
    }
    return CraniospinalCompartment(**(settings | changes))


def test_a_bolus_of_the_index_raises_the_pressure_tenfold():
    part = craniospinal()
    assert part.bolus_pressure(10 * MMHG, 25 * ML) == pytest.approx(100 * MMHG, rel=1e-12)
    gain = part.volume(100 * MMHG) - part.volume(10 * MMHG)
    assert gain == pytest.approx(25 * ML, rel=1e-12)


@pytest.mark.parametrize("share", [None, 0.32, 0.69])
@pytest.mark.parametrize("pressure", [-3.0, 1.0, 2.0, 5.0, 20.0])
def test_capacity_is_the_slope_of_the_volume(pressure, share):
    part = craniospinal(share=share, window_compliance=0.1 * ML / MMHG)
    step = 1e-3
    p = pressure * MMHG
    slope = (part.volume(p + step) - part.volume(p - step)) / (2 * step)
    # central difference of a smooth law; at the floor the slope has a corner, which costs half of its jump times step
    assert slope == pytest.approx(part.capacity(p), rel=1e-5)


def test_with_floor_and_ceiling_at_one_pressure_the_capacity_is_that_of_it():
    part, there = craniospinal(floor=5 * MMHG, ceiling=5 * MMHG), craniospinal().capacity(5 * MMHG)
    assert [part.capacity(p * MMHG) for p in (-3.0, 5.0, 40.0)] == pytest.approx([there] * 3, rel=1e-12)
    assert part.volume(40 * MMHG) - part.volume(-3 * MMHG) == pytest.approx(43 * MMHG * there, rel=1e-12)


def test_equilibrium_is_where_absorption_equals_formation():
    part = craniospinal()
    balance = part.venous + part.outflow_resistance * part.formation
    assert part.inflow(balance) == pytest.approx(0.0, abs=1e-20)
    assert part.inflow(part.venous - 1.0) == part.formation


def test_a_window_more_compliant_than_the_whole_is_refused():
    with pytest.raises(ModelError, match="raise the index or set the spinal share"):
        craniospinal(window_compliance=1e-6).capacity(20 * MMHG)


def test_a_floor_below_the_reference_pressure_is_refused():
    with pytest.raises(ModelError, match="floor"):
        craniospinal(floor=-1.0)


def test_an_elastic_compartment_is_linear():
    part = ElasticCompartment(2e-9)
    assert np.isclose(part.volume(300.0) - part.volume(100.0), 4e-7)
    assert part.inflow(100.0) == 0.0

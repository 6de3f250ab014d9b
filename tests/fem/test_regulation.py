"""What formation sustains of leaks, and what is refused because it does not."""

from types import SimpleNamespace

import pytest
from mpi4py import MPI

from fem.errors import ModelError
from fem.materials import Materials
from fem.parameters import MMHG, Injection, Leak, PatchParameters
from fem.patch import PatchModel
from fem.regulation import (
    LEAST_SHARE,
    OPENING_DROP,
    ConductanceError,
    Regulation,
    conductance_of_pressure,
    epidural_of_both,
    pressure_of_leak,
)
from fem.settle import settle_leaks
from geometry import Anatomy, MeshSize, Source, cached_mesh
from tests.fem.tissue import FORMATION, ML, RESISTANCE, SET_POINT, leaking_csf

REGULATION = Regulation(SET_POINT, RESISTANCE, FORMATION)
UNIT = ML / 60 / MMHG
"""1 mL/(min mmHg) [m^3/(Pa s)]."""


@pytest.mark.parametrize("set_point", [8.6, 8.3, 7.1, 15.0])
def test_nothing_leaks_at_the_set_point_whatever_round_off_leaves(set_point):
    regulation = Regulation(set_point * MMHG, RESISTANCE, FORMATION)
    for depth in (0.0, 0.999 * regulation.least_depth):
        pressure = set_point * MMHG - depth
        with pytest.raises(ModelError, match="sustains no leak at this pressure"):
            conductance_of_pressure(regulation, pressure)
        with pytest.raises(ModelError, match="sustains no leak at this pressure"):
            epidural_of_both(regulation, pressure, 0.1 * UNIT, None)


def test_a_little_more_than_the_least_share_leaks():
    pressure = SET_POINT - 1.01 * REGULATION.least_depth
    rest = conductance_of_pressure(REGULATION, pressure)
    flow = rest.conductance * (rest.pressure - rest.epidural)
    assert LEAST_SHARE * FORMATION < flow < 1.02 * LEAST_SHARE * FORMATION
    assert pressure_of_leak(REGULATION, rest.conductance).pressure == pytest.approx(pressure, rel=1e-12)


@pytest.mark.parametrize("conductance", [1e-20 * UNIT, 7.6e-5 * UNIT, 23 * UNIT, 1e9 * UNIT, float("inf")])
def test_a_conductance_that_formation_does_not_sustain_is_refused_with_those_that_it_does(conductance):
    with pytest.raises(ConductanceError, match=r"7\.7e-05 mL/\(min mmHg\) to 22\.5 mL/\(min mmHg\)"):
        pressure_of_leak(REGULATION, conductance)


def test_the_widest_leak_keeps_the_drop_at_which_it_is_open():
    rest = pressure_of_leak(REGULATION, 22.4 * UNIT)
    assert OPENING_DROP < rest.pressure - rest.epidural < 1.01 * OPENING_DROP
    assert epidural_of_both(REGULATION, rest.pressure, rest.conductance, rest.epidural) == rest


@pytest.mark.parametrize(("pressure", "epidural"), [(0.3, None), (0.4, None), (4.0, 5.0), (4.0, 4.0)])
def test_no_conductance_is_allowed_where_nothing_lies_below_the_pressure(pressure, epidural):
    outside = None if epidural is None else epidural * MMHG
    with pytest.raises(ModelError, match="allows no conductance") as error:
        epidural_of_both(REGULATION, pressure * MMHG, 0.5 * UNIT, outside)
    assert "inf" not in str(error.value)


def test_the_epidural_pressure_has_to_lie_below_the_set_point():
    for epidural in (8.59, 8.6, 9.0):
        with pytest.raises(ModelError, match="is not below the set point") as error:
            pressure_of_leak(REGULATION, 0.1 * UNIT, epidural * MMHG)
        assert not isinstance(error.value, ConductanceError)


@pytest.mark.parametrize("formation", [0.0, FORMATION])
def test_a_model_whose_formation_leaves_nothing_is_refused(formation):
    model = SimpleNamespace(
        poro=None,
        newton=SimpleNamespace(compartments={}),
        parameters=SimpleNamespace(csf=SimpleNamespace(baseline_pressure=SET_POINT)),
        patches=[SimpleNamespace(leak=SimpleNamespace(conductance=0.1 * UNIT))],
        copies=1,
        regulation=Regulation(SET_POINT, RESISTANCE, formation),
    )
    with pytest.raises(ModelError, match="sustains no leak"):
        settle_leaks(model)


def test_the_smallest_hole_comes_to_rest():
    anatomy, materials = Anatomy.from_table(), Materials.from_table()
    spine = cached_mesh(anatomy, ("L3", "L4"), MeshSize.named("draft"), sources=[Source(anatomy.needle_tip("L3/L4"))])
    conductance = materials.hole.of_gauge(34)
    csf = leaking_csf(conductance)
    leak = Leak("L3/L4", "dorsal", "midline", conductance)
    injections = (Injection("L3/L4", 1 * ML, 20 * ML / 60),)
    model = PatchModel(MPI.COMM_WORLD, spine, PatchParameters(materials, csf, injections, leaks=(leak,)))
    sustained = model.regulation.sustained(csf.baseline_pressure)
    assert sustained < 0.03 * FORMATION  # less than round-off was asked for
    assert model.copies * model.leak_flow.sum() == pytest.approx(sustained, rel=1e-3)

"""Posture on a short span: columns that are alike do nothing, upright the head's pressure falls."""

from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI

from fem.materials import Materials
from fem.parameters import MMHG, Csf, Injection, Leak, Mechanisms, PatchParameters, TimeControl
from fem.patch import PatchModel
from fem.paths import simulate
from fem.posture import Posture
from fem.simulation import Simulation
from geometry import Anatomy, MeshSize, Source, cached_mesh
from tests.fem.tissue import SPREADING, leaking_csf

ML = 1e-6


@pytest.fixture(scope="module")
def spine():
    anatomy = Anatomy.from_table()
    return cached_mesh(anatomy, ("L2", "L4"), MeshSize.named("default"), sources=[Source(anatomy.needle_tip("L3/L4"))])


@pytest.fixture(scope="module")
def healthy():
    csf = Csf(8.6 * MMHG, 25.9 * ML, 0.0, 8.6 * MMHG / ML * 60, 0.3 * ML / 60)
    injection = Injection("L3/L4", 0.0, 20 * ML / 60)
    return PatchParameters(Materials.from_table(), csf, (injection,), posture="upright")


def test_equal_columns_inside_and_outside_change_nothing(spine, healthy, monkeypatch):
    same = Posture((0.0, 0.0, 1.0), 0.6, 0.6, False)
    monkeypatch.setattr(Posture, "named", lambda name, anatomy: same)
    materials = Materials.from_table({"blood.density": 1000.5})
    model = PatchModel(MPI.COMM_WORLD, spine, replace(healthy, materials=materials))
    monkeypatch.undo()
    supine = PatchModel(MPI.COMM_WORLD, spine, replace(healthy, posture="supine"))
    # 0.6 m of water are 44 mmHg; the forces are balanced to 1e-4 N
    assert abs(model.posture_shift) < 1e-3 * MMHG
    u = model.poro.dofs["u"]
    assert np.abs(model.baseline[u] - supine.baseline[u]).max() < 1e-6


def test_upright_the_head_loses_pressure_and_the_lumbar_sac_gains(spine, healthy):
    model = PatchModel(MPI.COMM_WORLD, spine, healthy)
    simulation = Simulation(model, healthy)
    row = simulation.row()[0]
    assert row["csf_pressure_mmHg"] == pytest.approx(8.6 + model.posture_shift / MMHG)
    assert model.posture_shift < -0.5 * MMHG
    assert row["csf_pressure_lumbar_mmHg"] > 30.0
    # whoever does not leak stays there
    simulation.step(3600.0)
    assert simulation.row()[0]["csf_pressure_rise_mmHg"] == pytest.approx(0.0, abs=1e-6)


def test_where_veins_collapse_whoever_stands_still_stays_still(healthy):
    """At the height of the heart the column of blood ends: within a window, and across cells."""
    anatomy = Anatomy.from_table()
    tips = [Source(anatomy.needle_tip("T6/T7"))]
    spine = cached_mesh(anatomy, ("T5", "T8"), MeshSize.named("draft"), sources=tips)
    (injection,) = healthy.injections
    standing = replace(healthy, injections=(replace(injection, interspace="T6/T7"),))
    simulation = Simulation(PatchModel(MPI.COMM_WORLD, spine, standing), standing)
    for length in (1.0, 60.0, 3600.0):
        simulation.step(length)
    assert simulation.row()[0]["csf_pressure_rise_mmHg"] == pytest.approx(0.0, abs=1e-6)


def test_on_the_side_the_sac_floats_up_in_the_heavier_blood_and_the_head_feels_nothing(healthy):
    anatomy = Anatomy.from_table()
    tips = [Source(anatomy.needle_tip("L3/L4"))]
    spine = cached_mesh(anatomy, ("L3", "L4"), MeshSize.named("draft"), sources=tips)
    lateral = PatchModel(MPI.COMM_WORLD, spine, replace(healthy, posture="lateral"))
    assert lateral.copies == 1
    # the load is as much on the left as off the right: .5 mmHg of CSF across 14 mm, of which blood is 5 % heavier
    assert abs(lateral.posture_shift) < 0.01 * MMHG
    space, dofs = lateral.poro.space.sub(0).collapse()
    moved = lateral.baseline[np.asarray(dofs)].reshape(-1, 3)
    inside = np.hypot(*space.tabulate_dof_coordinates()[:, :2].T) < 4e-3
    assert -1e-4 < moved[inside, 0].mean() < -1e-7  # left is down; supine, the body's halves move alike


def leaking(materials, **mechanisms):
    """A patient after dural puncture with a patch over the hole, who stands up before and after."""
    conductance = materials.hole.of_gauge(22)
    return PatchParameters(
        materials,
        leaking_csf(conductance),
        (Injection("L3/L4", 5 * ML, 20 * ML / 60),),
        TimeControl(follow_up=3 * 3600.0, injection_step=6.0, max_step=300.0, late_step=1.0),
        leaks=(Leak("L3/L4", "dorsal", "midline", conductance),),
        mechanisms=Mechanisms(**mechanisms),
        stand_up=True,
    )


class Ends:
    """Keeps what a run says at its end."""

    def row(self, row):
        self.last = dict(row)

    def profile(self, rows):
        pass

    def fields(self, snapshot):
        pass

    def finished(self, extra):
        self.figures = dict(extra)

    def failed(self, error):
        raise error


def test_orthostatic_low_pressure_and_its_correction_are_read_off_one_case(spine):
    parameters = leaking(Materials.from_table(SPREADING))
    model = PatchModel(MPI.COMM_WORLD, spine, parameters)
    found = {}
    for plug in (True, False):
        sink = Ends()
        simulate(model, replace(parameters, mechanisms=Mechanisms(plug=plug)), sink)
        found[plug] = sink
    before, after = (found[True].figures[f"csf_pressure_upright_{when}_mmHg"] for when in ("before", "after"))
    supine = parameters.csf.baseline_pressure / MMHG
    assert before < supine - 0.5
    assert found[False].figures["csf_pressure_upright_before_mmHg"] == pytest.approx(before, abs=1e-6)
    # what is gained lying down is gained upright, less where the capacity is larger: at most doubled below its floor
    gained = found[True].last["csf_pressure_rise_mmHg"]
    assert gained > 0.25  # some tenths of a mmHg are there to compare; late steps of minutes left more than there is
    assert 0.5 * gained < after - before < gained
    # and so is the plug's part of it, without which the rest is what the patch that fills the canal keeps from the sac
    plug = found[True].last["rise_from_plug_mmHg"]
    assert plug > 0.1  # enough to compare: pressures upright are found to 1e-6 mmHg
    assert 0.5 * plug < after - found[False].figures["csf_pressure_upright_after_mmHg"] < plug


def test_a_look_upright_leaves_the_run_as_it_is(spine):
    parameters = leaking(Materials.from_table())
    simulation = Simulation(PatchModel(MPI.COMM_WORLD, spine, parameters), parameters)
    simulation.step(1.0)
    before = repr(simulation.row())
    assert simulation.upright() < simulation.state.pressure["cranial"] - 0.5 * MMHG
    assert repr(simulation.row()) == before
    simulation.step(1.0)
    after = repr(simulation.row())
    simulation = Simulation(simulation.model, parameters)
    simulation.step(1.0)
    simulation.step(1.0)
    assert repr(simulation.row()) == after

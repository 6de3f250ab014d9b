"""Posture on a short span: columns that are alike do nothing, upright the head's pressure falls."""

from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI

from fem.parameters import MMHG, Csf, Injection, Materials, PatchParameters
from fem.patch import PatchModel
from fem.posture import Posture
from fem.simulation import Simulation
from geometry import Anatomy, MeshSize, cached_mesh

ML = 1e-6


@pytest.fixture(scope="module")
def spine():
    anatomy = Anatomy.from_table()
    return cached_mesh(anatomy, ("L2", "L4"), MeshSize.named("draft"), [anatomy.needle_tip("L3/L4").point[2]])


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

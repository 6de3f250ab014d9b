"""Two leaks; the patch reaches the one that lets fluid back into the sac. What is said of each, and what enters."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from mpi4py import MPI

from fem.errors import ModelError
from fem.leak import find_patches
from fem.materials import Materials
from fem.parameters import Injection, Leak, PatchParameters, TimeControl
from fem.patch import PatchModel
from fem.quantities import THRESHOLD_BAND, of_each_leak, quantity, summarise
from fem.simulation import Simulation
from geometry import Anatomy, MeshSize, Source, cached_mesh
from tests.fem.tissue import SPREADING, leaking_csf

ML = 1e-6
PARTS = ("coverage", *(f"coverage{suffix}" for suffix in THRESHOLD_BAND), "clot_thickness_mm", "flow_mL_per_min")
PARTS += ("openness",)


@pytest.fixture(scope="module")
def parameters():
    """The first leak lies beside the needle and is open both ways, the second has a flap."""
    materials = Materials.from_table(SPREADING)
    conductance = materials.hole.of_gauge(22)
    return PatchParameters(
        materials,
        leaking_csf(3 * conductance),
        (Injection("L3/L4", 2 * ML, 20 * ML / 60),),
        TimeControl(follow_up=420.0),
        leaks=(
            Leak("L3/L4", "dorsal", "midline", conductance, flap=False),
            Leak("L2/L3", "ventral", "midline", 2 * conductance),
        ),
    )


@pytest.fixture(scope="module")
def ran(parameters):
    """Rows; and of every step, body wide: content held, what left and by which way [m^3], drops, flows, length."""
    anatomy = Anatomy.from_table()
    sources = [Source(anatomy.needle_tip(level)) for level in ("L2/L3", "L3/L4")]
    spine = cached_mesh(anatomy, ("L2", "L4"), MeshSize.named("default"), sources=sources)
    model = PatchModel(MPI.COMM_WORLD, spine, parameters)
    simulation = Simulation(model, parameters)
    course, rows, steps = simulation.course, [simulation.row()[0]], []
    carry, left = course.injectate.carry, []

    def carrying(step, gained, leaked, resorbed, outflow):
        watery = course.injectate.watery()[0]
        through = carry(step, gained, leaked, resorbed, outflow)
        count = len(course.injectate.species)
        out = {name: model.copies * float(volume[:count].sum()) for name, volume in through.items()}
        left.append(out | {"resorbed": model.copies * float(resorbed @ watery)})
        return through

    course.injectate.carry = carrying

    def keep():
        # the companion without a plug, where there is one, takes its step after that of the run
        of_run, state = left[0], simulation.state.course
        left.clear()
        steps.append(
            of_run
            | {
                "held": model.copies * float(state.contents.injected.sum()),
                "drop": state.openness.drop,
                "flow": model.copies * state.openness.flow,
                "seal": state.openness.seal,
                "length": simulation.step_length,
            }
        )
        rows.append(simulation.row()[0])

    simulation.advance(simulation.end, keep)
    return SimpleNamespace(rows=rows, steps=steps, model=model)


def test_each_leak_has_figures_of_its_own(ran):
    at_end, last = ran.rows[-1], ran.steps[-1]
    covered = [row for row in ran.rows if row["leak_0_coverage"] == 1.0]
    assert covered
    assert all(row["leak_1_coverage"] == 0.0 for row in ran.rows)  # the patch does not get there
    assert at_end["leak_0_clot_thickness_mm"] > 0.1 > at_end["leak_1_clot_thickness_mm"]
    assert at_end["leak_0_openness"] < 0.5 < at_end["leak_1_openness"]
    assert [at_end["leak_0_openness"], at_end["leak_1_openness"]] == pytest.approx(list(1 - last["seal"]), abs=1e-12)
    assert at_end["leak_1_flow_mL_per_min"] > 2 * at_end["leak_0_flow_mL_per_min"]  # closed in part, and half as wide


def test_what_is_said_of_all_leaks_follows_from_each(ran):
    for row in ran.rows:
        for part in ("clot_thickness_mm", *(f"coverage{suffix}" for suffix in ("", *THRESHOLD_BAND))):
            assert row[f"leak_{part}"] == min(row[f"leak_{k}_{part}"] for k in range(2)), part
        flow = row["leak_0_flow_mL_per_min"] + row["leak_1_flow_mL_per_min"]
        assert row["leak_flow_mL_per_min"] == pytest.approx(flow, rel=1e-12)
        # the second leak has twice the conductance
        open_ = (row["leak_0_openness"] + 2 * row["leak_1_openness"]) / 3
        assert row["leak_openness"] == pytest.approx(open_, rel=1e-12)


def test_a_summary_has_each_leak_and_its_definition(ran):
    summary = summarise(ran.rows, injection_end=6.0)
    for k in range(2):
        for part in PARTS:
            values = [row[f"leak_{k}_{part}"] for row in ran.rows]
            chosen = values[-1] if part in ("flow_mL_per_min", "openness") else max(values)
            assert summary[f"leak_{k}_{part}"] == chosen
            known = quantity(f"leak_{k}_{part}")
            assert known is not None
            assert str(k) in known.definition
            assert known.unit == quantity(f"leak_{part}").unit
    assert all(quantity(name) is not None for name in summary)


def test_of_one_leak_nothing_is_said_twice():
    assert of_each_leak("leak_coverage", [0.5]) == of_each_leak("leak_coverage", []) == {}
    assert of_each_leak("leak_coverage", [0.5, 0.0]) == {"leak_0_coverage": 0.5, "leak_1_coverage": 0.0}
    assert quantity("leak_0_nothing") is None


def test_leaks_whose_patches_overlap_are_named(ran):
    model, wide = ran.model, 20e-3
    leaks = [patch.leak for patch in model.patches]
    apart = Leak("L3/L4", "ventral", "midline", leaks[0].conductance)
    assert len(find_patches(model.domain, model.spine, [*leaks, apart], 1e-3)) == 3
    named = r"leak 2 \(dorsal, L3/L4, left\) lies on the same patch of dura as leak 0; .* 20 mm to each side"
    beside = Leak("L3/L4", "dorsal", "left", leaks[0].conductance)
    with pytest.raises(ModelError, match=named):
        find_patches(model.domain, model.spine, [leaks[0], replace(apart, interspace="L2/L3"), beside], wide)


def test_an_open_leak_lets_injectate_into_the_sac_while_the_pressure_outside_is_higher(ran):
    entered = np.array([row["injectate_intrathecal_mL"] for row in ran.rows])
    back = np.array([step["drop"][0] < 0 for step in ran.steps])
    assert back[:5].all()
    assert not back[-1]
    assert (np.diff(entered)[1:5] > 0).all()  # in the first step CSF still leaks, or the fluid between
    assert (np.diff(entered)[~back] == 0.0).all()
    assert entered[-1] > 5e-3
    # nothing but what flows back, all of it blood once blood covers the leak
    returned = np.array([-min(step["flow"][0], 0.0) * step["length"] for step in ran.steps]) / ML
    assert (np.diff(entered) <= returned * (1 + 1e-9)).all()
    full = [k for k, row in enumerate(ran.rows[1:]) if row["leak_0_coverage_at_15_percent"] == 1.0 and back[k]]
    assert full
    assert np.diff(entered)[full].sum() == pytest.approx(returned[full].sum(), rel=0.1)


def test_a_flap_beside_it_stays_closed(ran):
    assert min(step["drop"][1] for step in ran.steps) < 0
    assert all(step["flow"][1] == 0.0 for step in ran.steps if step["drop"][1] < -10.0)
    assert all(step["flow"][1] >= 0.0 for step in ran.steps)


def test_what_entered_the_sac_is_missing_outside(ran):
    rows = ran.rows[1:]
    out = dict.fromkeys(ran.steps[0].keys() - {"held", "drop", "flow", "seal", "length"}, 0.0)
    for row, step in zip(rows, ran.steps, strict=True):
        for name in out:
            out[name] += step[name] / ML
        elsewhere = sum(volume for name, volume in out.items() if name != "leak")
        held = row["injected_mL"] - elsewhere - row["lysed_mL"] - row["injectate_intrathecal_mL"]
        assert step["held"] / ML == pytest.approx(held, abs=1e-10 * row["injected_mL"])
        assert out["leak"] == pytest.approx(row["injectate_intrathecal_mL"], rel=1e-12, abs=1e-15)


def test_volume_balance_outside_and_inside_the_sac(ran):
    for row in ran.rows[1:]:
        injected = row["injected_mL"]
        gained = injected + row["leaked_csf_mL"] - row["injectate_intrathecal_mL"]
        spent = row["epidural_swelling_mL"] + row["venous_displaced_mL"] + row["foraminal_outflow_mL"]
        spent += row["end_outflow_mL"] + row["resorbed_mL"]
        assert abs(gained - spent) <= 1e-8 * injected
        assert abs(row["volume_balance_error"]) <= 1e-8
        lost = row["csf_to_cranial_mL"] + row["csf_to_caudal_mL"] + row["leaked_csf_mL"] + row["cord_uptake_mL"]
        assert row["csf_displaced_mL"] == pytest.approx(lost - row["injectate_intrathecal_mL"], abs=1e-8 * injected)

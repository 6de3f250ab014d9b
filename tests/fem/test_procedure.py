"""Leaks, clot and plug on a short span: a mesh too coarse for results, enough for what has to hold on any mesh."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from mpi4py import MPI

from fem.errors import SolverError
from fem.leak import Leaks, Openness
from fem.materials import Materials
from fem.parameters import MMHG, Injection, Leak, Mechanisms, PatchParameters, Stop, TimeControl
from fem.patch import PatchModel
from fem.quantities import BANDED, THRESHOLD_BAND
from fem.simulation import Simulation
from geometry import Anatomy, MeshSize, Source, cached_mesh, leak_place
from tests.fem.tissue import SPREADING, leaking_csf

ML = 1e-6
RATE = 20 * ML / 60
NEEDLE = "epidural_pressure_needle_mmHg"


@pytest.fixture(scope="module")
def parameters():
    materials = Materials.from_table(SPREADING)
    conductance = materials.hole.of_gauge(22)
    csf = leaking_csf(conductance)
    return PatchParameters(
        materials,
        csf,
        (Injection("L3/L4", 2 * ML, RATE),),
        TimeControl(follow_up=3 * 3600.0),
        leaks=(Leak("L3/L4", "dorsal", "midline", conductance),),
    )


@pytest.fixture(scope="module")
def model(parameters):
    anatomy = Anatomy.from_table()
    sources = [Source(anatomy.needle_tip(level)) for level in ("L2/L3", "L3/L4")]
    spine = cached_mesh(anatomy, ("L2", "L4"), MeshSize.named("default"), sources=sources)
    return PatchModel(MPI.COMM_WORLD, spine, parameters)


def run(model, parameters, times=None):
    """Rows of a run, with what the contents of every species add up to; through given times, if there are any."""
    simulation, rows = Simulation(model, parameters), []

    def keep():
        contents, volume = simulation.course.injectate.contents, simulation.course.state.volume
        held = model.copies * contents.injected.sum()
        missing = volume["injected"] - volume["lost"] - volume["lysed"] - held
        rows.append(simulation.row()[0] | {"missing": missing / ML, "smallest": contents.smallest})

    keep()
    if times is None:
        simulation.advance(simulation.end, keep)
    for time in times or ():
        simulation.step(time - simulation.state.time)
        keep()
    return rows


def test_an_injection_elsewhere_does_not_hurry_the_clot_here(model, parameters):
    second = Injection("L2/L3", 1 * ML, RATE, start=60.0)
    rests = []
    for injections in (parameters.injections, (*parameters.injections, second), (second, *parameters.injections)):
        course = Simulation(model, replace(parameters, injections=injections)).course
        injectate = course.injectate
        here = injectate.row_of[injections.index(parameters.injections[0])]
        injectate.contents.mobile[here] = 0.1 * course.transport.volume
        injectate.contents.age[here] = 600.0 * injectate.contents.mobile[here]
        for _ in range(40):
            injectate.react(60.0)
        rests.append(injectate.rest())
    assert rests[0].max() < 0.995  # 40 minutes of retraction show
    assert np.array_equal(rests[1], rests[0])
    assert np.array_equal(rests[2], rests[0])


@pytest.fixture(scope="module")
def blood(model, parameters):
    return run(model, parameters)


@pytest.fixture(scope="module")
def unplugged(model, parameters, blood):
    open_ = replace(parameters, mechanisms=replace(parameters.mechanisms, plug=False))
    return run(model, open_, [row["time_s"] for row in blood[1:]])


def test_a_leaking_patient_stays_at_rest_for_three_days(model, parameters):
    still = replace(parameters, injections=(replace(parameters.injections[0], volume=0.0),))
    simulation = Simulation(model, still)
    for _ in range(3):
        simulation.step(86400.0)
    row = simulation.row()[0]
    assert np.abs(simulation.state.vector - model.baseline).max() <= 1e-10 * np.abs(model.baseline).max()
    assert row["csf_pressure_rise_mmHg"] == pytest.approx(0.0, abs=1e-9)
    # what formation sustains goes through the leak, and is taken up there
    assert row["leak_flow_mL_per_min"] == pytest.approx(
        model.regulation.surplus(parameters.csf.baseline_pressure) * 6e7, rel=1e-2
    )
    assert row["resorbed_mL"] == pytest.approx(row["leaked_csf_mL"], rel=1e-6)


def test_volume_and_species_balance_with_leak_and_clot(blood):
    assert blood[-1]["clot_volume_mL"] > 0.1
    assert blood[-1]["lysed_mL"] > 0.01
    for row in blood[1:]:
        assert abs(row["volume_balance_error"]) <= 1e-8
        assert abs(row["missing"]) <= 1e-10 * row["injected_mL"]
        assert row["smallest"] >= 0.0
        gained = row["injected_mL"] + row["leaked_csf_mL"]
        spent = row["epidural_swelling_mL"] + row["venous_displaced_mL"] + row["foraminal_outflow_mL"]
        spent += row["end_outflow_mL"] + row["resorbed_mL"] + row["injectate_intrathecal_mL"]
        assert gained == pytest.approx(spent, abs=1e-8 * gained)


def test_blood_gels_between_four_and_ten_minutes_and_closes_the_leak(blood):
    time = np.array([row["time_s"] for row in blood])
    clot = np.array([row["clot_volume_mL"] for row in blood])
    open_ = np.array([row["leak_openness"] for row in blood])
    assert np.interp(120, time, clot) < 0.1 * clot.max()
    assert np.interp(600, time, clot) > 0.8 * clot.max()
    assert open_[0] == 1.0
    assert open_[-1] < 0.8
    assert (np.diff(open_) <= 1e-12).all()  # nothing here blows the plug


def test_what_switches_the_plug_off_leaves_the_leak_open(blood, unplugged):
    assert all(row["leak_openness"] == 1.0 for row in unplugged)
    assert unplugged[-1]["leak_flow_mL_per_min"] > 1.1 * blood[-1]["leak_flow_mL_per_min"]
    assert all(row["rise_from_plug_mmHg"] == 0.0 for row in unplugged)


def test_with_the_pressure_switched_off_displaced_csf_raises_no_pressure(model, parameters):
    rows = []
    for pressure in (True, False):
        simulation = Simulation(model, replace(parameters, mechanisms=Mechanisms(pressure=pressure)))
        simulation.step(2.0)
        rows.append(simulation.row()[0])
    acting, off = rows
    assert acting["csf_pressure_rise_mmHg"] > 0.2
    assert abs(off["csf_pressure_rise_mmHg"]) < 0.05 * acting["csf_pressure_rise_mmHg"]
    # below, what drives the CSF along the sac is left
    assert off["csf_pressure_lumbar_rise_mmHg"] < 0.3 * acting["csf_pressure_lumbar_rise_mmHg"]
    assert off["csf_displaced_mL"] > acting["csf_displaced_mL"] > 0.1  # nothing holds it back


def holding(simulation, **contents):
    """Let the epidural space hold contents [m^3 per vertex] of the first species, and the next step know of them."""
    state = simulation.course.state.copy()
    for name, volume in contents.items():
        getattr(state.contents, name)[0] = volume
    simulation.course.restore(state)
    simulation.state.course = simulation.course.state.copy()


def test_blood_in_the_space_holds_the_needle_up_more_than_saline(model, parameters):
    rises = {}
    for material in ("saline", "blood"):
        injection = replace(parameters.injections[0], material=material)
        simulation = Simulation(model, replace(parameters, injections=(injection,)))
        holding(simulation, mobile=simulation.course.transport.fluid())
        simulation.step(0.5)
        rises[material] = simulation.row()[0]["epidural_pressure_needle_rise_mmHg"]
    assert rises["blood"] > 1.5 * rises["saline"] > 0


def test_what_a_clot_has_given_off_draws_the_space_together(model, parameters):
    still = replace(parameters, injections=(replace(parameters.injections[0], volume=0.0),))
    simulation = Simulation(model, still)
    holding(simulation, retracted=0.1 * simulation.course.transport.volume)
    simulation.step(10.0)
    row = simulation.row()[0]
    assert row["epidural_swelling_mL"] < -0.05
    assert row["sac_area_min_ratio"] > 0.999  # it lets the sac have the room


def test_what_a_run_says_of_the_plug_is_what_a_run_without_it_lacks(blood, unplugged):
    at = {
        name: [np.interp((600, 1800, 3600, 10800), *column(rows, "time_s", name)) for rows in (blood, unplugged)]
        for name in ("csf_pressure_mmHg", "rise_from_plug_mmHg", "rise_from_pressure_mmHg")
    }
    gained = at["csf_pressure_mmHg"][0] - at["csf_pressure_mmHg"][1]
    assert gained[0] > 0.02
    assert gained[1] > 0.3
    # Both take the same steps. The solver leaves some 1e-9 mL; the companion begins when clot has closed a thousandth
    # of the leak, and so lacks some thousandths.
    assert at["rise_from_plug_mmHg"][0] == pytest.approx(gained, rel=2e-3)
    assert at["rise_from_pressure_mmHg"][0] == pytest.approx(at["rise_from_pressure_mmHg"][1], abs=1e-3 * gained[-1])


def column(rows, *names):
    return [[row[name] for row in rows] for name in names]


def test_a_step_that_fails_in_the_companion_alone_leaves_both_untouched(model, parameters, monkeypatch):
    simulation = Simulation(model, parameters)
    simulation.advance(150.0, lambda: None)
    assert simulation.state.unplugged is not None
    mark, before = simulation.mark(30.0), repr(simulation.row())  # NaN is not equal to itself
    solve = model.newton.solve

    def failing(tolerances, factorised=False):
        if simulation.state.course.plug:
            return solve(tolerances, factorised)
        raise SolverError("as asked for")

    monkeypatch.setattr(model.newton, "solve", failing)
    with pytest.raises(SolverError):
        simulation.step(30.0)
    monkeypatch.undo()
    assert repr(simulation.row()) == before
    ends = []
    for _ in range(2):
        simulation.resume(mark)
        simulation.step(30.0)
        ends.append(repr(simulation.row()))
    assert ends[0] == ends[1]


def test_an_injection_stops_where_it_is_to_stop(model, parameters):
    stop = Stop(NEEDLE, 9.0)
    (injection,) = parameters.injections
    rows = run(
        model,
        replace(parameters, injections=(replace(injection, stop=stop),), time=TimeControl(follow_up=5.0)),
    )
    injected = [row["injected_mL"] for row in rows]
    assert 0.2 < injected[-1] < 1.8
    peak = max(row[NEEDLE] for row in rows)
    assert 9.0 <= peak <= 1.01 * 9.0


def test_of_two_injections_at_once_each_stops_by_the_pressure_at_its_own_needle(model, parameters):
    (injection,) = parameters.injections
    fast = replace(injection, stop=Stop(NEEDLE, 8.0))
    slow = replace(injection, interspace="L2/L3", rate=0.5 * RATE, stop=Stop(NEEDLE, 7.5))
    time = TimeControl(first_step=2.0)  # at whose end both limits are passed
    simulation = Simulation(model, replace(parameters, injections=(fast, slow), time=time))
    seen = []

    def keep():
        pressure = simulation.course.transport.pressure()
        needles = [float(site.weights @ pressure) / MMHG for site in simulation.course.sites]
        seen.append((simulation.rates(simulation.state.time), needles, simulation.row()[0][NEEDLE]))

    simulation.advance(2.0, keep)
    (rates, first, _), (off, second, reported) = seen[:2]
    assert 8.0 <= first[0] <= 1.01 * 8.0
    assert rates == [0.0, slow.rate]  # the other goes on, as far as its own limit
    assert 7.5 <= second[1] <= 1.01 * 7.5
    assert off == [0.0, 0.0]
    assert reported == pytest.approx(second[1])  # of the one that was injected last


def test_what_follows_an_injection_begins_when_a_limit_ends_that_one(model, parameters):
    (injection,) = parameters.injections
    first = replace(injection, stop=Stop(NEEDLE, 9.0))
    second = replace(injection, volume=0.2 * ML, start=first.end, material="saline", follows=True)
    rows = run(model, replace(parameters, injections=(first, second), time=TimeControl(follow_up=5.0)))
    given = rows[-1]["injected_mL"]
    off = next(row["time_s"] for row in rows[1:] if row["injection_rate_mL_per_min"] == 0)
    assert 0.4 < given < 2.0
    assert off == pytest.approx(given * ML / first.rate, abs=1e-6)  # no pause
    assert all(row["injection_rate_mL_per_min"] == 0 for row in rows if row["time_s"] >= off)
    assert rows[-1]["time_s"] == pytest.approx(off + 5.0)


def test_only_what_follows_moves_when_an_injection_is_stopped(model, parameters):
    (first,) = parameters.injections
    second = replace(first, start=first.end, follows=True)
    third = replace(second, start=second.end)
    timed = replace(first, start=third.end)
    last = replace(second, start=timed.end)
    course = Simulation(model, replace(parameters, injections=(first, second, third, timed, last))).course
    early = 0.5 * (first.end - first.start)
    course.stop([0], first.start + early)
    assert course.state.injections[0].volume == pytest.approx(0.5 * first.volume)
    pairs = zip(course.state.injections, course.parameters.injections, strict=True)
    moved = [now.start - planned.start for now, planned in pairs]
    assert moved == pytest.approx([0.0, -early, -early, 0.0, 0.0])


def test_an_injection_stops_where_something_has_fallen_to(model, parameters):
    (injection,) = parameters.injections
    stop = Stop("sac_area_min_ratio", 0.9, falling=True)
    rows = run(
        model,
        replace(parameters, injections=(replace(injection, stop=stop),), time=TimeControl(follow_up=5.0)),
    )
    assert 0.2 < rows[-1]["injected_mL"] < 1.95
    assert 0.99 * 0.9 <= min(row["sac_area_min_ratio"] for row in rows) <= 0.9


def test_what_counts_as_covered_has_its_band(blood):
    for name in BANDED:
        for row in blood[1:]:
            low, middle, high = (row[f"{name}{suffix}"] for suffix in ("_at_15_percent", "", "_at_5_percent"))
            assert low <= middle <= high, name
    assert any(row["canal_occupancy_max_at_15_percent"] < row["canal_occupancy_max_at_5_percent"] for row in blood)


def test_the_mean_epidural_pressure_has_the_band_of_what_counts_as_covered(model, parameters, blood):
    columns = {suffix: f"epidural_pressure{suffix}" for suffix in ("", *THRESHOLD_BAND)}
    assert all(np.isnan(blood[0][f"{stem}_mmHg"]) for stem in columns.values())
    simulation = Simulation(model, parameters)
    simulation.step(1.0)
    transport, contents = simulation.course.transport, simulation.course.injectate.contents
    height, pressure = transport.vertices()[:, 2], transport.pressure()
    share = np.interp(height, np.quantile(height, [0.3, 0.9]), [0.0, 0.3])
    contents.mobile[:] = 0.0
    contents.mobile[0] = share * transport.volume
    row, found = simulation.row()[0], []
    for suffix, threshold in {"": 0.1, "_at_5_percent": 0.05, "_at_15_percent": 0.15}.items():
        wet = share >= threshold
        mean = float(pressure[wet] @ transport.volume[wet] / transport.volume[wet].sum())
        assert row[f"{columns[suffix]}_mmHg"] == pytest.approx(mean / MMHG, rel=1e-12)
        rise = (mean - model.baseline_pressure["e"]) / MMHG
        assert row[f"{columns[suffix]}_rise_mmHg"] == pytest.approx(rise, rel=1e-9)
        found.append(mean)
    assert len(set(found)) == 3


def test_a_flap_lets_nothing_into_the_sac(blood):
    reversed_ = [row for row in blood if row[NEEDLE] > row["csf_pressure_lumbar_mmHg"] + 1]
    assert reversed_  # at the needle, over which the leak lies
    assert all(row["injectate_intrathecal_mL"] == 0.0 for row in blood)
    assert all(row["leak_flow_mL_per_min"] >= 0.0 for row in blood)
    assert min(row["leak_flow_mL_per_min"] for row in reversed_) == 0.0


def test_the_ventral_share_is_that_at_the_ventral_leak(model, parameters):
    leak = Leak("L2/L3", "ventral", "midline", parameters.leaks[0].conductance)
    moved = replace(parameters, leaks=(leak,))
    simulation = Simulation(PatchModel(MPI.COMM_WORLD, model.spine, moved), moved)
    simulation.step(1.0)  # the needle at L3/L4 has a site from then on
    course, contents = simulation.course, simulation.course.injectate.contents
    height = course.transport.vertices()[:, 2]
    for level, covered in (("L3/L4", 0.0), ("L2/L3", 1.0)):
        place = leak_place(model.spine, level, "ventral", "midline").point[2]
        here = np.abs(height - place) < 12e-3
        contents.mobile[:] = 0.0
        contents.mobile[0] = np.where(here, 0.3 * course.transport.volume, 0.0)
        assert simulation.row()[0]["spread_ventral_fraction"] == covered


def test_a_plug_gives_way_above_what_the_clot_holds(model, parameters, blood):
    weak = Materials.from_table(SPREADING | {"blood.holding_pressure": 1.5 * MMHG})
    rows = run(model, replace(parameters, materials=weak, time=TimeControl(follow_up=1800.0)))
    assert min(row["leak_openness"] for row in rows) < 0.9  # it had begun to close
    assert rows[-1]["leak_openness"] == 1.0


def test_a_strong_clot_elsewhere_does_not_hold_a_weak_plug():
    leaks = Leaks.__new__(Leaks)  # next() needs nothing but the weights of the patches' vertices
    leaks.weights = [np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 3.0])]
    drop = np.array([100.0, 100.0])
    open_ = Openness(np.zeros(2), np.zeros(2), np.full(2, -np.inf), np.zeros(2), drop)
    clot, holds = np.array([0.2, 0.2, 0.2]), np.array([50.0, 500.0, 100.0])
    after = leaks.next(open_, clot, holds, plug=True)
    assert after.seal.tolist() == [0.0, 1.0]
    assert after.spent.tolist() == [0.2, -np.inf]  # the first gave way
    assert after.holding[1] == pytest.approx(200.0)  # of its vertices, by their clot


def test_a_plug_that_gave_way_is_closed_again_by_new_clot_over_it_alone():
    leaks = Leaks.__new__(Leaks)
    leaks.weights = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
    holds, low, high = np.full(2, 50.0), np.full(2, 10.0), np.full(2, 100.0)
    state = Openness(np.zeros(2), np.zeros(2), np.full(2, -np.inf), np.zeros(2), high)

    def seals(clot, drop=low):
        nonlocal state
        state = leaks.next(replace(state, drop=drop), np.array(clot), holds, plug=True)
        return state.seal.tolist()

    assert seals([0.3, 0.3], high) == [0.0, 0.0]  # both give way
    assert seals([0.3, 0.3]) == [0.0, 0.0]  # less pressure does not heal them
    assert seals([0.3, 0.6]) == [0.0, 1.0]  # a second patch at the one leaves the other open
    assert seals([0.15, 0.5]) == [0.0, 1.0]  # what is lysed opens none
    assert seals([0.22, 0.5]) == [0.0, 1.0]  # less new clot than covers a leak
    assert seals([0.26, 0.5]) == [1.0, 1.0]  # as much, though less than had given way
    assert seals([0.26, 0.5], high) == [0.0, 0.0]
    assert seals([0.26, 0.5]) == [0.0, 0.0]


def test_steps_between_two_injections_grow_with_the_time_since_the_first():
    first, second = Injection("L3/L4", 2 * ML, RATE), Injection("L3/L4", 2 * ML, RATE, start=7200.0)
    control = TimeControl(max_step=10.0, late_step=0.2)

    def longest(time):
        here = SimpleNamespace(
            parameters=SimpleNamespace(time=control),
            state=SimpleNamespace(time=time),
            course=SimpleNamespace(state=SimpleNamespace(injections=(first, second))),
        )
        return Simulation._longest_step(here)

    assert longest(0.0) == longest(first.end) == longest(first.end + 40.0) == 10.0
    assert longest(first.end + 3600.0) == pytest.approx(720.0)
    assert longest(second.end) == 10.0

"""What the fit leaves open, carried into predictions: axes of the posterior, standard deviations, table and page."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from fem import MODEL_VERSION
from fem.materials import parameter_table
from studies.calibrate import outcome
from studies.calibrate.study import NORMAL_95
from studies.calibrate.uncertainty import PROTOCOLS, TABLE, points, read_posterior, spread, uncertainty
from studies.compare import gather
from studies.demo import CASES
from studies.quantities import dimension_of
from studies.standing import case_states
from studies.study import read_study
from studies.sweep import execute, prepare
from tests.studies.fake_calibrate import MOBILITY, NAME, OUTFLOW, POWERS, STORAGE

KEYS = (MOBILITY, STORAGE, OUTFLOW)
SIGMA = np.array([0.05, 0.1, 0.08])
CORRELATION = np.array([[1.0, 0.2, -0.9], [0.2, 1.0, 0.0], [-0.9, 0.0, 1.0]])
COVARIANCE = CORRELATION * np.outer(SIGMA, SIGMA)


@pytest.fixture(scope="module")
def calibration(tmp_path_factory):
    """An outcome at the defaults."""
    folder = tmp_path_factory.mktemp("calibration")
    rows = []
    for key, sigma in zip(KEYS, SIGMA, strict=True):
        value = parameter_table()[key].value
        high = value * math.exp(NORMAL_95 * sigma)
        row = {"key": f"materials.{key}", "unit": parameter_table()[key].unit, "posterior": value}
        rows.append(row | {"posterior_high": high})
    names = [row["key"] for row in rows]
    correlation = {
        one: dict(zip(names, line, strict=True)) for one, line in zip(names, CORRELATION.tolist(), strict=True)
    }
    (folder / "calibration.json").write_text(json.dumps({"parameters": rows, "correlation": correlation}))
    return folder


@pytest.fixture(scope="module")
def computed(calibration, tmp_path_factory):
    out = tmp_path_factory.mktemp("uncertainty") / "out"
    # one of the stand-in's lumbar cases is enough for spread; it fails nowhere
    assert uncertainty(calibration, out, 2, NAME) == 0
    return out


def logarithms(values):
    found = []
    for key in KEYS:
        text = values[f"materials.{key}"]
        unit = parameter_table()[key].unit
        found.append(math.log(dimension_of(unit).parse(text.strip('"')) / parameter_table()[key].value))
    return np.array(found)


def test_points_span_the_posterior(calibration):
    made = points(read_posterior(calibration))
    assert sorted(made) == [f"axis-{i}-{side}" for i in (1, 2, 3) for side in ("minus", "plus")]
    steps = [logarithms(made[f"axis-{i}-plus"]) for i in (1, 2, 3)]
    for i, step in enumerate(steps, start=1):
        assert logarithms(made[f"axis-{i}-minus"]) == pytest.approx(-step, abs=1e-5)  # six digits are written
    assert sum(np.outer(step, step) for step in steps) == pytest.approx(COVARIANCE, abs=1e-6)
    assert np.linalg.norm(steps[0]) > np.linalg.norm(steps[1]) > np.linalg.norm(steps[2])


def test_the_axes_of_the_committed_calibration_can_be_run():
    made = points(read_posterior(outcome.OUTCOME.parents[2] / "results" / "calibration"))
    assert len(made) == 6
    for values in made.values():
        for file, vary in PROTOCOLS.values():
            plan = read_study(CASES / file, vary, [f"{key}={value}" for key, value in values.items()])
            assert {case.case.injection[0].level for case in plan.cases} == {"L3/L4"}


def test_standard_deviations_are_those_of_the_linear_model(computed):
    frame = pd.read_csv(computed / TABLE).set_index("measurement")
    assert set(frame["model_version"].astype(str)) == {MODEL_VERSION}
    powers = np.array([POWERS["displaced"][key] for key in KEYS])
    expected = math.sqrt(powers @ COVARIANCE @ powers)  # of the logarithm
    middle = frame.loc["higuchi-10", ["axis-1-minus", "axis-1-plus"]].astype(float).mean()
    assert frame.loc["higuchi-10", "sd"] / middle == pytest.approx(expected, rel=0.01)
    assert frame.loc["higuchi-10", "unit"] == "mL"
    for row, kind in (("pratt-20", "needle"), ("compression-3h", "recovery")):
        powers = np.array([POWERS[kind][key] for key in KEYS])
        middle = frame.loc[row, ["axis-1-minus", "axis-1-plus"]].astype(float).mean()
        assert frame.loc[row, "sd"] / middle == pytest.approx(math.sqrt(powers @ COVARIANCE @ powers), rel=0.01)
    assert {"pratt-curvature", "szeinfeld-14.8", "contrast-5-cranial", "mass-effect-gone"} <= set(frame.index)


def test_a_second_call_computes_nothing(computed, calibration):
    times = {case.path: (case.path / "status.json").stat().st_mtime_ns for case in states(computed)}
    assert uncertainty(calibration, computed, 2, NAME) == 0
    assert {case.path: (case.path / "status.json").stat().st_mtime_ns for case in states(computed)} == times


def states(out):
    return [case for point in points_in(out) for name in PROTOCOLS for case in case_states(point / name)]


def points_in(out):
    return sorted(path for path in out.iterdir() if path.is_dir() and path.name.startswith("axis-"))


def test_a_missing_point_leaves_no_standard_deviation(computed):
    found = {point.name: gather(point) for point in points_in(computed)}
    found["axis-2-plus"] = type(found["axis-2-plus"])(
        **{**vars(found["axis-2-plus"]), "lines": found["axis-2-plus"].lines[:1]}
    )
    frame = spread(found).set_index("measurement")
    assert math.isnan(frame.loc["pratt-20", "sd"])
    assert frame["sd"].notna().sum() == 1


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "[1]",
        '{"parameters": [], "correlation": {}}',
        '{"parameters": [{"key": "materials.fat.mobility"}], "correlation": {}}',
        '{"parameters": [{"key": "a", "unit": "1", "posterior": -1, "posterior_high": 2}], "correlation": {"a": 1}}',
        '{"parameters": [{"key": "a", "unit": "1", "posterior": 1, "posterior_high": 2}], "correlation": {"b": 1}}',
    ],
)
def test_a_folder_without_a_calibration_is_refused(content, tmp_path, command):
    if content is not None:
        (tmp_path / "calibration.json").write_text(content)
    called = command("uncertainty", "--calibration", tmp_path, "--out", tmp_path / "out")
    assert called.status == 2
    assert "calibration.json" in called.err and called.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_comparison_states_it_for_the_defaults_only(computed, tmp_path, monkeypatch, command):
    monkeypatch.setattr(outcome, "UNCERTAINTY", computed / TABLE)
    outcome._uncertainty.cache_clear()
    try:
        plans = {name: read_study(CASES / f"{name}.toml") for name in ("higuchi", "pratt")}
        assert execute([prepare(plan, tmp_path / name) for name, plan in plans.items()], 2, simulator=NAME) == 0
        assert command("compare", tmp_path).status == 0
        frame = pd.read_csv(tmp_path / "comparison.csv").set_index("measurement")
        known = pd.read_csv(computed / TABLE).set_index("measurement")["sd"]
        assert frame.loc["pratt-20", "predicted_sd"] == pytest.approx(known["pratt-20"])
        assert math.isnan(frame.loc["mass-effect-gone", "predicted_sd"])
        assert "what the fit leaves open" in (tmp_path / "comparison.html").read_text()
        other = next(point for point in points_in(computed))
        assert all(math.isnan(line.predicted_sd) for line in gather(other).lines)
    finally:
        outcome._uncertainty.cache_clear()


def test_deviations_about_other_values_than_the_defaults_are_not_told(computed, tmp_path, monkeypatch):
    frame = pd.read_csv(computed / TABLE)
    modes = [f"{outcome.MODE}materials.{key}" for key in KEYS]
    assert list(frame.columns[-3:]) == modes
    assert frame[modes].iloc[0].tolist() == pytest.approx([parameter_table()[key].value for key in KEYS])
    table = tmp_path / TABLE
    monkeypatch.setattr(outcome, "UNCERTAINTY", table)
    told = []
    for factor in (1.02, 1.2):  # the rounding of a default, another fit
        frame.assign(**{modes[1]: frame[modes[1]] * factor}).to_csv(table, index=False)
        outcome._uncertainty.cache_clear()
        told.append(math.isnan(outcome.predicted_sd("pratt-20")))
    frame.drop(columns=modes).to_csv(table, index=False)
    outcome._uncertainty.cache_clear()
    told.append(math.isnan(outcome.predicted_sd("pratt-20")))
    outcome._uncertainty.cache_clear()
    assert told == [False, True, True]

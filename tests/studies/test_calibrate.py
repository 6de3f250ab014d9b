import csv
import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

import studies.calibrate as package
from fem import MODEL_VERSION
from fem.materials import parameter_table
from studies.calibrate import calibrate, rows, told
from studies.calibrate.fit import LONGEST, Fit, NoPredictionError, gauss_newton
from studies.calibrate.likelihood import Beyond, Measured
from studies.calibrate.outcome import OUTCOME, fitted_version, outcome_lines
from studies.calibrate.study import NORMAL_95, read_calibration
from studies.errors import InputError
from tests.studies.fake_calibrate import (
    BOLUS,
    DISPLACED,
    MOBILITY,
    NAME,
    NEEDLE,
    OUTFLOW,
    POWERS,
    REFERENCE,
    STORAGE,
)

BY_HAND = {"blood.lysis_time", "fat.youngs_modulus"}
"""Chosen on the duration of compression and on the static rise at 15 mL, without a fit."""
STUDY = Path(package.__file__).parent / "default.toml"
SETTINGS = ["calibrate.step=0.1", "calibrate.tolerance=0.02", "calibrate.spread=patients"]
"""The stand-in has no noise that asks for more."""
KEYS = [f"materials.{name}" for name in (MOBILITY, STORAGE, OUTFLOW)]
DATA = ["bolus-2", "bolus-6", "higuchi-10", "pratt-15"]
LIMIT = 1.22
"""Rise that 39 patients just tell from none [mmHg]; taken for its own error where the patients' spread is used."""


def log_likelihood(predicted):
    """Of the four data, written down once more."""
    small, large, displaced, static = predicted
    said = norm.logcdf((LIMIT - small) / LIMIT) + norm.logsf((LIMIT - large) / LIMIT)
    return said + norm.logpdf(displaced, 4.4, 1.4) + norm.logpdf(static, 6.16, 8.8)


def exact():
    """Mode and linearised covariance of the stand-in, whose logarithm is linear, by a general minimiser."""
    asked = read_calibration(STUDY)
    prior = np.log([item.median for item in asked.parameters])
    sigma = np.array([item.sigma for item in asked.parameters])
    powers = np.array([list(POWERS[kind].values()) for kind in ("bolus", "bolus", "displaced", "needle")])
    reference = np.log(list(REFERENCE.values()))

    def predict(point):
        return np.array([BOLUS, 3 * BOLUS, DISPLACED, NEEDLE]) * np.exp(powers @ (point - reference))

    def cost(point):
        return 0.5 * (((point - prior) / sigma) ** 2).sum() - log_likelihood(predict(point))

    point = minimize(cost, prior, method="BFGS", options={"gtol": 1e-7}).x
    predicted, h = predict(point), 1e-3
    weight = [-(log_likelihood(predicted + d) - 2 * log_likelihood(predicted) + log_likelihood(predicted - d)) / h**2
              for d in h * np.eye(4)]  # fmt: skip
    jacobian = predicted[:, None] * powers
    return point, np.linalg.inv(jacobian.T @ np.diag(weight) @ jacobian + np.diag(sigma**-2)), sigma, predict


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    out = tmp_path_factory.mktemp("calibrate") / "out"
    assert calibrate(STUDY, out, SETTINGS, 2, simulator=NAME) == 0
    return out


def test_the_fit_is_the_most_probable_point_with_its_posterior(fitted):
    point, covariance, sigma, predict = exact()
    frame = pd.read_csv(fitted / "calibration.csv").set_index("key")
    width = np.sqrt(np.diag(covariance))
    # Forward differences of step 0.1 and a tolerance of 0.02 posterior widths: a few per cent.
    assert np.log(frame.loc[KEYS, "posterior"].to_numpy()) == pytest.approx(point, abs=0.05)
    assert frame.loc[KEYS, "width_ratio"].to_numpy() == pytest.approx(width / sigma, rel=0.08)
    high = frame.loc[KEYS, "posterior_high"] / frame.loc[KEYS, "posterior"]
    assert np.log(high.to_numpy()) == pytest.approx(NORMAL_95 * width, rel=0.08)
    result = json.loads((fitted / "calibration.json").read_text())
    assert [row["id"] for row in result["data"]] == DATA
    assert [row["predicted"] for row in result["data"]] == pytest.approx(predict(point), rel=0.05)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert result["correlation"][KEYS[0]][KEYS[1]] == pytest.approx(correlation, abs=0.08)
    assert result["converged"]
    assert [row["cost"] for row in result["path"]] == sorted((row["cost"] for row in result["path"]), reverse=True)
    assert result["mesh"][0].startswith("default")
    assert set(pd.read_csv(fitted / "calibration.csv", dtype=str)["model_version"]) == {MODEL_VERSION}
    assert fitted_version(fitted / "calibration.csv") == MODEL_VERSION


def test_a_path_of_volumes_is_computed_once_and_no_point_twice(fitted):
    points = [path for path in (fitted / "runs").iterdir() if path.is_dir()]
    result = json.loads((fitted / "calibration.json").read_text())
    # The start, one point a step, as none was halved; differences at the start, at the end, and where secants gave out.
    assert result["iterations"] >= 1
    differences, rest = divmod(len(points) - 1 - result["iterations"], 3)
    assert rest == 0
    assert 2 <= differences <= 3
    for point in points:
        assert sorted(path.name for path in point.iterdir()) == ["bolus-2", "pratt-15"]
        design = pd.read_csv(point / "bolus-2" / "design.csv")
        assert design["injection.0.volume_mL"].tolist() == [2, 6, 10]
        assert design["shared_path"].nunique() == 1


def test_a_value_outside_its_range_is_said(fitted):
    frame = pd.read_csv(fitted / "calibration.csv").set_index("key")
    inside = (frame["posterior"] >= frame["range_low"]) & (frame["posterior"] <= frame["range_high"])
    assert (frame["within_range"] == "yes").tolist() == inside.tolist()
    assert (frame["prior_low"] / frame["range_low"]).to_numpy() == pytest.approx(1.0)
    (first, *_) = asked = read_calibration(STUDY).parameters
    assert first.outside(1.01 * first.high)
    assert first.outside(0.99 * first.low)
    assert not any(item.outside(item.median) for item in asked)
    far = np.log([1.1 * item.high for item in asked])
    fit = Fit(far, np.eye(3), np.zeros((4, 3)), np.zeros(4), 0.0, 0, True, ())
    assert [row["within_range"] for row in rows(read_calibration(STUDY), fit)] == ["no"] * 3
    assert sum("OUTSIDE its range" in line for line in told(read_calibration(STUDY), fit)) == 3


def test_pages_tell_the_outcome_against_the_prior(fitted, tmp_path):
    lines = outcome_lines(fitted / "calibration.csv")
    frame = pd.read_csv(fitted / "calibration.csv")
    for line, row in zip(lines, frame.to_dict("records"), strict=True):
        default = parameter_table()[row["key"].removeprefix("materials.")].value
        assert f"posterior {row['posterior']:.2g} (" in line
        assert f"prior {row['prior']:.2g} (" in line
        assert ("not the fitted value" in line) == (abs(default / row["posterior"] - 1) > 0.05)
        assert "outside" not in line
    frame.assign(within_range="no").to_csv(tmp_path / "out.csv", index=False)
    assert all("outside its tabulated range" in line for line in outcome_lines(tmp_path / "out.csv"))
    assert "not known" in outcome_lines(tmp_path / "nothing.csv")[0]


def test_defaults_are_the_committed_outcome():
    if OUTCOME.is_file():
        assert [line for line in outcome_lines() if "not the fitted value" in line] == []


@pytest.mark.parametrize("side", ["below", "above"])
def test_a_statement_is_a_smooth_likelihood(side):
    item, h = Beyond(1.2, 0.6, side), 1e-4
    towards = -1.0 if side == "below" else 1.0
    for predicted in np.linspace(-4.0, 8.0, 13):
        distribution = norm.logcdf if side == "below" else norm.logsf
        assert item.cost(predicted) == pytest.approx(-distribution((1.2 - predicted) / 0.6))
        slope = (item.cost(predicted + h) - item.cost(predicted - h)) / (2 * h)
        bend = (item.cost(predicted + h) - 2 * item.cost(predicted) + item.cost(predicted - h)) / h**2
        assert item.pull(predicted) == pytest.approx(-slope, rel=1e-5, abs=1e-7)
        assert item.weight(predicted) == pytest.approx(bend, rel=1e-3, abs=1e-5)
        assert item.pull(predicted) * towards >= 0.0
    assert item.cost(1.2) == pytest.approx(math.log(2))


def test_errors_of_data():
    errors = {item.measurement.id: item.error for item in read_calibration(STUDY).data}
    assert errors == pytest.approx(
        {"bolus-2": 3.9 / 39**0.5, "bolus-6": 3.9 / 39**0.5, "higuchi-10": 1.4 / 3, "pratt-15": 8.8 / 18**0.5}
    )
    of_patients = [item.error for item in read_calibration(STUDY, ['calibrate.spread="patients"']).data]
    assert of_patients == [1.22, 1.22, 1.4, 8.8]
    # The limit of the statements is what a mean of that many patients tells from none at 5 %.
    assert pytest.approx(NORMAL_95 * 3.9 / 39**0.5, abs=0.01) == LIMIT


def test_the_prior_is_the_range_of_the_table_and_not_its_value():
    table = parameter_table()
    for item in read_calibration(STUDY).parameters:
        row = table[item.key.removeprefix("materials.")]
        assert item.median == pytest.approx(math.sqrt(row.low * row.high))
        assert item.sigma == pytest.approx(math.log(row.high / row.low) / (2 * NORMAL_95))


def test_fitted_values_go_into_a_case_file(fitted):
    tree = tomllib.loads((fitted / "fitted.toml").read_text())
    frame = pd.read_csv(fitted / "calibration.csv").set_index("key")
    value = float(tree["materials"]["foramina"]["conductance"].split()[0])
    assert value == pytest.approx(frame.loc[KEYS[2], "posterior"], rel=1e-8)
    assert tree["materials"]["veins"]["slope"].endswith("1/Pa")


def test_the_same_again_is_the_same_and_computes_nothing(fitted):
    before = {path: path.stat().st_mtime_ns for path in (fitted / "runs").rglob("summary.json")}
    assert len(before) > 1
    table = (fitted / "calibration.csv").read_text()
    assert calibrate(STUDY, fitted, SETTINGS, 1, simulator=NAME) == 0
    assert {path: path.stat().st_mtime_ns for path in (fitted / "runs").rglob("summary.json")} == before
    assert (fitted / "calibration.csv").read_text() == table
    with pytest.raises(InputError, match="holds another calibration"):
        calibrate(STUDY, fitted, ["calibrate.step=0.2"], 1, simulator=NAME)


@pytest.mark.slow
def test_from_nothing_it_is_the_same(fitted, tmp_path):
    assert calibrate(STUDY, tmp_path / "other", SETTINGS, 1, simulator=NAME) == 0
    assert (tmp_path / "other" / "calibration.csv").read_text() == (fitted / "calibration.csv").read_text()


def linear(matrix, offset):
    return lambda points: [offset + matrix @ point for point in points]


def test_a_linear_problem_has_its_closed_form():
    matrix, offset = np.array([[1.0, 2.0], [0.5, -1.0], [2.0, 0.0]]), np.array([1.0, 2.0, 3.0])
    measured, error = np.array([4.0, 1.0, 2.0]), np.array([0.5, 0.2, 1.0])
    prior, sigma = np.array([0.3, 0.5]), np.array([1.0, 2.0])  # less than the longest step away
    data = [Measured(*pair) for pair in zip(measured, error, strict=True)]
    fit = gauss_newton(linear(matrix, offset), data, prior, sigma, 0.1, 1e-9, 5)
    precision = matrix.T @ np.diag(error**-2) @ matrix + np.diag(sigma**-2)
    mode = np.linalg.solve(precision, matrix.T @ ((measured - offset) / error**2) + prior / sigma**2)
    assert fit.converged
    assert fit.iterations == 1
    assert fit.mode == pytest.approx(mode)
    assert fit.covariance == pytest.approx(np.linalg.inv(precision))


def test_data_that_say_nothing_leave_the_prior():
    fit = gauss_newton(
        linear(np.zeros((1, 1)), np.ones(1)), [Measured(1.0, 1.0)], np.array([0.4]), np.array([0.7]), 0.1, 1e-6, 3
    )
    assert (fit.mode, fit.sigma) == (pytest.approx([0.4]), pytest.approx([0.7]))
    assert np.all(np.diag(fit.correlation) == pytest.approx(1.0))


def test_steps_that_make_it_worse_are_halved_and_giving_up_is_said():
    steep = gauss_newton(
        lambda points: [np.arctan(8 * p) for p in points], [Measured(0.0, 1e-3)], np.array([2.0]),
        np.array([10.0]), 1e-4, 1e-3, 30,
    )  # fmt: skip
    costs = [cost for _, cost in steep.path]
    assert costs == sorted(costs, reverse=True)
    short = gauss_newton(
        lambda points: [p**3 for p in points],
        [Measured(8.0, 1e-3)],
        np.array([0.5]),
        np.array([9.0]),
        1e-3,
        1e-6,
        1,
    )
    assert not short.converged


def test_a_step_that_leads_nowhere_is_halved_and_a_point_without_neighbours_ends_it():
    def model(points):
        return [np.where(np.abs(p) < 0.6, p, np.nan) for p in points]

    fit = gauss_newton(model, [Measured(0.5, 0.1)], np.array([-0.5]), np.array([9.0]), 0.01, 1e-3, 9)
    assert fit.mode == pytest.approx([0.5], abs=1e-3)
    with pytest.raises(NoPredictionError):
        gauss_newton(model, [Measured(0.5, 0.1)], np.array([0.599]), np.array([9.0]), 0.01, 1e-3, 9)


def test_between_start_and_end_secants_do():
    asked = []

    def model(points):
        asked.extend(points)
        return [np.array([np.exp(p[0]), p[0] * p[1]]) for p in points]

    data, sigma = [Measured(4.0, 0.1), Measured(2.0, 0.1)], np.array([2.0, 2.0])
    fit = gauss_newton(model, data, np.array([0.8, 0.8]), sigma, 1e-4, 1e-4, 20)
    best = minimize(
        lambda p: 0.5 * ((((model([p])[0] - [4.0, 2.0]) / 0.1) ** 2).sum() + (((p - 0.8) / 2.0) ** 2).sum()), [0.8, 0.8]
    )
    assert fit.converged
    assert fit.mode == pytest.approx(best.x, abs=1e-3)
    assert fit.jacobian == pytest.approx(
        np.array([[np.exp(fit.mode[0]), 0.0], [fit.mode[1], fit.mode[0]]]), rel=1e-3, abs=1e-3
    )


def test_steps_are_short():
    fit = gauss_newton(
        lambda points: list(points), [Measured(5.0, 1e-3)], np.array([0.0]), np.array([9.0]), 0.1, 1e-3, 9
    )
    assert np.diff([point[0] for point, _ in fit.path]).max() == pytest.approx(LONGEST)
    assert fit.mode == pytest.approx([5.0], abs=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('id = "higuchi-10"', 'id = "higuchi-5"'), "allowed are calibration data only: "),
        (('id = "pratt-15"', 'id = "pratt-20"'), "allowed are calibration data only: "),
        (('id = "pratt-15"', 'id = "compression-3h"'), "gives no spread"),
        (('id = "pratt-15"', 'id = "higuchi-10"'), "higuchi-10 was measured"),
        (('volume = "10 mL"', 'volume = "15 mL"'), "was measured at 10 mL"),
        (('material = "saline"', 'material = "blood"'), "was measured with saline"),
        (('follow_up = "5 min"', 'follow_up = "1 min"'), "is read 180 s after the end"),
        (('follow_up = "20 s"', 'follow_up = "10 s"'), "is read 20 s after the end"),
        (('key = "materials.veins.slope"', 'key = "materials.vein.slope"'), "a parameter of a law"),
        (('key = "materials.veins.slope"', 'key = "materials.foramina.conductance"'), "twice"),
        (('key = "materials.veins.slope"', 'key = "materials.foramina.opening_pressure"'), "positive"),
        (
            ('key = "materials.veins.slope"', 'key = "materials.veins.slope"\nprior = "5 mmHg"'),
            "calibrate.parameter.1.prior",
        ),
        (
            ('key = "materials.veins.slope"', 'key = "materials.veins.slope"\nfactor = 0.5'),
            "calibrate.parameter.1.factor",
        ),
        (("[calibrate]", "[calibrate]\nsprad = 3"), 'did you mean "spread"'),
        (("[calibrate]", "[sweep]\nmode = 'list'\n[calibrate]"), "a calibration has no [sweep]"),
        (('patient = "healthy"', 'patient = "helthy"'), "calibrate.data.0.case: patient"),
        (
            (
                '[[calibrate.data]]\nid = "higuchi-10"',
                '[[calibrate.parameter]]\nkey = "materials.fat.poisson_ratio"\n\n[[calibrate.data]]\nid = "higuchi-10"',
            ),
            "at most as many as there are independent data, 3",
        ),
        (("[calibrate]\nspread", "[[other]]\nspread"), "calibrate"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(change, said, tmp_path, command):
    text = STUDY.read_text(encoding="utf-8")
    assert change[0] in text
    path = tmp_path / "study.toml"
    path.write_text(text.replace(*change, 1), encoding="utf-8")
    called = command("calibrate", path, "--out", tmp_path / "out")
    assert (called.status, called.err.count("\n")) == (2, 1), called.err
    assert said in called.err
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_ends_the_fit_and_keeps_what_there_is(tmp_path, capfd):
    text = STUDY.read_text(encoding="utf-8").replace('rate = "20 mL/min" }]', 'rate = "14 mL/min" }]')
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    assert calibrate(path, tmp_path / "out", (), 1, simulator=NAME) == 3
    said = capfd.readouterr().err
    assert "the fit needs every run" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "calibration.json").exists()


def test_other_folders_are_left_alone(tmp_path, command):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    called = command("calibrate", STUDY, "--out", tmp_path / "mine")
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_the_defaults_are_the_committed_outcome():
    assert OUTCOME.read_text() == (Path(__file__).parents[2] / "results" / "calibration" / OUTCOME.name).read_text()
    with OUTCOME.open(newline="") as stream:
        fitted = {row["key"].removeprefix("materials."): float(row["posterior"]) for row in csv.DictReader(stream)}
    assert {name for name, row in parameter_table().items() if row.tag == "calibrated"} - BY_HAND == set(fitted)
    for name, value in fitted.items():
        assert parameter_table()[name].value == pytest.approx(value, rel=0.005)  # rounded to three digits

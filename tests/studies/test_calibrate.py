import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import studies.calibrate as package
from fem.parameters import parameter_table
from studies.calibrate import calibrate
from studies.calibrate.fit import gauss_newton
from studies.calibrate.study import NORMAL_95, read_calibration
from studies.errors import InputError
from tests.studies.fake_calibrate import DISPLACED, NAME, NEEDLE, OUTFLOW, POWERS, REFERENCE, STORAGE

STUDY = Path(package.__file__).parent / "default.toml"
KEYS = [f"materials.{OUTFLOW}", f"materials.{STORAGE}"]
MEASURED = np.array([4.4, 6.16])
ERROR = np.array([1.4 / 3, 8.8 / math.sqrt(18)])


def exact():
    """Mode and covariance of the stand-in, whose logarithm is linear, by dense Newton steps."""
    asked = read_calibration(STUDY)
    prior = np.log([item.median for item in asked.parameters])
    sigma = np.array([item.sigma for item in asked.parameters])
    powers = np.array([[POWERS[kind][key] for key in (OUTFLOW, STORAGE)] for kind in ("displaced", "needle")])
    reference = np.log([REFERENCE[OUTFLOW], REFERENCE[STORAGE]])

    def predict(point):
        return np.array([DISPLACED, NEEDLE]) * np.exp(powers @ (point - reference))

    point = prior.copy()
    for _ in range(100):
        jacobian = predict(point)[:, None] * powers / ERROR[:, None]
        hessian = jacobian.T @ jacobian + np.diag(sigma**-2)
        slope = jacobian.T @ ((MEASURED - predict(point)) / ERROR) - (point - prior) / sigma**2
        point = point + np.linalg.solve(hessian, slope)
    return point, np.linalg.inv(hessian), sigma, predict


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    out = tmp_path_factory.mktemp("calibrate") / "out"
    assert calibrate(STUDY, out, ['mesh.size="draft"'], 2, simulator=NAME) == 0
    return out


def test_the_fit_is_the_most_probable_point_with_its_posterior(fitted):
    point, covariance, sigma, predict = exact()
    frame = pd.read_csv(fitted / "calibration.csv").set_index("key")
    width = np.sqrt(np.diag(covariance))
    # Forward differences of step 0.1 and a tolerance of 0.02 in the logarithm: a few per cent.
    assert np.log(frame.loc[KEYS, "posterior"].to_numpy()) == pytest.approx(point, abs=0.05)
    assert frame.loc[KEYS, "width_ratio"].to_numpy() == pytest.approx(width / sigma, rel=0.08)
    high = frame.loc[KEYS, "posterior_high"] / frame.loc[KEYS, "posterior"]
    assert np.log(high.to_numpy()) == pytest.approx(NORMAL_95 * width, rel=0.08)
    result = json.loads((fitted / "calibration.json").read_text())
    predicted = [row["predicted"] for row in result["data"]]
    assert predicted == pytest.approx(predict(point), rel=0.05)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert result["correlation"][KEYS[0]][KEYS[1]] == pytest.approx(correlation, abs=0.08)
    assert result["converged"]
    assert [row["cost"] for row in result["path"]] == sorted((row["cost"] for row in result["path"]), reverse=True)
    assert result["mesh"][0].startswith("draft")


def test_a_fitted_default_is_not_its_own_prior():
    table = parameter_table()
    for item in read_calibration(STUDY).parameters:
        row = table[item.key.removeprefix("materials.")]
        assert row.tag == "calibrated"
        assert item.median == pytest.approx(math.sqrt(row.low * row.high))


def test_fitted_values_go_into_a_case_file(fitted):
    tree = tomllib.loads((fitted / "fitted.toml").read_text())
    frame = pd.read_csv(fitted / "calibration.csv").set_index("key")
    value = float(tree["materials"]["foramina"]["conductance"].split()[0])
    assert value == pytest.approx(frame.loc[KEYS[0], "posterior"], rel=1e-8)
    assert tree["materials"]["veins"]["slope"].endswith("1/Pa")


def test_the_same_again_is_the_same_and_computes_nothing(fitted):
    before = {path.name: path.stat().st_mtime_ns for path in (fitted / "runs").rglob("summary.json")}
    table = (fitted / "calibration.csv").read_text()
    assert calibrate(STUDY, fitted, ['mesh.size="draft"'], 1, simulator=NAME) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (fitted / "runs").rglob("summary.json")} == before
    assert (fitted / "calibration.csv").read_text() == table
    with pytest.raises(InputError, match="holds another calibration"):
        calibrate(STUDY, fitted, ['mesh.size="draft"', "calibrate.step=0.2"], 1, simulator=NAME)


@pytest.mark.slow
def test_from_nothing_it_is_the_same(fitted, tmp_path):
    assert calibrate(STUDY, tmp_path / "other", ['mesh.size="draft"'], 1, simulator=NAME) == 0
    assert (tmp_path / "other" / "calibration.csv").read_text() == (fitted / "calibration.csv").read_text()


def linear(matrix, offset):
    return lambda points: [offset + matrix @ point for point in points]


def test_a_linear_problem_has_its_closed_form():
    matrix, offset = np.array([[1.0, 2.0], [0.5, -1.0], [2.0, 0.0]]), np.array([1.0, 2.0, 3.0])
    measured, error = np.array([4.0, 1.0, 2.0]), np.array([0.5, 0.2, 1.0])
    prior, sigma = np.array([0.3, -0.2]), np.array([1.0, 2.0])
    fit = gauss_newton(linear(matrix, offset), measured, error, prior, sigma, 0.1, 1e-9, 5)
    precision = matrix.T @ np.diag(error**-2) @ matrix + np.diag(sigma**-2)
    mode = np.linalg.solve(precision, matrix.T @ ((measured - offset) / error**2) + prior / sigma**2)
    assert fit.converged
    assert fit.iterations == 1
    assert fit.mode == pytest.approx(mode)
    assert fit.covariance == pytest.approx(np.linalg.inv(precision))


def test_data_that_say_nothing_leave_the_prior():
    fit = gauss_newton(
        linear(np.zeros((1, 1)), np.ones(1)), np.ones(1), np.ones(1), np.array([0.4]), np.array([0.7]), 0.1, 1e-6, 3
    )
    assert (fit.mode, fit.sigma) == (pytest.approx([0.4]), pytest.approx([0.7]))
    assert np.all(np.diag(fit.correlation) == pytest.approx(1.0))


def test_steps_that_make_it_worse_are_halved_and_giving_up_is_said():
    steep = gauss_newton(
        lambda points: [np.arctan(8 * p) for p in points], np.array([0.0]), np.array([1e-3]), np.array([2.0]),
        np.array([10.0]), 1e-4, 1e-3, 30,
    )  # fmt: skip
    costs = [cost for _, cost in steep.path]
    assert costs == sorted(costs, reverse=True)
    short = gauss_newton(
        lambda points: [p**3 for p in points],
        np.array([8.0]),
        np.array([1e-3]),
        np.array([0.5]),
        np.array([9.0]),
        1e-3,
        1e-6,
        1,
    )
    assert not short.converged


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('id = "higuchi-10"', 'id = "higuchi-5"'), "allowed are calibration data only: "),
        (('id = "pratt-15"', 'id = "pratt-20"'), "allowed are calibration data only: "),
        (('id = "pratt-15"', 'id = "compression-3h"'), "gives no spread"),
        (('id = "pratt-15"', 'id = "higuchi-10"'), "higuchi-10 was measured"),
        (('volume = "10 mL"', 'volume = "15 mL"'), "was measured at 10 mL"),
        (('material = "saline"', 'material = "blood"'), "was measured with saline"),
        (('follow_up = "15 min"', 'follow_up = "1 min"'), "is read 300 s after the end"),
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
                '[[calibrate.parameter]]\nkey = "materials.fat.mobility"\n\n[[calibrate.data]]\nid = "higuchi-10"',
            ),
            "at most as many as there are independent data, 2",
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

"""Designs: what is sampled is what was asked for, and the table of it can be read before anything runs."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies.dryrun import Pilot, describe, estimate, outputs_of, pilot_case, run_pilot, steps_of
from studies.errors import InputError
from studies.reading import validate_case
from studies.resolve import resolve
from studies.study import plan_study
from studies.sweep import duration, prepare
from tests.studies.fake import IMPOSSIBLE, NAME

VOLUME, MOBILITY, PVI, LEVEL = "injection.0.volume", "materials.fat.mobility", "csf.pvi", "injection.0.level"
VARY = {
    VOLUME: {"low": "5 mL", "high": "0.02 L"},
    MOBILITY: {"low": "1e-8 m^2/(Pa s)", "high": "1e-6 m^2/(Pa s)", "distribution": "loguniform"},
    PVI: {"mean": "26 mL", "sd": "5 mL", "low": "20 mL", "high": "40 mL", "distribution": "normal"},
    "solver.growth": {"low": 1.5, "high": 2.5},
}


def plan(tmp_path, mode="lhs", samples=64, vary=VARY, **sweep):
    sampled = {} if samples is None else {"samples": samples}
    tree = {
        "injection": [{"level": "L3/L4", "volume": "1 mL"}],
        "mesh": {"size": "draft"},
        "sweep": {"mode": mode, **sampled, "vary": vary, **sweep},
    }
    return plan_study(tree, tmp_path / "study.toml")


def quantiles(made) -> dict[str, np.ndarray]:
    """The sampled values as positions in their distribution, 0 to 1."""
    read = {key: np.array([case.varied[key] for case in made.cases]) for key in VARY}
    volume = np.array([case.case.injection[0].volume for case in made.cases]) * 1e6
    mobility = np.array([case.case.materials.fat.mobility for case in made.cases])
    pvi = np.array([case.case.csf.pvi for case in made.cases]) * 1e6
    normal = stats.truncnorm((20 - 26) / 5, (40 - 26) / 5, loc=26, scale=5)
    return {
        VOLUME: (volume - 5) / 15,
        MOBILITY: (np.log10(mobility) + 8) / 2,
        PVI: normal.cdf(pvi),
        "solver.growth": np.array(read["solver.growth"], dtype=float) - 1.5,
    }


@pytest.mark.parametrize("mode", ["lhs", "sobol"])
def test_every_stratum_of_every_key_is_hit_once(mode, tmp_path):
    for name, values in quantiles(plan(tmp_path, mode)).items():
        assert sorted(np.floor(values * 64).astype(int)) == list(range(64)), name


def test_a_seed_is_a_design_and_another_one_another(tmp_path):
    one, same, other = (plan(tmp_path, samples=8, seed=seed) for seed in (7, 7, 8))
    assert [case.varied for case in one.cases] == [case.varied for case in same.cases]
    assert one.identity == same.identity
    assert not {str(case.varied) for case in one.cases} & {str(case.varied) for case in other.cases}


def test_keys_are_sampled_independently(tmp_path):
    values = np.array(list(quantiles(plan(tmp_path, samples=512)).values()))
    correlation = np.corrcoef(values) - np.eye(len(values))
    assert np.abs(correlation).max() < 4 / math.sqrt(512)


def test_choices_and_lists_are_equally_likely(tmp_path):
    material = {"values": ["blood", "saline"], "distribution": "choice"}
    vary = {LEVEL: ["L3/L4", "T8/T9"], "injection.0.material": material, VOLUME: {"low": "5 mL", "high": "10 mL"}}
    cases = plan(tmp_path, samples=20, vary=vary).cases
    for key in (LEVEL, "injection.0.material"):
        values = [case.varied[key] for case in cases]
        assert sorted(values.count(value) for value in set(values)) == [10, 10]


def test_every_sample_is_crossed_with_every_table_and_shares_its_path(tmp_path):
    tree = {
        "injection": [{"level": "L3/L4", "volume": "1 mL"}],
        "leak": [{"level": "L3/L4", "site": "dorsal"}],
        "patient": "sih",
        "sweep": {
            "mode": "sobol",
            "samples": 4,
            "vary": {"leak.0.level": ["T12/L1", "L1/L2"], "csf.pvi": {"low": "20 mL", "high": "30 mL"}},
            "cross": [
                {LEVEL: level, VOLUME: volume} for level in ("L3/L4", "@leak.0.level") for volume in ("5 mL", "9 mL")
            ],
        },
    }
    found = plan_study(tree, tmp_path / "x.toml")
    assert len(found.cases) == 16
    assert [len(group) for group in found.groups.values()] == [2] * 8
    for member in range(4):
        rows = [case.varied for case in found.cases[4 * member : 4 * member + 4]]
        assert len({row["csf.pvi"] for row in rows}) == 1
        assert [row[LEVEL] for row in rows] == ["L3/L4", "L3/L4", rows[0]["leak.0.level"], rows[0]["leak.0.level"]]
        assert [row[VOLUME] for row in rows] == ["5 mL", "9 mL"] * 2


@pytest.mark.parametrize(
    ("vary", "sweep", "said"),
    [
        ({VOLUME: {"low": "5 mL", "high": "9 mL"}}, {"cross": [{VOLUME: "5 mL"}]}, "it is sampled"),
        ({VOLUME: {"low": "5 mL", "high": "9 mL"}}, {"cross": [{LEVEL: "@leak"}]}, "allowed after @"),
        ({VOLUME: ["5 mL"]}, {"mode": "grid", "samples": None, "cross": [{LEVEL: "L3/L4"}]}, "belongs to mode"),
        ({VOLUME: {"low": "5 mL"}}, {}, f'sweep.vary."{VOLUME}".high: got nothing'),
        ({VOLUME: {"low": "9 mL", "high": "5 mL"}}, {}, "less than high"),
        ({VOLUME: {"low": "5 mL", "high": "5 mmHg"}}, {}, "a value in mL"),
        ({VOLUME: {"low": "5 mL", "high": 9}}, {}, "a value in mL"),
        ({VOLUME: {"low": "nan mL", "high": "5 mL"}}, {}, "a finite value"),
        ({VOLUME: {"low": math.nan, "high": 5}}, {}, "a finite value"),
        ({VOLUME: {"low": "5 drops", "high": "6 drops"}}, {}, "a finite value"),
        ({VOLUME: {"low": "5 mL", "high": "200 mL"}}, {}, "0 to 150 mL"),
        ({VOLUME: {"low": 5, "high": 10}}, {}, "bare number has no unit"),
        ({VOLUME: {"low": "0 mL", "high": "9 mL", "distribution": "loguniform"}}, {}, "above 0"),
        ({VOLUME: {"mean": "5 mL", "sd": "0 mL", "distribution": "normal"}}, {}, "a spread above 0"),
        ({VOLUME: {"low": "5 mL", "high": "9 mL", "sd": "1 mL"}}, {}, "does not take it"),
        ({VOLUME: {"low": "5 mL", "hihg": "9 mL"}}, {}, 'did you mean "high"'),
        ({VOLUME: {"low": "5 mL", "high": "9 mL", "distribution": "gauss"}}, {}, "distribution"),
        ({VOLUME: "5 mL"}, {}, "a sampled mode takes"),
        ({"injection.0.volum": {"low": "5 mL", "high": "9 mL"}}, {}, "did you mean"),
        (VARY, {"samples": None}, "sweep.samples"),
        (VARY, {"mode": "sobol", "samples": 100}, "powers of 2"),
        ({VOLUME: ["5 mL"]}, {"mode": "grid"}, "belongs to mode"),
    ],
)
def test_what_cannot_be_sampled_is_refused(vary, sweep, said, tmp_path):
    tree = {"mode": "lhs", "samples": 4, "vary": vary, **sweep}
    tree = {key: value for key, value in tree.items() if value is not None}
    with pytest.raises(InputError, match=r".") as error:
        plan_study({"injection": [{"level": "L3/L4", "volume": "1 mL"}], "sweep": tree}, tmp_path / "x.toml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_design_can_be_reviewed(tmp_path):
    made = plan(tmp_path, samples=8)
    out = tmp_path / "out"
    prepare(made, out)
    frame, other = pd.read_csv(out / "design.csv"), pd.read_parquet(out / "design.parquet")
    pd.testing.assert_frame_equal(frame, other)
    assert len(frame) == 8
    assert list(frame[f"{VOLUME}_mL"]) == pytest.approx([case.case.injection[0].volume * 1e6 for case in made.cases])
    assert frame["solver.growth"].between(1.5, 2.5).all()


STUDY = """
[[injection]]
level = "L3/L4"
volume = "10 mL"
[mesh]
size = "draft"
[sweep.vary]
"injection.0.level" = ["L3/L4", "T8/T9", "L1/L2"]
"injection.0.volume" = ["5 mL", "10 mL"]
"""


def test_dry_run_counts_cases_paths_and_meshes_and_writes_the_design_only(tmp_path, command, monkeypatch):
    monkeypatch.setattr("studies.dryrun.run_pilot", lambda made, out, simulator: run_pilot(made, out, NAME))
    study, out = tmp_path / "study.toml", tmp_path / "out"
    study.write_text(STUDY)
    called = command("sweep", study, "--out", out, "--dry-run", "--jobs", "1")
    assert called.status == 0
    assert "6 cases along 3 injection paths (6 cases on shared paths)" in called.out
    assert "3 distinct meshes: window T3-S2; size draft" in called.out
    assert "estimate: about " in called.out
    assert "of memory per path" in called.out
    assert {path.name for path in out.iterdir()} == {"design.csv", "design.parquet", "pilot"}
    assert (out / "pilot" / "series.csv").is_file()
    again = command("sweep", study, "--out", out, "--dry-run", "--jobs", "1")
    assert again.out == called.out
    # Looked at, changed, looked at again: the pilot is that of what is planned now.
    study.write_text(STUDY.replace("10 mL", "11 mL") + '"csf.pvi" = ["30 mL"]\n')
    assert "estimate: about " in command("sweep", study, "--out", out, "--dry-run").out
    assert 'pvi = "30 mL"' in (out / "pilot" / "case.toml").read_text()
    assert pd.read_csv(out / "design.csv")["injection.0.volume"].iloc[-1] == "11 mL"


def test_the_pilot_is_short_and_what_cannot_be_posed_is_said(tmp_path):
    case = pilot_case(plan(tmp_path, samples=2))
    assert 0 < case.injection[0].volume / case.injection[0].rate < 10.0
    assert case.time.follow_up == 0.0
    said = run_pilot(plan(tmp_path, "grid", None, {"injection.0.rate": [f"{IMPOSSIBLE} mL/min"]}), tmp_path, NAME)
    assert isinstance(said, str)
    assert "sac 25.0 mm wide" in said


def test_an_estimate_is_arithmetic_on_the_pilot(tmp_path):
    made = plan(tmp_path, "grid", None, {VOLUME: ["5 mL", "10 mL"], LEVEL: ["L3/L4", "T8/T9"]})
    steps = sum(steps_of(members) for members in made.groups.values())
    said = estimate(made, Pilot(setup=100.0, step=10.0, memory=2**30, fields=1e6, row=100.0, rest=0.0), 1)
    assert f"about {duration(2 * 100.0 + 10.0 * steps)} with 1 path at a time" in said
    # four cases; nine output times of a megabyte each: baseline, five frames, end, 20 s later, end of the run
    rows = sum(steps_of([case]) for case in made.cases) * 100.0
    assert f", {(4 * 9 * 1e6 + rows) / 1e6:.3g} MB of disk," in said
    halved = estimate(made, Pilot(100.0, 10.0, 2**20, 1e6, 100.0, 0.0), 2)
    assert f"about {duration((2 * 100.0 + 10.0 * steps) / 2)} with 2 paths at a time" in halved


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 9),
        ({"time": {"follow_up": "3 h"}}, 10),  # 3 h after the beginning, too
        ({"time": {"follow_up": "4 day"}}, 11),  # and 3 d
        ({"time": {"follow_up": "10 s"}}, 8),  # nothing 20 s later
        ({"time": {"follow_up": "20 s"}}, 8),
        ({"injection": [{"level": "L3/L4", "volume": "0 mL"}]}, 3),  # the control: baseline, 20 s later, end
        ({"injection": [{"level": "L3/L4", "volume": "5 mL"}] * 2}, 10),  # the end of each
        ({"output": {"times": ["1 min"]}}, 2),
        ({"output": {"times": ["0 s", "1 min"]}}, 2),
    ],
)
def test_outputs_are_counted_as_the_solver_writes_them(change, count):
    tree = {"injection": [{"level": "L3/L4", "volume": "10 mL"}], "time": {"follow_up": "10 min"}} | change
    assert outputs_of(resolve(validate_case(tree))) == count


def test_steps_are_counted_as_the_step_control_lays_them_out(tmp_path):
    made = plan(tmp_path, "grid", None, {VOLUME: ["10 mL"]})
    # 30 s of injection: 1, 2, 4, 5, 5, 5, 4, 4; 20 s: 1, 2, 4, 8, 5; 580 s: six of 10, then a fifth of the time: 12,
    # 14.4, 17.3, 20.7, 24.9, 29.9, 35.8, 43, 51.6, 61.9, 74.3, 89.2 and what is left
    assert steps_of(list(made.cases)) == 8 + 5 + 6 + 12 + 1
    assert "1 case along 1 injection path" in describe(made)[0]

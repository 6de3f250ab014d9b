import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies.case import Case
from studies.plot.style import styled
from studies.protocols import Outcome
from studies.relief.data import primary, relief_rows
from studies.relief.figure import RISE, _spread, relief_figure, relief_figures
from studies.relief.predicted import hold, predict, stated_range, usable, volume_range
from studies.relief.table import explained, intervals, pairs, row_table, strata, stratum_table

ROWS = relief_rows()
BY_NAME = {row.row_id: row for row in ROWS}


def run(level: str, volume: float, rise: float, patient: str = "pdph", **summary: float) -> Outcome:
    case = Case.model_validate({"patient": patient, "injection": [{"level": level, "volume": f"{volume} mL"}]})
    values = {"csf_pressure_rise_mmHg": rise, "csf_pressure_half_decay_s": 600.0} | summary
    return Outcome(case, Path("x"), "done", "", dict(values), pd.DataFrame())


RUNS = [run(level, v, slope * v) for level, slope in (("L2/L3", 0.2), ("L3/L4", 0.4)) for v in (10.0, 20.0, 30.0)]


def test_a_reported_volume_is_predicted_at_that_volume_over_the_levels():
    found = predict(BY_NAME["paech-20"], ROWS, RUNS)
    assert found.volume_mL == (20.0, 20.0)
    assert (found.rise.value, found.rise.low, found.rise.high) == pytest.approx((6.0, 4.0, 8.0))
    assert not found.assumed_volume
    assert found.coverage is None


def test_a_range_is_integrated_over():
    found = predict(BY_NAME["taivainen-early"], ROWS, RUNS)
    assert found.volume_mL == (10.0, 15.0)
    assert found.rise.value == pytest.approx(0.3 * 12.5)
    assert (found.rise.low, found.rise.high) == pytest.approx((2.0, 6.0))


def test_a_missing_volume_takes_the_range_of_all_reported_ones():
    assert stated_range(ROWS, "PDPH") == (10.0, 32.0)
    assert volume_range(BY_NAME["gupta"], ROWS) == (10.0, 32.0)
    found = predict(BY_NAME["gupta"], ROWS, RUNS)
    assert found.assumed_volume
    assert found.volume_mL == (10.0, 30.0)
    assert found.words == "computed to 30 mL only"
    assert volume_range(BY_NAME["wu-high"], ROWS) == (22.5, stated_range(ROWS, "SIH")[1])


def test_nothing_is_extrapolated():
    assert predict(BY_NAME["paech-30"], ROWS, [run("L3/L4", 10.0, 1.0)]) == "22 mL is more than was computed (10 mL)"
    assert predict(BY_NAME["paech-20"], ROWS, [run("T8/T9", 20.0, 1.0)]) == "no run between L2/L3 and L4/L5"
    assert predict(BY_NAME["paech-20"], ROWS, []) == "no run between L2/L3 and L4/L5"


def test_a_place_that_was_computed_less_far_does_not_cut_the_range():
    found = predict(BY_NAME["gupta"], ROWS, [*RUNS, run("L4/L5", 5.0, 9.0)])
    assert found.volume_mL == (10.0, 30.0)
    assert found.words == "computed to 30 mL only; 1 of 3 places not computed so far"
    assert found.rise == predict(BY_NAME["gupta"], ROWS, RUNS).rise


def test_controls_have_no_rise_and_no_place_in_a_correlation():
    held = {item.row.row_id: item for item in hold(ROWS, RUNS)}
    control = held["vankooten-control-early"]
    assert control.rise == 0.0
    assert not control.comparable
    assert held["paech-20"].comparable
    assert not held["gupta"].comparable
    assert held["cho-blind"].prediction.stand_in
    assert not held["cho-blind"].comparable
    own = {item.row.row_id: item for item in hold(ROWS, [*RUNS, run("L3/L4", 45.0, 9.0, "sih")])}
    assert not own["martin"].prediction.stand_in


def test_runs_that_do_not_stand_for_a_patch_are_left_out():
    good = run("L3/L4", 10.0, 1.0)
    failed = Outcome(good.case, good.path, "failed", "", good.summary, good.series)
    healthy = run("L3/L4", 10.0, 1.0, "healthy")
    assert usable([good, failed, healthy, run("L3/L4", 10.0, math.nan)]) == [good]


def test_today_no_stratum_can_tell_and_none_prints_a_coefficient():
    held = hold(ROWS, RUNS)
    frame = stratum_table(held)
    assert len(frame) == len(strata(held)) >= 10
    few = frame["sets_with_volume_and_prediction"] < 8
    assert few.all()
    assert frame["rank_correlation"].isna().all()
    assert frame["verdict"].str.startswith("cannot tell").all()


def test_rows_carry_both_intervals_or_none():
    frame = row_table(hold(ROWS, RUNS)).set_index("row_id")
    assert len(frame) == len(primary(ROWS))
    assert math.isnan(frame.loc["paech-15", "wilson_low_pct"])
    seen = frame.dropna(subset=["wilson_low_pct"])
    assert (seen["wilson_low_pct"] <= seen["relief_pct"] + 0.51).all()
    assert (seen["exact_high_pct"] + 0.51 >= seen["relief_pct"]).all()
    assert intervals(BY_NAME["seebacher-sham"])[1][0] == 0.0


def test_early_and_lasting_of_the_same_patients():
    found = {(pair.study, pair.control_kind): (pair.early_pct, pair.lasting_pct) for pair in pairs(ROWS)}
    assert found[("Taivainen 1993", "")] == (91.0, 61.0)
    assert found[("Piechowiak 2023", "")] == (88.0, 33.0)
    assert found[("van Kooten 2008", "")] == (42.0, 84.0)
    assert found[("van Kooten 2008", "conservative")] == (10.0, 14.0)
    assert len(found) == 4


def test_what_explains_what_follows_the_runs():
    words = " ".join(explained(hold(ROWS, RUNS), plug_modelled=False))
    assert "half of it gone after at most 10 min" in words
    assert "not modelled in these runs" in words
    assert "falls from 91 % early to 61 % later" in words
    assert "no published row could be predicted" in explained(hold(ROWS, []), plug_modelled=False)[0]
    slow = [run("L3/L4", v, v, csf_pressure_half_decay_s=2 * 86400.0) for v in (10.0, 30.0)]
    assert "not for relief that lasts days" not in " ".join(explained(hold(ROWS, slow), plug_modelled=False))


@pytest.mark.parametrize("runs", [RUNS, []])
def test_figure_shows_every_row_once(runs, tmp_path):
    held = hold(ROWS, runs)
    with styled():
        figure, caption = relief_figure(held, ROWS)
        figure.savefig(tmp_path / "relief.png")
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    for number, item in enumerate(held, 1):
        assert any(f"{number} {item.row.name}" in text for text in texts)
        shown = sum(text == str(number) for text in texts)
        skipped = sum(str(number) in text.split(": ")[-1].split(", ") for text in texts if "no prediction" in text)
        assert shown + skipped == 1, number
    assert "cannot be told" in caption
    assert ("no predictions" in caption) == (not runs)


def test_markers_of_unreported_volumes_make_no_trend():
    for runs in (RUNS, []):
        members = [item for item in hold(ROWS, runs) if item.row.syndrome == "SIH" and item.row.window == "unclear"]
        places = _spread(members, ROWS, RISE if runs else None)
        assert len(places) >= 6
        by_relief = sorted((item for item in members if item.row.row_id in places), key=lambda i: i.row.relief_pct)
        shifts = [places[item.row.row_id] for item in by_relief]
        steps = [b - a for a, b in itertools.pairwise(shifts)]
        assert any(step > 0 for step in steps)
        assert any(step < 0 for step in steps)
        assert abs(stats.spearmanr(range(len(shifts)), shifts).statistic) < 0.5


def test_relief_is_also_drawn_against_duration_and_coverage_where_they_are_predicted():
    leak = {"leak": [{"level": "L3/L4", "site": "dorsal"}]}
    case = Case.model_validate({"patient": "pdph", "injection": [{"level": "L3/L4", "volume": "20 mL"}], **leak})
    summary = {"csf_pressure_rise_mmHg": 4.0, "csf_pressure_half_decay_s": 300.0, "leak_coverage": 0.8}
    covered = Outcome(case, Path("x"), "done", "", summary, pd.DataFrame())
    held = hold(ROWS, [covered])
    with styled():
        drawn = relief_figures(held, ROWS)
        assert set(relief_figures(hold(ROWS, RUNS), ROWS)) == {"relief", "relief_duration"}
    assert set(drawn) == {"relief", "relief_duration", "relief_coverage"}
    paech = next(item for item in held if item.row.row_id == "paech-20")
    assert paech.coverage == pytest.approx(0.8)
    figure, caption = drawn["relief_coverage"]
    lines = [line for axes in figure.axes for line in axes.get_lines() if line.get_marker() == "o"]
    assert any(np.allclose(line.get_xdata(), 80.0) and np.allclose(line.get_ydata(), 32.0) for line in lines)
    assert "covers" in caption
    frame = row_table(held).set_index("row_id")
    assert frame.loc["paech-20", "predicted_half_decay_s"] == pytest.approx(300.0)


def test_pressure_is_of_runs_without_a_leak_and_coverage_of_those_with_one():
    def leaking(patient: str, level: str, leak: str, coverage: float) -> Outcome:
        tree = {"patient": patient, "injection": [{"level": level, "volume": "20 mL"}]}
        case = Case.model_validate(tree | {"leak": [{"level": leak, "site": "dorsal"}]})
        summary = {"csf_pressure_rise_mmHg": 99.0, "leak_coverage": coverage}
        return Outcome(case, Path("x"), "done", "", summary, pd.DataFrame())

    runs = [
        run("L3/L4", 20.0, 4.0),
        run("T9/T10", 20.0, 4.0),
        leaking("pdph", "L3/L4", "L3/L4", 0.9),
        leaking("sih", "T9/T10", "T9/T10", 0.7),
        leaking("sih", "L2/L3", "T9/T10", 0.1),
    ]
    held = {item.row.row_id: item for item in hold(ROWS, runs)}
    without = {item.row.row_id: item for item in hold(ROWS, runs[:2])}
    assert held["paech-20"].rise == pytest.approx(4.0)
    assert held["paech-20"].coverage == pytest.approx(0.9)
    assert held["cho-targeted"].rise == without["cho-targeted"].rise < 4.0
    assert held["cho-targeted"].coverage == pytest.approx(0.7)  # at the level of the leak only
    blind = held["cho-blind"].prediction.coverage
    assert (blind.low, blind.high) == pytest.approx((0.1, 0.7))
    assert held["cho-blind"].prediction.stand_in


def test_targeted_rows_range_over_the_approaches_and_blind_ones_do_not():
    def by(approach: str, rise: float) -> Outcome:
        made = run("L3/L4", 20.0, rise)
        case = made.case.model_copy(
            update={"injection": [made.case.injection[0].model_copy(update={"approach": approach})]}
        )
        return Outcome(case, made.path, "done", "", made.summary, made.series)

    runs = [by("interlaminar", 4.0), by("foraminal", 2.0)]
    assert predict(BY_NAME["paech-20"], ROWS, runs).rise.low == pytest.approx(4.0)
    targeted = predict(BY_NAME["cho-targeted"], ROWS, runs)
    assert (targeted.rise.low, targeted.rise.high) == pytest.approx((2.0 * 3 / 20, 4.0))

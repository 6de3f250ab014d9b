import math
from dataclasses import replace

import pytest

from studies.case import MeshSection
from studies.protocols import Outcome
from studies.relief.data import primary
from studies.relief.predicted import hold, predict, stated_range, usable, volume_range
from studies.relief.table import POOLED, explained, intervals, pairs, row_table, strata, stratum_table
from tests.studies.relieving import BY_NAME, ROWS, RUNS, leaking, run


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
    assert predict(BY_NAME["paech-20"], ROWS, [run("T8/T9", 20.0, 1.0)]) == "no run at L2/L3 to L4/L5"
    assert predict(BY_NAME["paech-20"], ROWS, []) == "no run at L2/L3 to L4/L5"


def test_a_place_that_was_computed_less_far_does_not_cut_the_range():
    found = predict(BY_NAME["gupta"], ROWS, [*RUNS, run("L4/L5", 5.0, 9.0)])
    assert found.volume_mL == (10.0, 30.0)
    assert found.words == "computed to 30 mL only; 1 of 3 places not computed so far"
    assert found.rise == predict(BY_NAME["gupta"], ROWS, RUNS).rise


def test_controls_have_no_rise_and_no_place_in_a_correlation():
    held = {item.row.row_id: item for item in hold(ROWS, RUNS)}
    control = held["vankooten-control-early"]
    assert control.rise == 0.0
    assert not held["paech-20"].rise_left_out()
    assert held["gupta"].rise_left_out() == held["gupta"].rise_left_out(any_volume=True) == "without a volume"
    assert held["cho-blind"].prediction.stand_in
    assert held["cho-blind"].rise_left_out() == "predicted with another patient"
    own = {item.row.row_id: item for item in hold(ROWS, [*RUNS, run("L3/L4", 45.0, 9.0, "sih")])}
    assert not own["martin"].prediction.stand_in


def test_runs_that_do_not_stand_for_a_patch_are_left_out():
    good = run("L3/L4", 10.0, 1.0)
    failed = Outcome(good.case, good.path, "failed", "", good.summary, good.series)
    healthy = run("L3/L4", 10.0, 1.0, "healthy")
    assert usable([good, failed, healthy, run("L3/L4", 10.0, math.nan)]) == [good]


def test_today_no_stratum_of_one_endpoint_can_tell_and_none_prints_a_coefficient():
    held = hold(ROWS, RUNS)
    frame = stratum_table(held)
    assert len(frame) == len(strata(held)) >= 10
    strict = frame[frame["endpoint_class"] != POOLED]
    assert (strict["sets_compared"] < 8).all()
    assert strict["rank_correlation"].isna().all()
    assert strict["verdict"].str.startswith("cannot tell").all()


def test_pooled_strata_mix_endpoints_and_volumes_and_say_so():
    frame = stratum_table(hold(ROWS, RUNS)).set_index(["syndrome", "window", "targeting", "endpoint_class"])
    pooled = frame.xs(POOLED, level="endpoint_class")
    assert len(pooled) == len({row.stratum[:3] for row in primary(ROWS) if not row.control_kind})
    line = pooled.loc[("PDPH", "lasting", "blind")]
    sets = {row.patient_set for row in primary(ROWS) if row.stratum[:3] == ("PDPH", "lasting", "blind")}
    assert line["sets_compared"] == len(sets) - 3 == 6
    assert (line["sets_with_reported_volume"], line["endpoint_classes"]) == (4, 2)
    mixture = "4 of 6 sets report their volume, 2 endpoint classes mixed"
    assert line["verdict"] == f"cannot tell: 6 of at least 8 sets; left out: 3 without a volume; {mixture}"
    assert pooled["rank_correlation"].isna().all()
    assert pooled["verdict"].str.startswith("cannot tell").all()
    # Stand-ins do not count in the pooled stratum, either, and that is the reason given.
    assert pooled.loc[("SIH", "lasting", "targeted"), "sets_compared"] == 0
    reason = "cannot tell: 0 of at least 8 sets; left out: 2 predicted with another patient"
    assert pooled.loc[("SIH", "lasting", "targeted"), "verdict"] == reason


def test_a_stratum_with_enough_sets_has_a_coefficient_with_each_set_left_out(monkeypatch):
    monkeypatch.setattr("studies.relief.statistics.LEAST_SETS", 6)
    frame = stratum_table(hold(ROWS, RUNS)).set_index(["syndrome", "window", "targeting", "endpoint_class"])
    line = frame.loc[("PDPH", "lasting", "blind", POOLED)]
    assert -1 <= line["leave_one_out_low"] <= line["rank_correlation"] <= line["leave_one_out_high"] <= 1
    assert line["leave_one_out_low"] < line["leave_one_out_high"]
    assert line["most_influential_set"] in {row.patient_set for row in ROWS}
    assert frame["rank_correlation"].notna().sum() == 1


def test_the_verdict_gives_the_reason_for_which_sets_are_left_out():
    runs = [*RUNS, *(leaking("sih", "L2/L3", "T9/T10", v) for v in (5.0, 70.0))]
    frame = stratum_table(hold(ROWS, runs)).set_index(["syndrome", "window", "targeting", "endpoint_class"])
    verdict = frame["verdict"]
    assert verdict[("PDPH", "lasting", "blind", "no_repeat")] == (  # runs end at 30 mL
        "cannot tell: 1 of at least 8 sets; left out: 1 computed for a part of its volumes only, "
        "1 without a reported volume, 3 without a volume"
    )
    # Martin is predicted with his own patient, Seoul's two sites with none.
    assert verdict[("SIH", "lasting", "blind", "no_repeat")] == (
        "cannot tell: 1 of at least 8 sets; left out: 1 not predicted, 1 without a volume"
    )


def hold_named(runs: list[Outcome]) -> dict:
    return {item.row.row_id: item for item in hold(ROWS, runs)}


def test_rows_carry_both_intervals_or_none():
    frame = row_table(hold(ROWS, RUNS)).set_index("row_id")
    assert len(frame) == len(primary(ROWS))
    assert math.isnan(frame.loc["paech-15", "wilson_low_pct"])
    seen = frame.dropna(subset=["wilson_low_pct"])
    assert (seen["wilson_low_pct"] <= seen["relief_pct"] + 0.51).all()
    assert (seen["exact_high_pct"] + 0.51 >= seen["relief_pct"]).all()
    assert intervals(BY_NAME["seebacher-sham"])[1][0] == 0.0


def test_early_and_lasting_of_the_same_patients():
    found = {(pair.study, pair.control_kind): (pair.first_pct, pair.lasting_pct) for pair in pairs(ROWS)}
    assert found[("Taivainen 1993", "")] == (91.0, 61.0)
    assert found[("Piechowiak 2023", "")] == (88.0, 33.0)
    assert found[("van Kooten 2008", "")] == (42.0, 84.0)
    assert found[("van Kooten 2008", "conservative")] == (10.0, 14.0)
    assert len(found) == 4
    assert {pair.study for pair in pairs(ROWS) if pair.first_window != "early"} == {"Piechowiak 2023"}


def test_what_explains_what_follows_the_runs():
    words = " ".join(explained(hold(ROWS, RUNS), plug_modelled=False))
    assert "not modelled in these runs" in words
    assert "falls from 91 % early to 61 % later" in words
    assert "falls from 88 % at a time not stated to 33 % later" in words
    assert "no published row could be predicted" in explained(hold(ROWS, []), plug_modelled=False)[0]
    two_days = [run("L3/L4", v, v, csf_pressure_half_decay_s=2 * 86400.0) for v in (10.0, 30.0)]
    slow = {line.split(":")[0]: line for line in explained(hold(ROWS, two_days), plug_modelled=False)}
    assert "before the outcomes (3 days or later, or another patch)" in slow["PDPH, lasting"]
    assert "before the outcomes" not in slow["PDPH, early"]
    still = [run("L3/L4", v, v, csf_pressure_half_decay_s=60.0 if v < 20.0 else math.nan) for v in (10.0, 30.0)]
    text = next(line for line in explained(hold(ROWS, still), plug_modelled=False) if line.startswith("PDPH, early"))
    assert "half of it not gone everywhere by the end of the runs" in text
    assert "before the outcomes" not in text


def test_each_syndrome_and_window_has_its_own_line():
    runs = [
        *RUNS,
        *(leaking("pdph", "L3/L4", "L3/L4", v, leak_coverage=1.0) for v in (5.0, 30.0)),
        *(leaking("sih", "L2/L3", "T9/T10", v, csf_pressure_rise_mmHg=7.0, leak_coverage=0.25) for v in (3.0, 30.0)),
    ]
    lines = {line.split(":")[0]: line for line in explained(hold(ROWS, runs), plug_modelled=True)}
    windows = [
        f"{syndrome}, {window}" for syndrome in ("PDPH", "SIH") for window in ("lasting", "time not stated or between")
    ]
    assert {"PDPH, early", *windows} == {name for name in lines if ", " in name and "same patients" not in name}
    early = lines["PDPH, early"]
    assert (
        "a rise of 3.8 to 6.0 mmHg, half of it gone after at most 10.0 min, before the outcomes (2 h or later)" in early
    )
    assert "100 % of the leak covered" in early
    assert "no further patch" not in early
    assert "without a patch: van Kooten 2008 conservative 10 %" in early
    assert "neither explains the relief without a patch, or why relief differs where the leak is covered alike" in early
    assert "before the outcomes" not in lines["SIH, time not stated or between"]
    assert "25 % of the leak covered" in lines["SIH, lasting"]
    assert "no control" in lines["SIH, lasting"]
    assert "why relief differs" not in lines["SIH, lasting"]  # the targeted rows have no coverage
    assert "or the relief of up to" not in early
    # Ferrante's: the most relief of the rows that are covered to a quarter only.
    assert (
        "neither explains the relief of up to 90 % where less than half of the leak is covered anywhere"
        in lines["SIH, lasting"]
    )


def test_a_leak_that_was_covered_early_and_washed_free_counts_as_free():
    washed = leaking("pdph", "L3/L4", "L3/L4", leak_coverage=0.8)
    washed.series.loc[2, "leak_coverage"] = 0.1
    assert washed.number("leak_coverage") == 0.8
    assert predict(BY_NAME["paech-20"], ROWS, [washed]).coverage.value == pytest.approx(0.1)


def test_after_dural_puncture_pressure_is_of_runs_without_a_leak_and_coverage_of_those_with_one():
    runs = [run("L3/L4", 20.0, 4.0), leaking("pdph", "L3/L4", "L3/L4", leak_coverage=0.9)]
    paech = predict(BY_NAME["paech-20"], ROWS, runs)
    assert paech.rise.value == pytest.approx(4.0)
    assert paech.coverage.value == pytest.approx(0.9)
    alone = predict(BY_NAME["paech-20"], ROWS, runs[1:])
    assert alone.rise.value == pytest.approx(99.0)
    assert not alone.stand_in


def test_in_spontaneous_hypotension_blind_rows_take_runs_that_are_not_aimed_and_targeted_rows_those_that_are():
    aimed = [leaking("sih", "T9/T10", "T9/T10", v, csf_pressure_rise_mmHg=8.0, leak_coverage=0.7) for v in (3.0, 70.0)]
    blind = [leaking("sih", "L2/L3", "T9/T10", v, csf_pressure_rise_mmHg=2.0, leak_coverage=0.1) for v in (3.0, 70.0)]
    stand_in = [run(level, v, 50.0) for level in ("T9/T10", "L2/L3") for v in (3.0, 70.0)]
    held = hold_named([*aimed, *blind, *stand_in])
    for name, rise, coverage in (("piechowiak-short", 2.0, 0.1), ("cho-targeted", 8.0, 0.7)):
        found = held[name].prediction
        assert (found.rise.low, found.rise.high) == pytest.approx((rise, rise))
        assert (found.coverage.low, found.coverage.high) == pytest.approx((coverage, coverage))
        assert found.half_decay.value == pytest.approx(600.0)
        assert not found.stand_in
    assert held["oh-sih"].prediction.rise.value == pytest.approx(5.0)  # not stated: both
    assert held["oh-sih"].prediction.coverage.value == pytest.approx(0.4)
    assert not held["martin"].rise_left_out()
    lone = hold_named([*aimed, *stand_in])
    assert lone["piechowiak-short"].prediction.rise.value == pytest.approx(50.0)
    assert lone["piechowiak-short"].prediction.stand_in
    assert lone["piechowiak-short"].prediction.coverage is None
    assert lone["piechowiak-short"].words == (
        "predicted with another patient; leak coverage not computed: no run at C7/T1 to L5/S1"
    )
    assert lone["martin"].rise_left_out()
    assert math.isnan(lone["martin"].coverage)


def test_places_of_one_needle_and_several_leaks_keep_their_range():
    leaks = (("T6/T7", 0.1), ("T12/L1", 0.5))
    runs = [leaking("sih", "L2/L3", leak, v, leak_coverage=c) for leak, c in leaks for v in (3.0, 70.0)]
    found = predict(BY_NAME["piechowiak-short"], ROWS, runs).coverage
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.1, 0.5))


def test_duration_and_coverage_are_integrated_over_the_volumes_as_the_rise_is():
    decays = {10.0: 100.0, 20.0: 300.0}
    runs = [run("L3/L4", v, v, csf_pressure_half_decay_s=decays[v]) for v in decays]
    runs += [leaking("pdph", "L3/L4", "L3/L4", v, leak_coverage=c) for v, c in ((10.0, 0.4), (20.0, 0.8))]
    found = predict(BY_NAME["taivainen-early"], ROWS, runs)  # 10 to 15 mL
    assert (found.half_decay.value, found.half_decay.low, found.half_decay.high) == pytest.approx((150.0, 100.0, 200.0))
    assert (found.coverage.value, found.coverage.low, found.coverage.high) == pytest.approx((0.5, 0.4, 0.6))
    # Beside a run that did not reach its half nothing is made up.
    runs[1].summary["csf_pressure_half_decay_s"] = math.nan
    found = predict(BY_NAME["taivainen-early"], ROWS, runs)
    assert (found.half_decay.low, found.half_decay.high) == pytest.approx((100.0, 100.0))
    assert found.words == "L2/L3 to L4/L5 predicted at L3/L4 alone; half decay not reached everywhere"
    runs[0].summary["csf_pressure_half_decay_s"] = math.nan
    assert predict(BY_NAME["taivainen-early"], ROWS, runs).half_decay is None


def test_coverage_is_told_of_computed_volumes_only():
    closed = [run("L3/L4", v, v) for v in (10.0, 20.0)]
    from_12 = [leaking("pdph", "L3/L4", "L3/L4", v, leak_coverage=1.0) for v in (12.0, 20.0)]
    found = predict(BY_NAME["taivainen-early"], ROWS, [*closed, *from_12])  # 10 to 15 mL
    assert (found.coverage.low, found.coverage.high) == (1.0, 1.0)
    assert found.coverage_cut
    assert not found.cut
    assert "leak coverage: computed from 12 mL only" in found.words
    none = predict(BY_NAME["taivainen-early"], ROWS, [*closed, from_12[-1]])
    assert none.coverage is None
    assert "leak coverage not computed: 15 mL is less than was computed (20 mL)" in none.words


def test_the_ends_of_a_coverage_are_over_the_thresholds_of_what_counts_as_covered():
    known = leaking("pdph", "L3/L4", "L3/L4", 20.0, leak_coverage=0.2)
    known.series["leak_coverage_at_5_percent"] = 1.0
    known.series["leak_coverage_at_15_percent"] = 0.0
    found = predict(BY_NAME["paech-20"], ROWS, [run("L3/L4", 20.0, 6.0), known]).coverage
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0, 1.0))


def test_a_row_whose_volumes_were_computed_in_part_is_not_one_with_a_reported_volume():
    runs = [leaking("sih", "L2/L3", "T9/T10", v, csf_pressure_rise_mmHg=7.0, leak_coverage=1.0) for v in (3.0, 30.0)]
    (martin,) = (item for item in hold(ROWS, runs) if item.row.row_id == "martin")  # 22.1 to 68.5 mL
    assert martin.prediction.cut
    assert martin.prediction.volume_mL == pytest.approx((22.1, 30.0))
    assert martin.rise_left_out() == martin.coverage_left_out() == "computed for a part of its volumes only"
    assert not martin.rise_left_out(any_volume=True)


def test_runs_without_a_leak_are_those_of_one_window_and_mesh():
    study = [run("L3/L4", v, v) for v in (10.0, 20.0)]
    other = run("L3/L4", 19.0, 99.0)
    other = replace(other, case=other.case.model_copy(update={"mesh": MeshSection(size="default")}))
    leak = leaking("sih", "L2/L3", "T9/T10", 5.0)
    study = [replace(item, case=item.case.model_copy(update={"mesh": MeshSection(size="draft")})) for item in study]
    assert usable([*study, other, leak]) == [*study, leak]


def test_a_level_without_runs_is_predicted_at_the_interspaces_beside_it():
    runs = [
        run(level, v, rise) for level, rise in (("T12/L1", 4.0), ("L2/L3", 6.0), ("L3/L4", 90.0)) for v in (3.0, 70.0)
    ]
    found = predict(BY_NAME["chosun"], ROWS, runs)
    assert (found.rise.low, found.rise.high) == pytest.approx((4.0, 6.0))
    assert "no run at L1/L2, predicted at T12/L1 and L2/L3" in found.words
    at_it = predict(BY_NAME["chosun"], ROWS, [*runs, *(run("L1/L2", v, 5.0) for v in (3.0, 70.0))])
    assert at_it.rise.low == at_it.rise.high == pytest.approx(5.0)
    assert predict(BY_NAME["chosun"], ROWS, [run("L3/L4", 70.0, 9.0)]) == "no run at L1/L2"


def test_between_two_sites_nobody_injected():
    runs = [
        run(level, v, rise) for level, rise in (("C7/T1", 4.0), ("T6/T7", 90.0), ("T12/L1", 6.0)) for v in (3.0, 70.0)
    ]
    found = predict(BY_NAME["seoul-blind"], ROWS, runs)
    assert (found.rise.low, found.rise.high) == pytest.approx((4.0, 6.0))
    assert found.words == "injected at several sites, predicted as one site; predicted with another patient"
    assert "predicted as one site" in predict(BY_NAME["martin"], ROWS, runs).words
    assert "predicted as one site" not in predict(BY_NAME["oh-sih"], ROWS, runs).words


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

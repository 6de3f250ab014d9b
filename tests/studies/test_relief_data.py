import csv
import dataclasses
import math

import pytest

from studies.relief.data import CHOICES, TABLE, faults, primary, relief_rows

ROWS = {row.row_id: row for row in relief_rows()}
ADDED = {*CHOICES, "row_id", "patient_set", "arm_key", "use_reason", "relief_n", "relief_total", "relief_pct"}


def changed(row_id: str, /, **values: object) -> list:
    return [dataclasses.replace(row, **values) if row.row_id == row_id else row for row in ROWS.values()]


def test_the_table_keeps_every_row_and_column_of_its_source():
    with TABLE.open(newline="", encoding="utf-8") as stream:
        records = list(csv.DictReader(stream))
    assert len(records) == 60
    source = "study year population design injectate volume_mL volume_text n complete_n complete_pct any_relief_pct"
    assert set(source.split()) | ADDED <= set(records[0])
    assert len({record["study"] for record in records}) == 35
    by_name = {record["row_id"]: record for record in records}
    assert by_name["safa-tisseront"]["complete_n"] == "377"
    assert by_name["taivainen-part2-height"]["volume_mL"] == "12.5"


@pytest.mark.parametrize(
    ("row_id", "values", "said"),
    [
        ("gupta", {"use": "maybe"}, "use is 'maybe'"),
        ("gupta", {"tag": ""}, "tag is ''"),
        ("gupta", {"use_reason": ""}, "a reason for its use"),
        ("gupta", {"relief_pct": 40.0}, "count and percentage disagree"),
        ("gupta", {"relief_n": 600}, "more relieved than treated"),
        ("gupta", {"relief_n": None}, "a count without its total"),
        ("gupta", {"relief_n": None, "relief_total": None}, "count_basis does not fit"),
        ("gupta", {"relief_pct": math.nan, "relief_n": None, "relief_total": None}, "needs a relief rate"),
        ("gupta", {"volume_basis": "reported"}, "volume_basis does not fit"),
        ("gupta", {"control_kind": "sham"}, "neither blind nor targeted"),
        ("gupta", {"level_low": "L9/L9"}, "no range of interspaces"),
        ("gupta", {"level_low": "L5/S1"}, "not from cranial to caudal"),
        ("paech-30", {"volume_low_mL": 40.0}, "upside down"),
        ("gupta", {"sites_at_once": "two"}, "sites_at_once is 'two'"),
        ("gupta", {"sites_at_once": ""}, "one site or several"),
        ("cho-blind", {"level_sites": "T4/T5; L9/L9; L3/L4"}, "not from the first level to the last"),
        ("cho-blind", {"level_sites": "T4/T5; L2/L3-T12/L1; L3/L4"}, "not from the first level to the last"),
        ("cho-blind", {"level_sites": "T4/T5; T5/T6"}, "not from the first level to the last"),
        ("seebacher-sham", {"volume_high_mL": 10.0}, "no volume and no level"),
        ("seebacher-sham", {"sites_at_once": "one"}, "no volume and no level"),
        ("paech-30", {"arm_key": "15 mL"}, "the same patients count twice"),
        ("wu-all", {"use": "primary"}, "the whole set counts beside its parts"),
        ("paech-30", {"row_id": "paech-20"}, "there twice"),
    ],
)
def test_a_wrong_row_is_found(row_id, values, said):
    assert not faults(list(ROWS.values()))
    assert any(said in fault for fault in faults(changed(row_id, **values)))


def test_primary_rows_hold_no_patient_twice_in_one_window():
    seen = [(row.patient_set, row.window, row.arm_key) for row in primary()]
    assert len(seen) == len(set(seen))
    assert {row.use for row in relief_rows()} == {"primary", "subgroup", "overlapping", "excluded"}
    for row in relief_rows():
        if row.use != "primary":
            assert len(row.use_reason) > 10, row.row_id
    assert not any("meta-analysis" in row.study and not row.control_kind for row in primary())


def test_paired_rows_share_their_patients():
    for first, lasting, window in (
        ("taivainen-early", "taivainen-lasting", "early"),
        ("piechowiak-short", "piechowiak-lasting", "unclear"),  # short term: no time
        ("vankooten-early", "vankooten-lasting", "early"),
    ):
        assert ROWS[first].patient_set == ROWS[lasting].patient_set
        assert (ROWS[first].window, ROWS[lasting].window) == (window, "lasting")
    assert ROWS["vankooten-control-early"].arm_key != ROWS["vankooten-early"].arm_key


def test_counts_that_no_whole_number_gives_are_not_invented():
    # 61 % of 81 is no count: 49 gives 60.5, 50 gives 61.7.
    assert not any(round(100 * k / 81) == 61 for k in range(82))
    assert ROWS["taivainen-lasting"].relief_n is None
    assert all(ROWS[name].relief_n is None for name in ("paech-15", "paech-20", "paech-30"))


def test_a_primary_row_that_counts_further_patches_is_read_by_them():
    with TABLE.open(newline="", encoding="utf-8") as stream:
        records = [record for record in csv.DictReader(stream) if record["repeat_n"] or record["repeat_pct"]]
    counted = [record for record in records if record["use"] == "primary"]
    assert {"seoul-blind", "seoul-targeted", "abouleish", "booth"} <= {record["row_id"] for record in counted}
    for record in counted:
        row = ROWS[record["row_id"]]
        assert row.window == "lasting", row.row_id
        if row.patient_set == "pusan-2021":  # its repeats are of all patients, with and without a first patch
            continue
        again = float(record["repeat_n"] or float(record["repeat_pct"]) / 100 * row.relief_total)
        assert row.relief_n == pytest.approx(row.relief_total - again, abs=1.5), row.row_id


def test_booth_has_one_count_that_gives_all_of_its_figures():
    # 466 patches in 394 patients: further ones are 72. With a second: 17 % of 394, with a third: 1.5 %.
    found = [
        (second, third)
        for second in range(395)
        for third in range(second + 1)
        if round(100 * second / 394) == 17 and round(1000 * third / 394) == 15 and 0 <= 72 - second - third <= third
    ]
    assert found == [(66, 6)]
    assert (ROWS["booth"].relief_n, ROWS["booth"].relief_total) == (394 - 66, 394)


def test_sites_are_read_cranial_first():
    assert ROWS["cho-blind"].sites == (("T4/T5", "T5/T6"), ("L3/L4", "L3/L4"))
    assert ROWS["seoul-blind"].sites == (("C7/T1", "C7/T1"), ("T12/L1", "T12/L1"))
    assert ROWS["gupta"].sites == (("L2/L3", "L4/L5"),)
    assert ROWS["seebacher-sham"].sites == ()
    assert {row.row_id for row in primary() if row.sites_at_once == "several"} == {"martin", "seoul-blind"}

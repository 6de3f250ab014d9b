"""The comparison on results of the stand-in, whose curves are known."""

import csv
import math
from pathlib import Path

import pandas as pd
import pytest

from studies import clinical
from studies.clinical import measurements, null_displaced, null_pressure, pratt
from studies.compare import gather
from studies.demo import CASES, STUDIES
from studies.page import calibration_lines
from studies.protocols import Reading, interpolate, is_higuchi, is_pratt, is_volume_and_level
from studies.spinalshare import QUANTITIES, applies, ratios
from studies.study import read_study
from studies.sweep import execute, prepare
from tests.studies.fake import NAME


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    plans = {name: read_study(CASES / file, settings=['mesh.size="draft"']) for name, file in STUDIES.items()}
    assert execute([prepare(made, out / name) for name, made in plans.items()], 2, simulator=NAME) == 0
    return out


def test_committed_studies_are_the_protocols():
    for name, known in (("higuchi", is_higuchi), ("pratt", is_pratt), ("demo", is_volume_and_level)):
        cases = [case.case for case in read_study(CASES / f"{name}.toml").cases]
        assert all(known(case) for case in cases)
        assert [sum(check(case) for check in (is_higuchi, is_pratt, is_volume_and_level)) for case in cases] == [
            1
        ] * len(cases)


@pytest.mark.parametrize(
    "change",
    ['injection.0.stop_at="20 mmHg"', 'posture="upright"', "mechanisms.pressure=false", "mechanisms.plug=false"],
)
def test_what_was_not_given_in_full_to_a_whole_patient_is_no_counterpart(change):
    for name in ("higuchi", "pratt", "demo"):
        cases = [case.case for case in read_study(CASES / f"{name}.toml", settings=[change]).cases]
        assert not any(check(case) for case in cases for check in (is_higuchi, is_pratt, is_volume_and_level))


def test_runs_of_one_volume_count_as_their_mean():
    readings = [Reading(20.0, value, value - 1, value + 1) for value in (9.0, 1.0, 5.0)] + [
        Reading(10.0, 2.0, 2.0, 2.0)
    ]
    assert interpolate(readings, 20.0) == Reading(20.0, 5.0, 0.0, 10.0)
    assert interpolate(readings, 15.0) == Reading(15.0, 3.5, 1.0, 6.0)
    assert interpolate(readings, 9.0) is None


def test_readings_are_taken_where_the_protocols_say(folder):
    comparison = gather(folder)
    displaced = {reading.volume_mL: reading for reading in comparison.displaced}
    # The stand-in displaces 0.45 of the volume and decays with 600 s after the end.
    assert displaced[10.0].value == pytest.approx(4.5 * math.exp(-0.5), rel=0.02)
    assert displaced[10.0].high == pytest.approx(4.5 * math.exp(-0.1), rel=0.03)
    assert displaced[10.0].low == pytest.approx(4.5 * math.exp(-1.5), rel=0.02)
    static = {round(reading.volume_mL): reading.value for reading in comparison.static}
    assert static == pytest.approx({v: 0.03 * v**2 for v in (5, 10, 15, 20, 25)} | {30: static[30]}, rel=1e-6)


def test_table_says_inside_outside_and_null_model(folder, command):
    assert command("compare", folder).status == 0
    frame = pd.read_csv(folder / "comparison.csv").set_index("measurement")
    assert frame.loc["higuchi-10", "verdict"] == "outside"
    assert frame.loc["pratt-20", "verdict"] == "inside"
    assert frame.loc["pratt-20", "beats_null"] == "no"
    assert frame.loc["pratt-15", "use"] == "calibration"
    assert frame.loc["pratt-30", "null_model"] == pytest.approx(4 * 6.16)


def test_rises_stand_at_other_spinal_shares(folder, command):
    assert command("compare", folder).status == 0
    frame = pd.read_csv(folder / "comparison.csv").set_index("measurement")
    low, high = ratios()["epidural_pressure_static_rise_mmHg"]
    assert 1.0 < low < high
    at = ["predicted_at_share_032", "predicted_at_share_069"]
    predicted = 0.03 * 20**2
    assert frame.loc["pratt-20", at].tolist() == pytest.approx([low * predicted, high * predicted])
    # 10.75 with 8.8 between patients
    words = ["inside" if 10.75 - 8.8 <= ratio * predicted <= 10.75 + 8.8 else "outside" for ratio in (low, high)]
    assert frame.loc["pratt-20", "verdict_at_shares"] == f"{words[0]} at 0.32, {words[1]} at 0.69"
    assert frame.loc[["higuchi-10", "pratt-curvature"], at].isna().all(axis=None)
    relief = pd.read_csv(folder / "relief.csv")
    ratio = relief["predicted_rise_at_share_069_mmHg"] / relief["predicted_rise_mmHg"]
    assert ratio.dropna().to_numpy() == pytest.approx(ratios()["csf_pressure_rise_mmHg"][1])
    page = (folder / "comparison.html").read_text(encoding="utf-8")
    assert "carried over" in page
    told = frame.loc[frame["use"] == "validation", "verdict_at_shares"].dropna()
    counts = [told.str.contains(f"inside at {share}").sum() for share in ("0.32", "0.69")]
    assert f"Of the {len(told)} static rises, {counts[0]} at .32 and {counts[1]} at .69" in page


def test_ratios_are_those_of_the_committed_study():
    with (Path(clinical.__file__).parents[2] / "results" / "production" / "production.csv").open() as stream:
        rows = {row["quantity"]: row["values"] for row in csv.DictReader(stream) if row["study"] == "share"}
    for name, pair in ratios().items():
        values = dict(part.split(" = ") for part in rows[name].split("; "))
        whole = float(values["as measured"])
        assert pair == pytest.approx((float(values["0.32"]) / whole, float(values["0.69"]) / whole))
    assert set(ratios()) == set(QUANTITIES)


def test_a_share_of_its_own_has_no_band(case_file):
    plan = read_study(case_file, ["injection.0.volume=5mL,10mL"])
    assert applies(case.case for case in plan.cases)
    own = read_study(case_file, ["injection.0.volume=5mL,10mL"], ["csf.spinal_share=0.32"])
    assert not applies(case.case for case in own.cases)


def test_page_stands_alone_and_states_its_limits(folder, command):
    assert command("compare", folder).status == 0
    page = (folder / "comparison.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for said in (
        "Research use only",
        "Mesh: draft",
        "rigid bone",
        "What was calibrated on what",
        "null model",
        "outside",
    ):
        assert said in page
    assert page.count("<figure>") == 5
    for name in ("displaced_csf", "static_pressure", "volume_and_level", "time_course", "relief"):
        for suffix in ("svg", "png"):
            assert (folder / "figures" / f"{name}.{suffix}").stat().st_size > 5000


def test_one_sweep_alone_says_what_is_missing(folder, command):
    called = command("compare", folder / "higuchi")
    assert called.status == 0
    page = (folder / "higuchi" / "comparison.html").read_text(encoding="utf-8")
    assert "bloodpatch sweep studies/cases/pratt.toml" in page


def test_nothing_to_compare(command, tmp_path, case_file):
    out = tmp_path / "out"
    made = read_study(case_file, ["injection.0.volume=5mL,10mL"], ["patient=healthy"])
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    called = command("compare", out)
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert "studies/cases/higuchi.toml" in called.err


def rows(use: str) -> list[dict[str, str]]:
    found = []
    for path in (Path(clinical.__file__).parent / use).glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as stream:
            found += list(csv.DictReader(stream))
    return found


def test_calibration_and_validation_are_kept_apart():
    def place(row):
        return row["study"], row.get("quantity"), row.get("volume_mL")

    calibration, validation = rows("calibration"), rows("validation")
    assert {place(row) for row in calibration}.isdisjoint({place(row) for row in validation})
    assert {row["id"] for row in calibration} == {"higuchi-10", "pratt-15", "compression-3h", "bolus-2", "bolus-6"}
    assert all(float(row["volume_mL"]) < 20 for row in calibration)
    assert all(row["tag"] for row in calibration + validation)
    told = " ".join(calibration_lines())
    assert all(f"{row['study']}, {float(row['volume_mL']):g} mL" in told for row in calibration)
    assert "3 min after a bolus below 1.22 mmHg" in told


def test_rows_agree_with_the_fits_they_come_from():
    for use in ("calibration", "validation"):
        for row in measurements(use, "epidural_pressure_static_rise_mmHg"):
            if row.id != "pratt-final":
                assert row.value == pytest.approx(pratt(row.volume_mL), abs=0.005)
                assert row.sd == pytest.approx(13.4 * math.sqrt(1 - 0.57), abs=0.05)
    assert pratt(20, "power") == pytest.approx(0.0679 * 20**1.742)


def test_null_models():
    assert null_displaced(10) == pytest.approx(4.4)
    assert null_pressure(15) == pytest.approx(6.16)
    assert null_pressure(30) == pytest.approx(4 * 6.16)

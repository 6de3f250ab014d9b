"""Every prediction that can be held against unused data is in the table, failures included."""

import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies import clinical
from studies.case import Case
from studies.clinical import measurements, pratt_exponents
from studies.compare import CURVATURE, gather
from studies.demo import CASES
from studies.protocols import (
    Outcome,
    Reading,
    around,
    end_of_injection,
    exponent,
    interpolate,
    read_compression,
    read_lumbar,
    read_spread,
)
from studies.study import read_study
from studies.sweep import execute, prepare
from tests.studies.fake import NAME

FOLDER = Path(clinical.__file__).parent


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    out = tmp_path_factory.mktemp("validation")
    names = ("demo", "higuchi", "pratt")
    plans = [prepare(read_study(CASES / f"{name}.toml"), out / name) for name in names]
    assert execute(plans, 2, simulator=NAME) == 0
    return gather(out).frame().set_index("measurement")


def test_every_validation_row_is_in_the_table(frame):
    known = {row["id"] for path in (FOLDER / "validation").glob("*.csv") for row in csv.DictReader(path.open())}
    elsewhere = {  # curves are held against one run, shares against an ensemble
        row["id"]
        for name in ("curves", "shares")
        for row in csv.DictReader((FOLDER / "validation" / f"{name}.csv").open())
    }
    assert known - elsewhere <= set(frame.index)
    assert "pratt-curvature" in frame.index
    assert frame["verdict"].isin(["inside", "outside", "not computed", "spread not given"]).all()
    assert frame.loc["higuchi-5":"pratt-30", "verdict"].isin(["inside", "outside", "not computed"]).all()


def test_no_file_lies_in_both_folders():
    places = {}
    for use in ("calibration", "validation"):
        for path in (FOLDER / use).glob("*.csv"):
            for row in csv.DictReader(path.open()):
                key = (row["study"], row.get("quantity"), row.get("volume_mL"), row.get("value"))
                assert places.setdefault(key, use) == use, row["id"]
    for name in ("spread_segments", "spread_cranial_segments", "spread_caudal_segments"):
        assert measurements("calibration", name) == [], "no parameter may be chosen by spread"
    for path in (FOLDER / "calibration").glob("*.csv"):
        for row in csv.DictReader(path.open()):
            assert float(row["volume_mL"]) < 20, row["id"]
            assert not row["id"].startswith(("higuchi-5", "higuchi-15")), row["id"]


def test_curvature_is_judged_against_both_fits(frame):
    # The stand-in's needle pressure is 0.03 V^2 but for the decay between its steps.
    assert pratt_exponents() == pytest.approx((1.742, math.log(23.751 / 2.837) / math.log(3)), abs=1e-3)
    line = frame.loc["pratt-curvature"]
    assert line["quantity"] == CURVATURE
    assert (line["null_model"], line["measured"]) == (2.0, pytest.approx(1.742))
    assert line["verdict"] == (
        "inside" if line["measured_low"] <= line["predicted"] <= line["measured_high"] else "outside"
    )


def test_exponent():
    readings = [Reading(v, 0.1 * v**1.5, 0, 0) for v in (5.0, 10.0, 15.0, 20.0, 40.0)]
    assert exponent(readings) == pytest.approx(1.5)
    assert math.isnan(exponent(readings[:2]))


def test_spread_comes_from_the_lumbar_cases(frame):
    # The stand-in reaches one segment to each side, whatever the volume.
    line = frame.loc["beards-19"]
    assert (line["predicted"], line["verdict"], line["beats_null"]) == (2.0, "outside", "no null model")
    assert frame.loc["vakharia-20", "measured_low"] == 3.7
    assert frame.loc["szeinfeld-14.8", "verdict"] == "spread not given"


def test_duration_of_the_compression_is_not_invented(frame):
    assert frame.loc["mass-effect-gone", "verdict"] == "not computed"
    assert frame.loc["compression-3h", "use"] == "calibration"


def outcome(level: str, volume: float, series: pd.DataFrame) -> Outcome:
    case = Case.model_validate({"injection": [{"level": level, "volume": f"{volume} mL"}]})
    return Outcome(case, Path("x"), "done", "", {"spread_cranial_segments": volume}, series)


def test_compression_is_read_where_the_area_is_back():
    time = np.array([0.0, 60.0, 3660.0, 7260.0])
    series = pd.DataFrame({"time_s": time, "sac_area_min_ratio": [1.0, 0.6, 0.8, 0.97]})
    item = outcome("L3/L4", 19, series)
    assert read_compression(item, "sac_compression_half_h") == pytest.approx(1.0)
    assert read_compression(item, "sac_compression_gone_h") == pytest.approx(1 + 0.16 / 0.17)
    assert math.isnan(read_compression(outcome("L3/L4", 19, series[:2]), "sac_compression_half_h"))


def test_contrast_is_read_at_the_end_of_the_injection_and_blood_at_that_of_the_run():
    series = pd.DataFrame(
        {
            "time_s": [0.0, 15.0, 200.0, 315.0],
            "spread_cranial_segments": [0.0, 1.3, 2.5, 2.3],
            "spread_caudal_segments": [0.0, 1.2, 2.0, 1.9],
        }
    )
    item = outcome("L3/L4", 5, series)
    item.summary.update(spread_cranial_segments=2.5, spread_caudal_segments=2.0)  # the largest of the run
    assert end_of_injection(item.case, 0) == pytest.approx(15.0)
    assert read_spread(item, "spread_cranial_segments") == pytest.approx(1.3)
    assert read_spread(item, "spread_caudal_segments") == pytest.approx(1.2)
    assert read_spread(item, "spread_segments") == pytest.approx(4.2)


def test_lumbar_readings_are_a_band_over_interspaces():
    none = pd.DataFrame({"time_s": [0.0]})
    items = [outcome(level, v, none) for level in ("L2/L3", "L4/L5", "T8/T9") for v in (10.0, 20.0)]

    def read(item):
        return item.volume_mL * {"L2/L3": 1.0, "L4/L5": 2.0, "T8/T9": 9.0}[item.level]

    assert read_lumbar(items, 15.0, read) == Reading(15.0, 22.5, 15.0, 30.0)
    assert read_lumbar(items, 25.0, read) is None
    assert interpolate([], 5.0) is None


def test_a_lumbar_reading_is_of_its_neighbours_only():
    none = pd.DataFrame({"time_s": [0.0]})
    items = [outcome(level, v, none) for level in ("L2/L3", "L4/L5", "T8/T9") for v in (5.0, 10.0, 20.0, 40.0)]

    def read(item):
        return math.nan if (item.level, item.volume_mL) == ("L4/L5", 20.0) else item.volume_mL

    told = [[(item.level, item.volume_mL) for item in cases] for cases in around(items, 15.0, read)]
    assert told == [[("L2/L3", 10.0), ("L2/L3", 20.0)], [("L4/L5", 10.0), ("L4/L5", 40.0)]]
    assert [[item.volume_mL for item in cases] for cases in around(items, 10.0, read)] == [[10.0], [10.0]]

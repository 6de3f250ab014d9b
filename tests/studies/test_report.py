"""The page of a run, a sweep or a comparison, opened as a reader opens it where Chromium is installed."""

import csv
import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fem
from studies.calibrate.outcome import by_hand, fitted_on, fitted_version, outcome_heading, predicted_sd
from studies.clinical import measurements
from studies.compare import gather
from studies.demo import CASES
from studies.page import LIMITS
from studies.plot.curves import LONG
from studies.recorded import Recorded
from studies.report.chart import MOST_POINTS, chart, thinned
from studies.report.record import MOST_CASES, why
from studies.report.sure import bands, network_note, sure
from studies.spinalshare import ratios
from studies.study import read_study
from studies.sweep import execute, prepare
from tests.studies.fake import BEYOND, NAME
from tests.studies.seeing import KINDS

ROOT = Path(__file__).parents[2]

SECTIONS = (
    "What was asked",
    "What came out",
    "Pictures",
    "How sure",
    "What was calibrated on what",
    "Limits",
    "Provenance",
)
"""Of every page, in this order; a comparison has more."""


def section(page: str, name: str) -> str:
    """Text of one section of a page, tags and all."""
    return html.unescape(page.split(f"<h2>{name}</h2>")[1].split("<h2>")[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_has_every_section(kind, pages):
    page = pages[kind].read_text(encoding="utf-8")
    assert [name for name in re.findall(r"<h2>(.*?)</h2>", page) if name in SECTIONS] == list(SECTIONS)
    asked = section(page, "What was asked")
    assert {"run": "volume 6 mL", "sweep": "volume varies", "comparison": "6 times 5 mL, blood, L3/L4"}[kind] in asked
    assert "pdph" in asked
    sure = section(page, "How sure")
    for words in ("mesh", "time steps", "network stiffness", "spinal share of the compliance", "parameters"):
        assert f'<td class="text">{words}</td>' in sure, words
    assert "default steps; error CSF pressure rise" in sure
    assert re.search(
        r"10 Pa to 300 Pa instead of 100 Pa change, .* smallest sac area over baseline -\d.* to \+\d", sure
    )
    came_from = section(page, "Provenance")
    for words in ("model version", "commit", "ranks", "numpy"):
        assert words in came_from, words
    (row,) = re.findall(r"<td[^>]*>materials.network.youngs_modulus</td>(.*?)</tr>", came_from)
    assert re.findall(r"<td[^>]*>(.*?)</td>", row)[:3] == ["100", "Pa", "assumed"]
    calibrated = section(page, "What was calibrated on what")
    assert set(by_hand()) == {"fat.youngs_modulus", "blood.lysis_time"}
    for name in by_hand():
        assert re.search(
            rf"<li>{name}: \S+ \S+, range .*by hand", calibrated.split("Chosen by hand, not by the fit")[1]
        )
    assert "Chosen by hand: fat.youngs_modulus, blood.lysis_time." in calibrated
    assert "Fitted by bloodpatch calibrate: fat.mobility, veins.slope, foramina.conductance." in calibrated
    assert re.search(r"<li>By hand only: Beards 1993", calibrated)
    assert len(re.findall("<li>Fit: ", calibrated)) == len(fitted_on())
    assert f"with model version {fitted_version()}" in calibrated


def test_values_that_differ_stand_as_such_in_the_table_of_a_sweep(pages):
    came_from = section(pages["sweep"].read_text(encoding="utf-8"), "Provenance")
    (row,) = re.findall(r"<td[^>]*>csf.spinal_share</td>(.*?)</tr>", came_from)
    assert re.findall(r"<td[^>]*>(.*?)</td>", row)[0] == "0.32; 0.69"


def test_rises_of_a_run_stand_at_both_spinal_shares(pages):
    sure = section(pages["run"].read_text(encoding="utf-8"), "How sure")
    data = json.loads((pages["run"].parent / "summary.json").read_text())
    for name, words in (("csf_pressure_rise_mmHg", "CSF rise"), ("epidural_pressure_static_rise_mmHg", "static epi")):
        low, high = (ratio * data[name]["value"] for ratio in ratios()[name])
        found = re.search(rf"at .32 and .69: .*{words}\D*([\d.]+) and ([\d.]+) mmHg", sure)
        assert [float(value) for value in found.groups()] == pytest.approx([low, high], rel=5e-3)


def now(case):
    """A case as if it had run with this model."""
    return Recorded(case, fem.MODEL_VERSION)


def test_what_is_given_is_not_told_as_measured():
    plan = read_study(CASES / "higuchi.toml", settings=["csf.spinal_share=0.5"])
    words = sure([now(case.case) for case in plan.cases])
    assert words["spinal share of the compliance"] == "0.5 as given"
    soft = read_study(CASES / "higuchi.toml", settings=['materials.network.youngs_modulus="30 Pa"'])
    assert network_note([now(case.case) for case in soft.cases]).startswith("invented; 30 Pa here")


def test_what_the_fit_leaves_open_is_quoted_where_it_is_known():
    def said(name, *settings):
        return sure([now(case.case) for case in read_study(CASES / f"{name}.toml", settings=settings).cases])[
            "parameters"
        ]

    for volume in (5, 10, 15):
        assert f"5 min after {volume} mL ± {predicted_sd(f'higuchi-{volume}'):.2g} mL" in said("higuchi")
    assert f"static epidural rise at 20 mL ± {predicted_sd('pratt-20'):.2g} mmHg" in said("pratt")
    assert "displaced" not in said("pratt")
    assert said("demo").startswith("not propagated")
    assert "±" not in said("higuchi", 'materials.veins.slope="3e-5 1/Pa"')


def test_the_version_of_the_fit_is_that_of_its_record():
    record = json.loads((ROOT / "results" / "calibration" / "calibration.json").read_text())
    assert {row["model_version"] for row in record["parameters"]} == {fitted_version()}
    assert fitted_on() == {row["id"] for row in record["data"]}
    tables = [ROOT / "studies" / "data" / "calibration.csv", ROOT / "results" / "calibration" / "calibration.csv"]
    assert tables[0].read_text() == tables[1].read_text()


def test_a_fit_of_another_version_is_told(tmp_path, monkeypatch):
    text = (ROOT / "studies" / "data" / "calibration.csv").read_text()
    fitted = fitted_version()
    monkeypatch.setattr(fem, "MODEL_VERSION", fitted)
    assert outcome_heading() == f"What the fit found, with model version {fitted}"
    monkeypatch.setattr(fem, "MODEL_VERSION", "later")
    assert outcome_heading().endswith(f"with model version {fitted} (this is later; it was not fitted again)")
    table = pd.read_csv(ROOT / "studies" / "data" / "calibration.csv").drop(columns="model_version")
    table.to_csv(tmp_path / "old.csv", index=False)
    assert fitted_version(tmp_path / "old.csv") == "not recorded"
    (tmp_path / "mixed.csv").write_text(text.replace(f",{fitted}\n", ",7\n", 1))
    assert fitted_version(tmp_path / "mixed.csv") == f"7 and {fitted}"
    assert fitted_version(tmp_path / "nothing.csv") == "not recorded"


def test_an_unknown_number_of_patients_is_a_dash_and_an_empty_cell(pages):
    rows = {row.id: row for row in measurements("validation", "spread_segments")}
    assert rows["vakharia-20"].n is None
    assert rows["ct-16"].n == 1
    text = gather(pages["comparison"].parent).frame().to_csv(index=False)
    cells = {row["measurement"]: row["n"] for row in csv.DictReader(text.splitlines())}
    assert cells["vakharia-20"] == ""
    assert (cells["ct-16"], cells["higuchi-10"]) == ("1", "9")
    page = pages["comparison"].read_text(encoding="utf-8")
    assert "Vakharia 1997, n – (" in page
    assert "Higuchi 2005, n 9 (" in page


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_stands_alone_and_says_what_it_must(kind, pages):
    page = pages[kind].read_text(encoding="utf-8")
    plain = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:|//)", plain)
    assert "https://" not in plain
    assert "<link" not in plain
    for said in ("Research use only", "What was calibrated on what", "Limits", "Higuchi 2005", "discretisation error"):
        assert said in page, said
    for limit in LIMITS:
        assert html.escape(limit) in page
    assert "data:image/" in page
    for text in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S):
        assert json.loads(text)["rows"]


def test_page_of_a_run_says_how_sure_and_where_from(pages):
    page = pages["run"].read_text(encoding="utf-8")
    for said in ("network stiffness", "spinal share", "volume balance", "time steps", "invented", "assumed",
                 "6 mL", "T11/T12", "ranks"):  # fmt: skip
        assert said in page, said


def test_a_run_of_hours_has_a_logarithmic_axis_of_time(pages):
    page = pages["run"].read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="series">(.*?)</script>', page, re.S)[1])
    end = max(row["time_s"] for row in data["rows"])
    assert end > LONG
    assert data["logs"] == ["time_log_min"] == data["xs"][:1]
    assert data["rows"][-1]["time_log_min"] == pytest.approx(end / 60, rel=1e-4)


def test_time_constants_of_sac_and_pressure_stand_apart(pages):
    said = {
        "run": ("half of the CSF pressure&#39;s rise is gone after", "half of the sac&#39;s lost area is back after"),
        "sweep": ("half decay of the CSF rise [s]", "half decay of the sac&#39;s compression [s]"),
        "comparison": ("half decay of<br>the rise", "half decay of sac<br>compression"),
    }
    for kind, words in said.items():
        page = html.unescape(pages[kind].read_text(encoding="utf-8"))
        for word in words:
            assert html.unescape(word) in page, (kind, word)


def test_page_of_a_sweep_gives_bands_over_what_is_not_known(pages):
    page = pages["sweep"].read_text(encoding="utf-8")
    assert "not varied in this sweep (mesh.size)" in page
    assert re.search(r"spinal share of the compliance</td><td class=\"text\">widest band: CSF rise", page)
    assert "12 done" in page


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Pages of a sweep of which half failed, and of the comparison with it."""
    from studies.report import report

    top = tmp_path_factory.mktemp("stopped")
    case = top / "case.toml"
    case.write_text('[[injection]]\nlevel = "L3/L4"\nvolume = "10 mL"\n')
    rates = f"injection.0.rate=20 mL/min,{BEYOND} mL/min"
    vary = ["injection.0.volume=5mL,40mL", "injection.0.level=L3/L4,T8/T9", rates]
    assert execute([prepare(read_study(case, vary), top / "all" / "sweep")], 2, simulator=NAME) == 3
    return {"sweep": report(top / "all" / "sweep"), "comparison": report(top / "all")}


def charted(page: Path) -> list[dict[str, object]]:
    """Rows of the chart of a page."""
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)
    return json.loads(found[1])["rows"]


@pytest.mark.parametrize("kind", ["sweep", "comparison"])
def test_charts_show_finished_cases_only(kind, stopped):
    study = gather(stopped["comparison"].parent).study
    done = {item.path.name for item in study if item.state == "done"}
    assert (len(study), len(done)) == (8, 4)
    rows = charted(stopped[kind])
    assert len(rows) == 4
    for row in rows:
        assert any(name.startswith(str(row["case"])) for name in done)
    assert "(finished cases)" in stopped[kind].read_text(encoding="utf-8")


def test_a_case_that_stopped_says_how_far_it_came_and_has_no_band(stopped):
    page = section(stopped["comparison"].read_text(encoding="utf-8"), "Volume and interspace")
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.S)[1:]
    failed = [row for row in rows if "failed" in row]
    assert len(failed) == 4
    assert all(re.search(r"failed at\s[\d.]+\smL", row) for row in failed)
    assert not any("<small>" in row for row in failed)
    assert all("<small>" in row for row in rows if "failed" not in row)
    assert "its figures are of what it reached" in page
    assert "failed at" in section(stopped["sweep"].read_text(encoding="utf-8"), "What came out")


def test_cases_that_share_a_reason_share_a_line(stopped):
    page = section(stopped["sweep"].read_text(encoding="utf-8"), "What came out")
    (line,) = re.findall(r"<li>(.*?)</li>", page)
    assert line.startswith("4 failed, the window alone is more compliant: ")
    assert line.count("-40mL") == line.count("-5mL") == 2
    assert page.count("more compliant") == 1


def test_a_comparison_gives_each_reason_once(stopped):
    lines = re.findall(r"Not every case finished: ([^<]*)\.<", html.unescape(stopped["comparison"].read_text("utf-8")))
    assert [line.split(":")[0] for line in lines] == ["4 failed, the window alone is more compliant"]
    named, _, more = lines[0].rpartition(": ")[2].partition(" and ")
    assert more == "1 more, which bloodpatch status names"
    named = named.split(", ")
    assert len(named) == 3
    assert all(name.startswith("sweep/") and not re.search("-[0-9a-f]{12}$", name) for name in named), named


def test_reasons_that_differ_have_lines_of_their_own():
    cases = [("a", "failed", "too soft at t = 96.5156 s, step 0.0391 s"), ("b", "done", ""), ("c", "waiting", ""),
             ("d", "failed", "too soft at t = 2 s"), ("e", "interrupted", "stopped by the user")]  # fmt: skip
    assert why(cases) == ["2 failed, too soft: a, d", "1 interrupted, stopped by the user: e"]
    many = why((f"c{k}", "failed", "too soft") for k in range(MOST_CASES + 2))
    assert many[0].endswith(f"c{MOST_CASES - 1} and 2 more, which bloodpatch status names")


def test_bands_hold_everything_else_fixed():
    frame = pd.DataFrame(
        {
            "state": "done", "csf.spinal_share": [0.3, 0.7, 0.3, 0.7],
            "injection.0.volume": ["5 mL", "5 mL", "9 mL", "9 mL"],
            "csf_pressure_rise_mmHg": [1.0, 1.5, 8.0, 9.0],
        }
    )  # fmt: skip
    words = dict(bands(frame, ["csf.spinal_share", "injection.0.volume"]))
    assert words["spinal share of the compliance"] == "widest band: CSF rise 8 to 9 mmHg"
    frame["state"] = "failed"
    assert "no two finished" in dict(bands(frame, ["csf.spinal_share"]))["spinal share of the compliance"]


def test_text_of_a_case_cannot_end_the_script():
    frame = pd.DataFrame({"case": ["</script><b>", "b"], "x": [1.0, float("nan")], "y": [2.0, 3.0]})
    text = str(chart("c", "t", frame, ["x"], ["y"], {})["json"])
    assert "</script" not in text
    assert json.loads(text)["rows"] == [
        {"case": "</script><b>", "x": 1.0, "y": 2.0},
        {"case": "b", "x": None, "y": 3.0},
    ]


def test_a_long_series_is_thinned_and_keeps_its_ends_and_extremes():
    time = np.arange(2000.0)
    pressure = np.sin(time / 300.0)
    pressure[1234], pressure[777] = 9.0, np.nan
    series = pd.DataFrame({"time_s": time, "pressure_mmHg": pressure, "empty": np.nan})
    kept = thinned(series, ["pressure_mmHg", "empty"])
    assert len(kept) <= MOST_POINTS + 2
    assert list(kept["time_s"]) == sorted(set(kept["time_s"]))
    assert {0.0, 1234.0, 1999.0} <= set(kept["time_s"])
    assert kept["pressure_mmHg"].min() == series["pressure_mmHg"].min()
    assert thinned(series[:MOST_POINTS], ["pressure_mmHg"]).equals(series[:MOST_POINTS])

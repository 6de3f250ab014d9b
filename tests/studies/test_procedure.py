"""The facts of the procedure: which there are, how one is read off a run, what becomes of those that do not hold."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fem.quantities import QUANTITIES
from studies import procedure as module
from studies.procedure import CASES, NARROWEST, SAC_RATIO, Fact, collect, facts, procedure
from studies.quantities import TIME
from studies.reading import read_case
from studies.resolve import resolve
from studies.runfolder import Status, write_status
from studies.worker import DONE, FAILED, INTERRUPTED

COMMITTED = Path(__file__).parents[2] / "results" / "procedure" / "procedure.csv"
FACT = Fact(4, "item-04-fading-and-lasting", "", "clot_volume_mL", "3 day", "max", 0.0, 0.5, "it has shrunk")


def finished(folder, state="done"):
    folder.mkdir(parents=True)
    (folder / "case.toml").touch()
    series = {"time_s": [0.0, 60.0, 259200.0], "clot_volume_mL": [0.0, 8.0, 2.0], "sac_area_min_ratio": [1.0, 0.5, 0.9]}
    pd.DataFrame(series).to_csv(folder / "series.csv", index=False)
    slices = pd.DataFrame(
        # time, sac, its baseline, occupancy: of three slices at two times; the lowest is the sac's tip
        [
            (0.0, 40.0, 40.0, 0.0), (0.0, 150.0, 150.0, 0.0), (0.0, 100.0, 100.0, 0.0),
            (60.0, 4.0, 40.0, 0.9), (60.0, 90.0, 150.0, 0.8), (60.0, 50.0, 100.0, 0.6),
        ],
        columns=["time_s", "sac_area_mm2", "sac_area_baseline_mm2", "canal_occupancy"],
    )  # fmt: skip
    slices.to_csv(folder / "profile.csv", index=False)
    (folder / "summary.json").write_text(json.dumps({"leak_coverage": {"value": 0.7}}), encoding="utf-8")
    write_status(folder, Status(state, "", "key", 1.0))


def test_every_item_has_facts_whose_cases_and_quantities_exist():
    found = facts()
    assert {fact.item for fact in found} == set(range(1, 13))
    for fact in found:
        resolve(read_case(CASES / f"{fact.case}.toml", [fact.settings] if fact.settings else []))
        if fact.at == NARROWEST:
            assert fact.quantity in ("canal_occupancy", SAC_RATIO)
            assert not fact.over
        else:
            known = fact.quantity in QUANTITIES or fact.quantity in ("newton_iterations", "injected_mL")
            assert known or fact.quantity.startswith(("leak_", "tolerance_")), fact.quantity
        assert fact.low < fact.high
        assert math.isfinite(fact.low) or math.isfinite(fact.high)
        for when in (fact.at, fact.over):
            assert when in ("", "min", "max", "end", NARROWEST) or TIME.parse(when) >= 0
    names = {(fact.case, fact.settings): fact.run for fact in found}
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize(
    ("quantity", "at", "over", "value"),
    [
        ("clot_volume_mL", "max", "", 8.0),
        ("sac_area_min_ratio", "min", "", 0.5),
        ("clot_volume_mL", "end", "", 2.0),
        ("clot_volume_mL", "30 s", "", 4.0),
        ("clot_volume_mL", "3 day", "max", 0.25),
        ("clot_volume_mL", "4 day", "", math.nan),
        ("leak_coverage", "end", "", 0.7),
        ("leak_coverage", "1 min", "", math.nan),
        ("nothing", "end", "", math.nan),
        ("sac_area_ratio", "narrowest", "", 0.5),
        ("canal_occupancy", "narrowest", "", 0.6),
        ("nothing", "narrowest", "", math.nan),
    ],
)
def test_a_fact_is_read_off_a_run(tmp_path, quantity, at, over, value):
    finished(tmp_path / "run")
    read = replace(FACT, quantity=quantity, at=at, over=over).read(tmp_path / "run")
    assert read == pytest.approx(value, nan_ok=True)


def test_a_row_that_does_not_hold_stays_and_one_that_failed_says_so(tmp_path, monkeypatch):
    strict, gone = replace(FACT, high=0.1), replace(FACT, case="item-11-as-tolerated")
    monkeypatch.setattr(module, "facts", lambda: [FACT, strict, gone])
    finished(tmp_path / FACT.run)
    finished(tmp_path / gone.run, "failed")
    collect(tmp_path)
    table = pd.read_csv(tmp_path / "procedure.csv")
    assert list(table["verdict"]) == ["holds", "does not hold", "not computed"]
    assert table["value"].iloc[0] == pytest.approx(0.25)
    page = (tmp_path / "procedure.md").read_text(encoding="utf-8")
    assert "| 0.25 | 0 to 0.1 | does not hold |" in page


def test_a_table_without_its_runs_is_not_written_over(tmp_path, command):
    (tmp_path / "procedure.csv").write_text("as committed")
    (tmp_path / "other").mkdir()
    for folder, said in ((tmp_path, "none of the runs of the procedure"), (tmp_path / "nowhere", "no such folder")):
        called = command("procedure", "--collect", "--out", folder)
        assert (called.status, called.err.count("\n")) == (2, 1)
        assert said in called.err
    assert (tmp_path / "procedure.csv").read_text() == "as committed"
    assert not (tmp_path / "procedure.md").exists()
    assert not (tmp_path / "nowhere").exists()


def test_a_failed_case_does_not_stop_the_others_and_an_interruption_does(tmp_path, monkeypatch):
    called = []

    def run(case, out, settings, ranks, quiet):
        called.append((case.stem, list(settings)))
        ended = ends.pop(0)
        if ended == DONE:
            finished(out)
        return ended

    two = [FACT, replace(FACT, settings="leak.0.level=L2/L3")]
    monkeypatch.setattr(module, "facts", lambda: two)
    monkeypatch.setattr(module, "run", run)
    ends = [FAILED, DONE]
    assert procedure(tmp_path / "a", 1, quiet=True) == FAILED
    assert called == [(FACT.case, []), (FACT.case, ["leak.0.level=L2/L3"])]
    assert list(pd.read_csv(tmp_path / "a" / "procedure.csv")["verdict"]) == ["not computed", "holds"]
    ends = [INTERRUPTED, DONE]
    assert procedure(tmp_path / "b", 1, quiet=True) == INTERRUPTED
    assert len(ends) == 1


def test_the_committed_table_is_of_these_facts():
    table = pd.read_csv(COMMITTED, keep_default_na=False, na_values=[""])
    found = facts()
    assert len(table) == len(found)
    for row, fact in zip(table.to_dict("records"), found, strict=True):
        assert (row["item"], row["case"], row["quantity"], row["fact"]) == (
            fact.item, fact.case, fact.quantity, fact.words,
        )  # fmt: skip
        value = float(row["value"])
        said = "not computed" if math.isnan(value) else "holds" if fact.holds(value) else "does not hold"
        assert row["verdict"] == said
    # a fact of this program, not of patients
    (work,) = (row for row in table.to_dict("records") if row["quantity"] == "newton_iterations")
    assert work["verdict"] == "holds"

"""Shares of an ensemble, on rows made up so that the answer is known."""

from pathlib import Path

import pandas as pd
import pytest

from fem.materials import parameter_table
from studies.errors import InputError
from studies.protocols import outcomes
from studies.relief.statistics import clopper_pearson
from studies.results import table
from studies.shares import as_seen, shares
from studies.study import read_study
from studies.sweep import execute, prepare
from tests.studies.fake import NAME

CASES = Path(__file__).parents[2] / "studies" / "cases"


def rows(*values, state="done", volume=5.0, **more):
    return pd.DataFrame(
        [
            {
                "injection.0.volume_mL": volume,
                "state": state,
                "spread_ventral_fraction": ventral,
                "spread_cranial_segments": up,
                "spread_caudal_segments": down,
                "spread_segments": up + down,
            }
            | more
            for ventral, up, down in values
        ]
    )


def test_a_partial_ensemble_gives_shares_of_what_has_finished():
    frame = pd.concat(
        [
            rows((0.0, 2, 1), (0.3, 1, 1), (0.7, 3, 0), (0.0, 0, 0)),
            rows((1.0, 9, 9), state="waiting"),
            rows((1.0, 4, 4), (1.0, 6, 4), volume=15.0),
            rows((0.0, 0, 0), state="failed", volume=20.0),
        ],
        ignore_index=True,
    )
    found = {(line.volume_mL, line.quantity): line for line in shares(frame)}
    assert {volume for volume, _ in found} == {5.0, 15.0}
    ventral = found[5.0, "ventral_reached"]
    assert (ventral.count, ventral.members, ventral.without_result, ventral.value) == (2, 4, 1, 0.5)
    assert (ventral.low, ventral.high) == clopper_pearson(2, 4)
    assert (ventral.measured, ventral.source) == (0.36, "Pain Physician 2004")
    assert found[5.0, "ventral_half_covered"].value == 0.25
    assert found[5.0, "spread_cranial_segments"].value == 1.5
    assert found[5.0, "spread_cranial_segments"].measured == 1.28
    assert found[15.0, "spread_segments"].value == 9.0
    assert found[15.0, "spread_segments"].low == pytest.approx(8.2)


def aimed(level, leak, coverage, volume=15.0, state="done"):
    return {
        "injection.0.level": level,
        "leak.0.level": leak,
        "injection.0.volume_mL": volume,
        "leak_coverage": coverage,
        "state": state,
    }


AIMED = pd.DataFrame(
    [
        aimed("L2/L3", "T9/T10", 0.0),
        aimed("L2/L3", "L1/L2", 0.8),
        aimed("L2/L3", "T12/L1", 0.4),
        aimed("T9/T10", "T9/T10", 1.0),
        aimed("L1/L2", "L1/L2", 0.9),
        aimed("T12/L1", "T12/L1", None, state="failed"),
    ]
)


def test_blind_and_targeted_are_told_apart():
    found = {(line.group, line.quantity): line for line in shares(AIMED)}
    blind, targeted = found["blind, L2/L3", "leak_half_covered"], found["targeted", "leak_half_covered"]
    assert (blind.count, blind.members) == (1, 3)
    assert (targeted.count, targeted.members, targeted.without_result) == (2, 2, 1)
    assert found["blind, L2/L3", "leak_touched"].count == 2


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (AIMED.drop(columns="injection.0.volume_mL"), "does not vary injection.0.volume"),
        (AIMED.assign(state="waiting"), "without a finished case"),
    ],
)
def test_what_is_no_ensemble_is_refused(frame, said):
    with pytest.raises(InputError, match=said):
        shares(frame)


def test_spread_is_read_as_the_comparison_reads_it(tmp_path, monkeypatch):
    case = tmp_path / "case.toml"
    case.write_text('[[injection]]\nlevel = "L3/L4"\nvolume = "5 mL"\n[time]\nfollow_up = "1 min"\n')
    plan = read_study(case, ["injection.0.volume=5mL"])
    assert execute([prepare(plan, tmp_path / "sweep")], 1, simulator=NAME) == 0
    (ran,) = outcomes(tmp_path / "sweep")
    columns = ["spread_ventral_fraction", "spread_cranial_segments", "spread_caudal_segments"]
    during = ran.series["time_s"] <= 15.0 + 1e-6
    assert 1 < during.sum() < len(during)
    ran.series.loc[during, columns], ran.series.loc[~during, columns] = (0.0, 1.5, 0.5), (0.4, 2.5, 1.0)
    monkeypatch.setattr("studies.shares.outcomes", lambda folder: [ran])
    found = {line.quantity: line.value for line in shares(as_seen(table(tmp_path / "sweep"), tmp_path / "sweep"))}
    assert found["ventral_reached"] == 0.0
    assert (found["spread_cranial_segments"], found["spread_caudal_segments"]) == (1.5, 0.5)
    assert found["spread_segments"] == 3.5


def test_coverage_is_that_at_the_end(tmp_path, monkeypatch):
    case = tmp_path / "case.toml"
    case.write_text('[[injection]]\nlevel = "L2/L3"\nvolume = "5 mL"\n[[leak]]\nlevel = "L3/L4"\nsite = "dorsal"\n')
    plan = read_study(case, ["injection.0.volume=5mL", "injection.0.level=L2/L3", "leak.0.level=L3/L4,L1/L2"])
    assert execute([prepare(plan, tmp_path / "sweep")], 1, simulator=NAME) == 0
    ran = list(outcomes(tmp_path / "sweep"))
    for item, last in zip(ran, (0.4, 0.6), strict=True):
        item.series["leak_coverage"] = [1.0] * (len(item.series) - 1) + [last]
    monkeypatch.setattr("studies.shares.outcomes", lambda folder: ran)
    found = {line.quantity: line for line in shares(as_seen(table(tmp_path / "sweep"), tmp_path / "sweep"))}
    assert (found["leak_half_covered"].count, found["leak_touched"].count) == (1, 2)


@pytest.mark.parametrize("frame", [AIMED, rows((0.0, 2, 1), (0.3, 1, 1))])
def test_the_command_writes_table_and_figure(frame, command, tmp_path, monkeypatch):
    monkeypatch.setattr("studies.shares.table", lambda folder: frame.assign(folder=""))
    out = tmp_path / "results"
    called = command("shares", tmp_path, "--out", out)
    assert called.status == 0, called.err
    written = pd.read_csv(out / "shares.csv")
    assert len(written) == len(shares(frame))
    assert (written["low"] <= written["high"]).all()
    assert (out / "shares.svg").read_text().startswith("<?xml")
    assert (out / "shares.png").stat().st_size > 10_000


def test_a_folder_that_is_no_sweep_is_refused(command, tmp_path):
    called = command("shares", tmp_path)
    assert called.status == 2
    assert called.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "paths"), [("ensemble", 64), ("blind-or-targeted", 128)])
def test_the_committed_ensembles_stay_within_the_tabulated_ranges(name, paths):
    plan = read_study(CASES / f"{name}.toml")
    assert (len(plan.groups), len(plan.cases)) == (paths, 3 * paths)
    tabulated = parameter_table()
    sampled = {key.removeprefix("materials."): entry for key, entry in plan.sweep.vary.items()}
    ranges = {key: entry for key, entry in sampled.items() if key in tabulated}
    assert len(ranges) == 6
    for key, entry in ranges.items():
        low, high = (float(str(entry[end]).split()[0]) for end in ("low", "high"))
        assert tabulated[key].low <= low < high <= tabulated[key].high, key
    assert all(case.case.mesh.size == "draft" and not case.case.output.fields for case in plan.cases)

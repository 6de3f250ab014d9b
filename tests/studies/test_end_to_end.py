"""The real model through the command line: a short window, a draft mesh, small strain."""

import json

import pandas as pd
import pytest

CASE = """
[anatomy]
span = ["T12", "L3"]

[[injection]]
level = "L1/L2"
volume = "1 mL"

[time]
follow_up = "25 s"

[mesh]
size = "draft"

[solver]
kinematics = "linear"
"""


def test_ranks_refuse_what_only_the_model_shows_in_one_line(command, tmp_path):
    leak = '[[leak]]\nlevel = "L1/L2"\nsite = "dorsal"\nhole = "22 G"\n'
    wide = '[materials.leak]\nradius = "8 mm"\n'  # reaches the leak beside it
    case, out = tmp_path / "case.toml", tmp_path / "out"
    case.write_text(CASE + leak + leak + 'side = "left"\n' + wide, encoding="utf-8")
    called = command("run", case, "--ranks", "2", "--out", out)
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert "leak 1 (dorsal, L1/L2, left) lies on the same patch of dura as leak 0" in called.err
    assert not out.exists()


@pytest.mark.slow
def test_a_sweep_of_two_volumes_shares_a_path_and_keeps_every_drop(command, tmp_path):
    case, out = tmp_path / "case.toml", tmp_path / "out"
    case.write_text(CASE, encoding="utf-8")
    called = command("sweep", case, "--vary", "injection.0.volume=0mL,1mL", "--out", out)
    assert called.status == 0, called.err
    frame = pd.read_csv(out / "results.csv").set_index("injection.0.volume")
    assert list(frame["state"]) == ["done", "done"]
    assert frame.loc["0 mL", "csf_pressure_rise_mmHg"] == pytest.approx(0.0, abs=1e-8)
    assert frame.loc["1 mL", "csf_pressure_rise_mmHg"] > 0
    assert frame.loc["1 mL", "csf_displaced_peak_mL"] > 0
    assert "draft" in frame.loc["1 mL", "mesh"]
    run = out / frame.loc["1 mL", "folder"]
    series = pd.read_csv(run / "series.csv")
    assert series["volume_balance_error"].abs().max() < 1e-8
    assert series["injected_mL"].iloc[-1] == pytest.approx(1.0)
    summary = json.loads((run / "summary.json").read_text())
    assert all(quantity["definition"] for quantity in summary.values())
    assert len(list((run / "fields").glob("*.vtu"))) >= 6
    assert command("sweep", case, "--vary", "injection.0.volume=0mL,1mL", "--out", out).status == 0

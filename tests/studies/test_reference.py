"""The reference sweep: what it varies, and what one command writes, on the stand-in's results."""

import re
import shutil
import tomllib
from functools import partial

import numpy as np
import pandas as pd
import pytest
import tomli_w

from studies import demo
from studies.errors import InputError
from studies.plot.maps import LEVEL, VOLUME, VOLUME_ML, map_figure
from studies.plot.style import styled
from studies.plot.sweep import _figure as curves
from studies.study import read_study
from studies.sweep import execute
from studies.values import INTERSPACES
from tests.studies.fake import NAME

FILE = demo.CASES / demo.REFERENCE["reference"]
APPROACH = "injection.0.approach"


def smaller(path, **vary):
    """The study with some of its keys varied less."""
    tree = tomllib.loads(FILE.read_text())
    tree["sweep"]["vary"] |= {f"injection.0.{key}": values for key, values in vary.items()}
    path.write_text(tomli_w.dumps(tree))
    return path


def test_it_varies_volume_level_and_approach(tmp_path):
    vary = tomllib.loads(FILE.read_text())["sweep"]["vary"]
    assert set(vary) == {APPROACH, LEVEL, VOLUME}
    assert len(vary[APPROACH]) == 3
    levels = [INTERSPACES.index(level) for level in vary[LEVEL]]
    assert len(set(levels)) >= 8
    assert (min(vary[LEVEL], key=INTERSPACES.index), max(vary[LEVEL], key=INTERSPACES.index)) == ("C7/T1", "L5/S1")
    volumes = [float(text.split()[0]) for text in vary[VOLUME]]
    assert (min(volumes), max(volumes)) == (2.0, 40.0)
    plan = read_study(smaller(tmp_path / "study.toml", approach=["interlaminar"]))
    assert len(plan.cases) == len(levels) * len(volumes)
    assert len({tuple(case.case.anatomy.span) for case in plan.cases}) == 1  # one window: levels are not confounded


def test_the_study_of_coverage_has_blind_and_targeted_patches():
    plan = read_study(demo.CASES / demo.REFERENCE["coverage"])
    assert all(case.case.leak for case in plan.cases)
    aimed = [
        case.case.injection[0].level == case.case.leak[0].level for case in plan.cases if case.case.patient == "sih"
    ]
    assert sum(aimed) == len(aimed) / 2 > 0
    assert {case.case.injection[0].level for case in plan.cases if case.case.patient == "pdph"} == {
        "L2/L3",
        "L3/L4",
        "L4/L5",
    }
    assert len(plan.groups) == 9


def test_one_command_writes_table_and_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "execute", partial(execute, simulator=NAME))
    levels, volumes = ["T6/T7", "L2/L3", "L5/S1"], ["2 mL", "20 mL"]
    small = smaller(tmp_path / "study.toml", approach=["interlaminar"], level=levels, volume=volumes)
    leaks = tmp_path / "coverage.toml"
    leaks.write_text(re.sub(r'(?m)^.*"(5|10|30) mL" },\n', "", (demo.CASES / "coverage.toml").read_text()))
    monkeypatch.setattr(demo, "REFERENCE", demo.REFERENCE | {"reference": small, "coverage": leaks})
    out = tmp_path / "reference"
    assert demo.reference(out, jobs=2) == 0
    table = pd.read_csv(out / demo.REFERENCE_TABLE)
    assert len(table) == 6
    assert set(table["state"]) == {"done"}
    figures = {path.name for path in (out / "figures").glob("*.svg")}
    assert {"maps.svg", "sweep.svg", "relief.svg", "volume_and_level.svg", "time_course.svg"} <= figures
    lines = pd.read_csv(out / "comparison.csv")
    assert (lines["verdict"] != "not computed").any()
    for name, size in (("reference", "draft"), ("pratt", "default")):
        assert f'size = "{size}"' in next((out / name / "runs").iterdir()).joinpath("case.toml").read_text()

    # A sweep that is not done gives its tables and figures, too, and computes nothing for them.
    (away,) = (out / "reference" / "runs").glob("*-T6T7-20mL-*")
    shutil.rmtree(away)
    for path in (out / "figures").iterdir():
        path.unlink()
    assert demo.reference(out, only_collect=True) == 3
    assert not away.exists()
    partial_table = pd.read_csv(out / demo.REFERENCE_TABLE).set_index("case")
    assert partial_table["state"].tolist().count("done") == 5
    assert partial_table.loc[partial_table["state"] != "done", "injection.0.level"].tolist() == ["T6/T7"]
    assert figures == {path.name for path in (out / "figures").glob("*.svg")}
    with pytest.raises(InputError, match="no sweep"):
        demo.reference(tmp_path / "nothing", only_collect=True)
    assert not (tmp_path / "nothing").exists()


def test_the_demo_computes_everything_on_the_draft_mesh_and_once(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "execute", partial(execute, simulator=NAME))
    out = tmp_path / "demo"
    assert demo.demo(out, jobs=2) == 0
    runs = sorted(out.glob("*/runs/*"))
    assert {run.parent.parent.name for run in runs} == set(demo.STUDIES)
    assert all('size = "draft"' in (run / "case.toml").read_text() for run in runs)
    levels = pd.read_csv(out / "volume-level" / "results.csv")
    assert levels.groupby("injection.0.level")["injection.0.volume_mL"].apply(list).to_dict() == {
        "L3/L4": [5, 10, 20],
        "T8/T9": [5, 10, 20],
    }
    assert set(pd.read_csv(out / "comparison.csv")["mesh"].dropna().str.partition(";")[0]) == {"draft"}

    ended = {run: (run / "status.json").stat().st_mtime_ns for run in runs}
    assert demo.demo(out, jobs=2) == 0
    assert ended == {run: (run / "status.json").stat().st_mtime_ns for run in runs}


def frame():
    rows = [
        {APPROACH: way, LEVEL: level, VOLUME: f"{v} mL", VOLUME_ML: float(v), "state": "done",
         "csf_pressure_rise_mmHg": 0.1 * v, "leak_coverage": np.nan}
        for way in ("interlaminar", "foraminal") for level in ("T6/T7", "L2/L3", "C7/T1") for v in (2, 20, 40)
    ]  # fmt: skip
    rows[-1]["state"] = "failed"
    return pd.DataFrame(rows)


def test_maps_stand_cranial_up_and_leave_out_what_failed():
    with styled():
        figure, caption = map_figure(frame(), [LEVEL, VOLUME, APPROACH])
    panels = [axes for axes in figure.axes if axes.images and axes.get_title("left")]
    assert [axes.get_title("left") for axes in panels] == ["interlaminar", "foraminal"]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["C7/T1", "T6/T7", "L2/L3"]
    shown = np.ma.filled(panels[1].images[0].get_array(), np.nan)
    assert np.isnan(shown[0, 2])
    assert shown[2, 1] == pytest.approx(2.0)
    crosses = [[text.get_position() for text in axes.texts if text.get_text() == "\u00d7"] for axes in panels]
    assert crosses == [[], [(2, 0)]]  # 40 mL at C7/T1
    assert "leak covered" not in [axes.get_ylabel() for axes in figure.axes]
    assert "a column per approach" in caption


def test_curves_tell_levels_by_colour_and_approaches_by_style():
    done = frame()[lambda table: table["state"] == "done"]
    with styled():
        panel = curves(done, [("csf_pressure_rise_mmHg", "rise")], VOLUME, ("mL", done[VOLUME_ML]), [LEVEL, APPROACH])
    lines = panel.axes[0].get_lines()
    assert len(lines) == 6
    assert len({line.get_color() for line in lines}) == 3
    assert len({line.get_linestyle() for line in lines}) == 2
    (legend,) = panel.legends
    assert [text.get_text() for text in legend.get_texts()] == ["C7/T1", "T6/T7", "L2/L3", "interlaminar", "foraminal"]
    assert sorted(len(line.get_xdata()) for line in lines) == [2, 3, 3, 3, 3, 3]  # what failed is left out


def test_sampled_keys_give_a_line_a_member():
    members = pd.DataFrame([
        {"a": k, "b": 2.0 * k, VOLUME: f"{v} mL", VOLUME_ML: v, "rise": k * v} for k in range(12) for v in (5.0, 20.0)
    ])  # fmt: skip
    with styled():
        panel = curves(members, [("rise", "rise")], VOLUME, ("mL", members[VOLUME_ML]), ["a", "b"])
    assert [len(line.get_xdata()) for line in panel.axes[0].get_lines()] == [2] * 10
    assert panel.legends[0].get_title().get_text() == "a, b (first 10 of 12)"


def test_no_map_without_both():
    assert map_figure(frame(), [VOLUME]) is None
    assert map_figure(frame()[lambda table: table[LEVEL] == "L2/L3"], [LEVEL, VOLUME]) is None

"""Folders that are damaged, cut off, or links to somewhere else."""

import contextlib
import math
import random
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from studies.compare import gather
from studies.errors import InputError
from studies.results import collect, table
from studies.standing import case_states
from studies.sweep import execute, prepare
from tests.studies.fake import NAME, SMALLER
from tests.studies.sweeping import plan


def cut(path: Path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path: Path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def stray(path: Path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"\xff\xfe" + data[len(data) // 2 :])


DAMAGE = {
    "half a series": lambda run: cut(run / "series.csv"),
    "two stray bytes in a series": lambda run: stray(run / "series.csv"),
    "half a summary": lambda run: cut(run / "summary.json"),
    "one bit of a profile": lambda run: change(run / "profile.csv"),
    "no summary": lambda run: (run / "summary.json").unlink(),
    "a field gone": lambda run: next((run / "fields").iterdir()).unlink(),
    "half a field": lambda run: cut(next((run / "fields").iterdir())),
    "an empty status": lambda run: (run / "status.json").write_text(""),
    "a status of something else": lambda run: (run / "status.json").write_text('["done"]'),
    "a status of another key": lambda run: (run / "status.json").write_text('{"state": "done", "key": "x"}'),
    "binary rubbish for a case": lambda run: (run / "case.toml").write_bytes(b"\xff\x00\xfe"),
    "nothing but the folder": lambda run: [shutil.rmtree(run), run.mkdir()],
    "no folder": shutil.rmtree,
    "a file for a folder": lambda run: [shutil.rmtree(run), run.write_text("x")],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_is_computed_again(name, tmp_path, inline, command):
    out = tmp_path / "out"
    made = plan(tmp_path)
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    whole = table(out)
    runs = [case.path for case in case_states(out)]
    DAMAGE[name](runs[0])
    kept = (runs[1] / "status.json").stat().st_mtime_ns
    assert "2 cases: 1 done, 1 " in command("status", out).out
    with_numbers = [item for item in gather(out).study if math.isfinite(item.last("csf_pressure_mmHg"))]
    assert [item.path for item in with_numbers if item.state == "done"] == [runs[1]]
    partial = collect(out)
    assert partial["state"][0] != "done"
    assert partial["csf_pressure_rise_mmHg"].isna()[0]
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    pd.testing.assert_frame_equal(table(out).drop(columns="wall_time_s"), whole.drop(columns="wall_time_s"))
    assert (runs[1] / "status.json").stat().st_mtime_ns == kept


@pytest.mark.parametrize("name", ["half a series", "two stray bytes in a series", "half a field"])
def test_a_damaged_run_counts_as_damaged_wherever_it_is_read(name, tmp_path, inline, command, monkeypatch):
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    out = tmp_path / "out"
    assert execute([prepare(plan(tmp_path), out)], 1, simulator=NAME) == 0
    run = case_states(out)[0].path
    DAMAGE[name](run)
    assert "damaged: " in command("status", run).out
    assert f"1 done, 1 started\n  {case_states(out)[0].name}: started: damaged: " in command("status", out).out
    assert [case.state for case in case_states(out)] == ["started", "done"]
    damaged, whole = gather(out).study
    assert (damaged.path, damaged.state, whole.state) == (run, "started", "done")
    assert damaged.reason.startswith("damaged: ")
    assert math.isnan(damaged.at("csf_pressure_mmHg", 0.0))
    assert math.isnan(damaged.number("csf_pressure_rise_mmHg"))
    for verb in ("compare", "shares"):
        called = command(verb, out)
        assert called.status == 0, called.err
    assert "damaged: " in (out / "comparison.html").read_text()
    assert set(pd.read_csv(out / "shares.csv")["volume_mL"]) == {10.0}


def some_damage(folder, choice):
    """Do something to a file of a sweep; what was done, and where."""
    path = choice.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    data = path.read_bytes()
    where = choice.randrange(len(data) + 1)
    kind = choice.choice(("removed", "cut", "flipped", "replaced", "inserted", "edited"))
    match kind:
        case "removed":
            path.unlink()
        case "cut":
            path.write_bytes(data[:where])
        case "flipped":
            path.write_bytes(data[:where] + bytes(byte ^ 1 << choice.randrange(8) for byte in data[where : where + 1]))
        case "replaced":
            path.write_bytes(choice.randbytes(choice.randrange(99)))
        case "inserted":
            path.write_bytes(data[:where] + choice.randbytes(choice.randrange(1, 9)) + data[where:])
        case _:  # what remains is a file of the same kind
            values = re.findall(rb'(?<=: )[^\s,{}\[\]]+|(?<=")[^"\n]*(?=")', data) or [b"x"]
            other = choice.choice((b"-1", b"1e999", b"null", b"[]", b"{}", b'"x"', b"true", b"../../x", b"done"))
            path.write_bytes(data.replace(choice.choice(values), other, 1))
    return f"{path.relative_to(folder)} {kind}"


def test_whatever_is_damaged_the_same_table_comes_of_it(tmp_path, inline, command):
    out = tmp_path / "out"
    made = plan(tmp_path, (20, SMALLER))
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    whole = table(out).drop(columns="wall_time_s")
    outside = sorted(tmp_path.iterdir())
    choice = random.Random(1)
    for _ in range(50):
        what = ", ".join(some_damage(out, choice) for _ in range(choice.choice((1, 1, 2, 5))))
        for name in ("status", "collect"):
            called = command(name, out)
            assert called.status in (0, 2), f"{what}: {called.err}"
            assert "Traceback" not in called.err, what
        if "series.csv" in what:
            with contextlib.suppress(InputError):
                gather(out)
        assert execute([prepare(made, out, resume=True)], 1, resume=True, simulator=NAME) == 0, what
        pd.testing.assert_frame_equal(table(out).drop(columns="wall_time_s"), whole, obj=what)
        assert len(pd.read_csv(out / "results.csv")) == len(whole), what
    assert sorted(tmp_path.iterdir()) == outside


@pytest.mark.parametrize("step", ["write_json", "write_text", "write_design"])
def test_a_sweep_that_is_cut_off_while_it_is_planned_is_planned_again(step, tmp_path, inline, monkeypatch):
    def cut_off(*arguments):
        raise SystemExit

    out = tmp_path / "out"
    made = plan(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(f"studies.sweep.{step}", cut_off)
        with pytest.raises(SystemExit):
            prepare(made, out)
    out.mkdir(exist_ok=True)
    (out / ".plan.json.123").write_text("{")
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    assert (out / "study.toml").read_text() == made.source
    assert len(pd.read_csv(out / "design.csv")) == len(pd.read_parquet(out / "design.parquet")) == 2


def test_a_damaged_plan_is_written_again_on_resume(tmp_path, inline, command, monkeypatch):
    out = tmp_path / "out"
    made = plan(tmp_path)
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    for text in ("", '{"identity": 1}', '{"identity": "x", "cases": [{"name": "../../x"}]}'):
        (out / "plan.json").write_text(text)
        for name in ("status", "collect"):
            called = command(name, out)
            assert (called.status, called.err.count("\n")) == (2, 1)
            assert "a damaged file" in called.err
    (out / "plan.json").write_text("{")
    assert execute([prepare(made, out, resume=True)], 1, simulator=NAME) == 0
    assert inline[-1].started == []


def test_links_in_a_sweep_lead_nowhere(tmp_path, inline, capsys):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.vtu").write_text("mine")
    made = plan(tmp_path)
    out = tmp_path / "out"
    sweep = prepare(made, out)
    first, second = (case.path for case in case_states(out))
    first.symlink_to(elsewhere)
    second.mkdir()
    (second / "fields").symlink_to(elsewhere)
    assert execute([sweep], 1, simulator=NAME) == 0
    assert [path.name for path in elsewhere.iterdir()] == ["mine.vtu"]
    assert (elsewhere / "mine.vtu").read_text() == "mine"
    assert not first.is_symlink()
    assert not (second / "fields").is_symlink()
    shutil.rmtree(out)
    out.mkdir()
    (out / "runs").symlink_to(elsewhere)
    with pytest.raises(ValueError, match="a link"):
        prepare(made, out)


@pytest.mark.parametrize(
    "name", ["plan.json", "study.toml", "design.csv", "results.csv", "results.parquet", "series.nc"]
)
def test_a_folder_in_the_place_of_a_file_is_named(name, tmp_path):
    (tmp_path / "out" / name).mkdir(parents=True)
    for resume in (False, True):
        with pytest.raises(InputError, match=rf"{name}\", a folder; a sweep has a file there"):
            prepare(plan(tmp_path), tmp_path / "out", resume)


@pytest.mark.parametrize("name", ["runs", "logs"])
def test_a_file_in_the_place_of_a_folder_is_named(name, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(InputError, match=rf"{name}\", a file; a sweep has a folder there"):
        prepare(plan(tmp_path), tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "mine"

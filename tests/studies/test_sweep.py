"""Sweeps with a stand-in for the solver, in real worker processes."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pandas as pd
import pytest

from studies.console import Progressing
from studies.dryrun import describe
from studies.results import case_states, collect, counts, table
from studies.runfolder import locked
from studies.standing import CaseState, behind, steps
from studies.study import plan_study, read_study
from studies.sweep import Watch, execute, note, prepare
from studies.worker import run_group
from tests.studies.fake import NAME


def plan(tmp_path, rates=("20 mL/min",), volumes=("5 mL", "10 mL"), levels=("L3/L4",)):
    tree = {
        "injection": [{"level": "L3/L4", "volume": "1 mL"}],
        "sweep": {
            "vary": {
                "injection.0.rate": list(rates),
                "injection.0.level": list(levels),
                "injection.0.volume": list(volumes),
            }
        },
    }
    return plan_study(tree, tmp_path / "study.toml")


def states(folder):
    return counts(case_states(folder))


def test_volumes_at_one_place_share_a_path_and_all_cases_a_window(tmp_path):
    made = plan(tmp_path, levels=("L3/L4", "T8/T9"))
    assert [len(group) for group in made.groups.values()] == [2, 2]
    assert {case.case.anatomy.span for case in made.cases} == {("T3", "S2")}
    assert next(iter(made.groups.values()))[0].case.injection[0].volume == pytest.approx(1e-5)
    assert "4 cases along 2 injection paths" in describe(made)[0]


def test_zip_and_list(tmp_path):
    tree = {"injection": [{"level": "L3/L4", "volume": "1 mL"}]}
    vary = {"injection.0.volume": ["5 mL", "6 mL"], "injection.0.level": ["L3/L4", "T8/T9"]}
    zipped = plan_study({**tree, "sweep": {"mode": "zip", "vary": vary}}, tmp_path / "x.toml")
    assert [dict(case.varied) for case in zipped.cases] == [
        {"injection.0.volume": "5 mL", "injection.0.level": "L3/L4"},
        {"injection.0.volume": "6 mL", "injection.0.level": "T8/T9"},
    ]
    listed = plan_study({**tree, "sweep": {"mode": "list", "cases": [{}, {"patient": "healthy"}]}}, tmp_path / "x.toml")
    assert [case.case.patient for case in listed.cases] == ["pdph", "healthy"]


def test_a_sweep_that_goes_well(tmp_path):
    out = tmp_path / "out"
    sweep = prepare(plan(tmp_path), out)
    assert execute([sweep], 2, simulator=NAME) == 0
    frame = pd.read_csv(out / "results.csv")
    assert list(frame["state"]) == ["done", "done"]
    assert list(frame["injection.0.volume"]) == ["5 mL", "10 mL"]
    assert list(frame["injection.0.volume_mL"]) == [5.0, 10.0]
    assert list(frame["shared_path"]) == ["path-0001", "path-0001"]
    assert list(frame["csf_pressure_rise_mmHg"]) == pytest.approx([1.5, 3.0], rel=1e-3)
    pd.testing.assert_frame_equal(pd.read_parquet(out / "results.parquet")[["case", "state"]], frame[["case", "state"]])
    before = {path: path.stat().st_mtime_ns for path in out.rglob("series.csv")}
    assert execute([prepare(plan(tmp_path), out)], 2, simulator=NAME) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("series.csv")} == before


def test_what_goes_wrong_does_not_stop_the_rest(tmp_path):
    out = tmp_path / "out"
    rates = ("20 mL/min", "13 mL/min", "14 mL/min", "15 mL/min")
    sweep = prepare(plan(tmp_path, rates, ("5 mL",)), out)
    assert execute([sweep], 2, simulator=NAME) == 3
    frame = table(out).set_index("injection.0.rate")
    assert dict(frame["state"]) == {
        "20 mL/min": "done", "13 mL/min": "invalid", "14 mL/min": "failed", "15 mL/min": "failed",
    }  # fmt: skip
    assert "sac 25.0 mm wide" in frame.loc["13 mL/min", "reason"]
    assert "did not converge at t = " in frame.loc["14 mL/min", "reason"]
    assert "worker ended with status 11" in frame.loc["15 mL/min", "reason"]
    kept = pd.read_csv(out / frame.loc["14 mL/min", "folder"] / "series.csv")
    assert len(kept) == 3
    # Failed cases stay failed until they are asked for again; invalid ones are never tried again.
    assert execute([prepare(plan(tmp_path, rates, ("5 mL",)), out)], 2, simulator=NAME) == 3
    assert states(out) == {"done": 1, "failed": 2, "invalid": 1}


def test_unfinished_work_is_taken_up_again(tmp_path):
    out = tmp_path / "out"
    made = plan(tmp_path, volumes=("5 mL", "10 mL", "15 mL"))
    sweep = prepare(made, out)
    assert execute([sweep], 1, simulator=NAME) == 0
    whole = table(out)
    folders = [out / name for name in whole["folder"]]
    (folders[0] / "status.json").unlink()  # cut off before its end
    (folders[1] / "status.json").write_text('{"state": "do')  # half-written
    for path in folders[2].iterdir():  # never begun
        path.unlink() if path.is_file() else [child.unlink() for child in path.iterdir()]
    partial = collect(out)
    assert list(partial["state"]) == ["started", "started", "waiting"]
    assert execute([prepare(made, out)], 2, simulator=NAME) == 0
    again = table(out)
    pd.testing.assert_frame_equal(again.drop(columns="wall_time_s"), whole.drop(columns="wall_time_s"))


def test_resume_computes_failed_cases_again(tmp_path):
    out = tmp_path / "out"
    sweep = prepare(plan(tmp_path), out)
    assert execute([sweep], 1, simulator="tests.studies.fake:nothing") == 3
    assert states(out) == {"failed": 2}
    assert "AttributeError" in case_states(out)[0].reason
    assert execute([sweep], 1, simulator=NAME) == 3
    assert execute([sweep], 1, resume=True, simulator=NAME) == 0


def test_another_study_in_the_folder_is_refused(command, case_file, tmp_path):
    out = tmp_path / "out"
    prepare(read_study(case_file, ["injection.0.volume=5mL,10mL"]), out)
    called = command("sweep", case_file, "--vary", "injection.0.volume=5mL,11mL", "--out", out, "--dry-run")
    assert called.status == 2
    assert "another study" in called.err
    again = ("sweep", case_file, "--vary", "injection.0.volume=0.005L,10mL", "--out", out, "--dry-run", "--no-pilot")
    assert command(*again).status == 0


def test_two_sweeps_in_one_folder_are_refused(tmp_path):
    sweep = prepare(plan(tmp_path), tmp_path / "out")
    with locked(sweep.folder), pytest.raises(Exception, match="another run is writing there"):
        execute([sweep], 1, simulator=NAME)


def test_interrupting_keeps_what_was_reached(tmp_path):
    out = tmp_path / "out"
    code = (
        "import sys, pathlib\n"
        "from studies.worker import stop_on_signals\n"
        "from studies.sweep import execute, prepare\n"
        "from tests.studies.test_sweep import plan, NAME\n"
        "stop_on_signals()\n"
        f"made = plan(pathlib.Path({str(tmp_path)!r}), ('16 mL/min',), ('5 mL',))\n"
        f"sweep = prepare(made, pathlib.Path({str(out)!r}))\n"
        "sys.exit(execute([sweep], 1, simulator=NAME))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    deadline = time.monotonic() + 30
    series = next(iter(case_paths(out, deadline)))
    while not series.is_file() or len(series.read_text().splitlines()) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert states(out) == {"interrupted": 1}
    assert (out / "results.csv").is_file()
    assert len(pd.read_csv(series)) == 3


STOPPED_WHILE_LOADING = """
import os, signal, sys
class Stop:
    def find_spec(self, name, *more):
        if name == "studies.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Stop())
from studies.__main__ import main
main()
"""


def test_a_command_that_is_stopped_while_it_is_loaded_says_so_in_a_line():
    called = subprocess.run(
        [sys.executable, "-c", STOPPED_WHILE_LOADING],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (called.returncode, called.stderr) == (130, "bloodpatch: interrupted\n")


def case_paths(out, deadline):
    while not (out / "plan.json").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [state.path / "series.csv" for state in case_states(out)]


def test_status_and_collect_on_the_command_line(command, tmp_path):
    out = tmp_path / "out"
    prepare(plan(tmp_path, ("20 mL/min", "13 mL/min"), ("5 mL",)), out)
    assert "2 cases: 2 waiting" in command("status", out).out
    run_group(out, "path-0001", NAME)
    run_group(out, "path-0002", NAME)
    said = command("status", out).out
    assert "1 done, 1 invalid" in said
    assert "sac 25.0 mm wide" in said
    assert "2 cases, 1 done" in command("collect", out).out
    assert command("status", case_states(out)[0].path).out.endswith(": done\n")
    # a folder of sweeps, as the demo and the reference sweep write it
    assert f"{out}: 2 cases: 1 done, 1 invalid" in command("status", out.parent).out


def test_progress_counts_every_case_once(tmp_path):
    out = tmp_path / "out"
    prepare(plan(tmp_path, ("20 mL/min", "23 mL/min", "24 mL/min")), out)
    run_group(out, "path-0001", NAME)
    found = case_states(out)
    assert note(found) == "6 cases: 2 done, 4 to go"
    assert note(found, 2, [0.5]) == "6 cases: 2 done, 2 running, 2 to go, 1 path at 50%"
    assert note(found, 4, [0.5, 0.0]) == "6 cases: 2 done, 4 running, 2 paths at 50%, 0%"
    assert note(found[:2]) == "2 cases: 2 done, nothing to go"


def test_progress_is_plain_lines_where_there_is_no_terminal(capsys):
    with Progressing("sweep", 10) as progress:
        progress.update(1, "1 of 10", force=True)
        progress.update(2, "2 of 10")
    assert capsys.readouterr().out == "sweep: 1 of 10\n"


def test_time_left_is_told_once_there_is_something_to_tell_it_from(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("studies.sweep.time", SimpleNamespace(monotonic=lambda: clock[0]))
    share = [0.0]
    states = {("sweep", name): SimpleNamespace(ended=False, state="running") for name in ("a", "b")}
    paths = [SimpleNamespace(folder="sweep", work=1.0, members=[{"name": name}]) for name in ("a", "b")]
    job = SimpleNamespace(path=paths[0], due=["a"])
    pool = SimpleNamespace(states=states, paths=paths, running=[job], share=lambda job: share[0])
    with Progressing("sweep", 2) as progress:
        watch = Watch(progress)
        # the first minute has gone into the mesh, the second into 3 % of one of two paths
        for clock[0], share[0] in ((60.0, 1e-6), (120.0, 0.03)):
            watch(pool, True)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "sweep: 2 cases: 1 running, 1 to go, 1 path at 0%",
        "sweep: 2 cases: 1 running, 1 to go, 1 path at 3%; about 2.2 h left",
    ]


def test_work_goes_with_the_steps_in_time(tmp_path):
    # 12 steps of 5 s; then 5 of 10 s, and from 50 s on each a fifth longer than the time since the injection
    assert steps(60.0, 50.0) == pytest.approx(17.0)
    assert steps(0.0, 50.0 * 1.2**7) == pytest.approx(12.0)
    entry = {"injection_s": 60.0, "follow_up_s": 50.0}
    case = CaseState(entry, tmp_path, "started", None)
    for reached, share in ((0.0, 0.0), (30.0, 6 / 17), (80.0, 14 / 17), (110.0, 1.0), (200.0, 1.0)):
        (tmp_path / "steps.jsonl").write_text(f'{{"time_s": {reached}}}\n')
        assert behind(case) == pytest.approx(share)

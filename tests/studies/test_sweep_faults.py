"""What goes wrong with a case, a folder or a machine, and what a sweep makes of it."""

import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from studies import memory, pool
from studies.ladder import LADDER, cause_of, changes, on_rung
from studies.launcher import Launcher, Worker
from studies.results import collect, table
from studies.runfolder import read_status
from studies.standing import case_states, counts
from studies.study import plan_study
from studies.sweep import execute, prepare
from studies.worker import main as work
from studies.worker import run_group
from tests.studies.fake import (
    BULK,
    DEADLY_ONCE,
    ENDLESS,
    ENDLESS_ABOVE,
    ENDLESS_BELOW,
    ENDLESS_ONCE,
    FINER,
    HARD,
    IMPOSSIBLE,
    NAME,
    SMALLER,
)

GB = 2**30


class Inline(Launcher):
    """Runs a worker where it is started: the same command, without a process of its own."""

    started: list[list[str]]

    def __init__(self):
        super().__init__()
        self.started = []

    def start(self, arguments, log):
        arguments = [argument for argument in arguments if argument != "--leash"]
        self.started.append(arguments)
        return Worker(os.getpid(), work(arguments))

    def wait(self, timeout):
        pass


@pytest.fixture
def inline(monkeypatch):
    launchers = []

    def make():
        launchers.append(Inline())
        return launchers[-1]

    monkeypatch.setattr(pool, "Launcher", make)
    monkeypatch.setattr("studies.worker.stop_on_signals", lambda: None)
    return launchers


def plan(tmp_path, rates=(20,), volumes=("5 mL", "10 mL"), **sweep):
    tree = {
        "injection": [{"level": "L3/L4", "volume": "1 mL"}],
        "sweep": {
            "vary": {"injection.0.rate": [f"{rate} mL/min" for rate in rates], "injection.0.volume": list(volumes)},
            **sweep,
        },
    }
    return plan_study(tree, tmp_path / "study.toml")


def by_rate(out):
    return table(out).set_index("injection.0.rate_mL_per_min")


# -- the ladder --------------------------------------------------------------------------------------------------------


def test_convergence_climbs_the_ladder_and_says_so(tmp_path, inline):
    out = tmp_path / "out"
    made = plan(tmp_path, (20, SMALLER, FINER, HARD), ("5 mL",))
    assert execute([prepare(made, out)], 1, simulator=NAME) == 3
    frame = by_rate(out)
    assert dict(frame["state"]) == {20: "done", SMALLER: "done", FINER: "done", HARD: "failed"}
    assert dict(frame["retry_rung"]) == {
        20: "", SMALLER: "smaller step", FINER: "finer load ramp", HARD: "finer load ramp",
    }  # fmt: skip
    rungs = [arguments[arguments.index("--rung") + 1] for arguments in inline[0].started]
    assert sorted(rungs) == sorted("0" * 4 + "1" * 3 + "2" * 2)
    run = out / frame.loc[FINER, "folder"]
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["rung"], status["rung_name"]) == ("done", 2, "finer load ramp")
    # The case is kept as asked for; what was changed is said.
    assert 'first_step = "1 s"' in (run / "case.toml").read_text()
    retry = json.loads((run / "provenance.json").read_text())["retry"]
    assert retry["changes"]["time.first_step"] == "0.1 s"
    assert retry["changes"]["time.injection_step"] == "0.25 s"
    # The ladder has been climbed: without --resume nothing is tried again, with it from the beginning.
    assert execute([prepare(made, out)], 1, simulator=NAME) == 3
    assert inline[1].started == []
    assert execute([prepare(made, out)], 1, resume=True, simulator=NAME) == 3
    assert len(inline[2].started) == 3


def test_every_rung_is_finer_than_the_one_before(tmp_path):
    case = plan(tmp_path).cases[0].case
    steps = [on_rung(case, rung) for rung in range(len(LADDER))]
    for coarse, fine in itertools.pairwise(steps):
        assert fine.time.first_step < coarse.time.first_step
        assert fine.time.injection_step < coarse.time.injection_step
        assert fine.solver.smallest_step < coarse.solver.smallest_step
    assert set(changes(case, 1)) == {
        "time.first_step", "time.injection_step", "time.max_step", "solver.smallest_step",
    }  # fmt: skip
    assert steps[0] == case
    assert [step.injection for step in steps] == [case.injection] * len(LADDER)


def test_a_climb_that_was_cut_off_goes_on_where_it_was(tmp_path, inline):
    out = tmp_path / "out"
    sweep = prepare(plan(tmp_path, (FINER,), ("5 mL",)), out)
    assert run_group(out, "path-0001", NAME) == 3
    (case,) = case_states(out)
    assert (case.state, case.due) == ("failed", 1)
    assert run_group(out, "path-0001", NAME) == 3
    (case.path / "status.json").unlink()  # killed on the second rung
    (case,) = case_states(out)
    assert (case.state, case.due) == ("started", 1)
    assert execute([sweep], 1, simulator=NAME) == 0
    assert by_rate(out)["retry_rung"][FINER] == "finer load ramp"


def test_invalid_is_never_tried_again(tmp_path, inline):
    out = tmp_path / "out"
    sweep = prepare(plan(tmp_path, (IMPOSSIBLE,), ("5 mL",)), out)
    for resume in (False, True):
        assert execute([sweep], 1, resume, NAME) == 3
    assert [len(launcher.started) for launcher in inline] == [1, 0]
    assert counts(case_states(out)) == {"invalid": 1}


def test_causes():
    from fem.errors import SolverError

    assert cause_of(SolverError("no")) == "convergence"
    assert cause_of(MemoryError()) == "infrastructure"
    assert cause_of(OSError(5, "Input/output error")) == "infrastructure"
    assert cause_of(AttributeError("x")) == "fault"


# -- processes ---------------------------------------------------------------------------------------------------------


def test_hanging_and_dying_once_costs_an_attempt_and_hanging_for_ever_a_case(tmp_path):
    out = tmp_path / "out"
    made = plan(tmp_path, (20, DEADLY_ONCE, ENDLESS_ONCE, ENDLESS), ("5 mL",), time_limit="2 s")
    begun = time.monotonic()
    assert execute([prepare(made, out)], 4, simulator=NAME) == 3
    assert time.monotonic() - begun < 40
    frame = by_rate(out)
    assert dict(frame["state"]) == {20: "done", DEADLY_ONCE: "done", ENDLESS_ONCE: "done", ENDLESS: "failed"}
    assert "not done after 2 s, the time limit of a case (at t = " in frame["reason"][ENDLESS]
    assert "tried 2 times" in frame["reason"][ENDLESS]
    attempts = {rate: read_status(out / folder).attempts for rate, folder in frame["folder"].items()}
    assert attempts == {20: 1, DEADLY_ONCE: 2, ENDLESS_ONCE: 2, ENDLESS: 2}
    # The tables of what went well are those of a sweep without a hitch: attempts are no result.
    assert "attempts" not in frame.columns


def test_a_case_that_hangs_takes_no_other_volume_of_its_path_along(tmp_path):
    out = tmp_path / "out"
    volumes = ("5 mL", "10 mL", "15 mL")
    made = plan(tmp_path, (ENDLESS_ABOVE, ENDLESS_BELOW), volumes, time_limit="1 s")
    assert execute([prepare(made, out)], 2, simulator=NAME) == 3
    states = table(out).set_index(["injection.0.rate_mL_per_min", "injection.0.volume"])["state"]
    assert dict(states[ENDLESS_ABOVE]) == {"5 mL": "done", "10 mL": "done", "15 mL": "failed"}
    assert dict(states[ENDLESS_BELOW]) == {"5 mL": "failed", "10 mL": "done", "15 mL": "done"}


def test_a_worker_that_is_over_its_time_before_it_is_told_of_is_ended_when_it_is(tmp_path, monkeypatch):
    killed = []
    monkeypatch.setattr(os, "killpg", lambda pid, number: killed.append((pid, number)))
    out = tmp_path / "out"
    prepare(plan(tmp_path, time_limit="1e-6 s"), out)
    made = pool.Pool([out], 1, NAME)
    job = pool.Job(made.paths[0], 0, Worker(), [entry["name"] for entry in made.paths[0].members])
    made.running.append(job)
    made._look()
    assert job.overdue and killed == []
    job.worker.pid = 4_000_000
    made._look()
    assert killed == [(4_000_000, signal.SIGKILL)]


def test_a_changed_model_stops_the_sweep(tmp_path, inline, monkeypatch, capsys):
    out = tmp_path / "out"
    sweep = prepare(plan(tmp_path), out)
    monkeypatch.setattr("studies.solver.model_version", lambda: "another")
    assert execute([sweep], 1, simulator=NAME) == 3
    assert "the model or a mesh file changed while the sweep ran" in capsys.readouterr().err
    assert counts(case_states(out)) == {"waiting": 2}
    assert execute([prepare(plan(tmp_path), out)], 1, simulator=NAME) == 0


# -- folders -----------------------------------------------------------------------------------------------------------


def cut(path: Path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path: Path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGE = {
    "half a series": lambda run: cut(run / "series.csv"),
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
def test_a_damaged_folder_is_computed_again(name, tmp_path, inline):
    out = tmp_path / "out"
    made = plan(tmp_path)
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    whole = table(out)
    runs = [case.path for case in case_states(out)]
    DAMAGE[name](runs[0])
    kept = (runs[1] / "status.json").stat().st_mtime_ns
    partial = collect(out)
    assert partial["state"][0] != "done"
    assert partial["csf_pressure_rise_mmHg"].isna()[0]
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    pd.testing.assert_frame_equal(table(out).drop(columns="wall_time_s"), whole.drop(columns="wall_time_s"))
    assert (runs[1] / "status.json").stat().st_mtime_ns == kept


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


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
        )
    except OSError as error:
        pytest.skip(f"no disk to fill: {error}")
    if mounted.returncode:
        pytest.skip(f"no disk to fill: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stops_a_sweep_and_room_lets_it_go_on(small_disk, tmp_path, monkeypatch, capsys):
    made = plan(tmp_path, (20, 24, 25, 26), ("5 mL", "10 mL"))
    prepare(made, tmp_path / "roomy")
    assert [run_group(tmp_path / "roomy", group, NAME) for group in made.groups] == [0] * 4
    out = small_disk / "out"
    # Not enough room to begin: said before anything is computed.
    assert execute([prepare(made, out)], 2, simulator=NAME) == 3
    assert "are free on the disk" in capsys.readouterr().err
    assert counts(case_states(out)) == {"waiting": 8}
    # Room at first, and then none: three files of 100 kB per case.
    monkeypatch.setattr(pool, "FREE_DISK", 0)
    monkeypatch.setenv(BULK, "100000")
    assert execute([prepare(made, out)], 2, simulator=NAME) == 3
    said = capsys.readouterr().err
    assert "no space left on the disk" in said
    assert "Traceback" not in said
    assert 0 < counts(case_states(out))["done"] < 8
    kept = {
        case.path: (case.path / "status.json").stat().st_mtime_ns for case in case_states(out) if case.state == "done"
    }
    # Still full: the same again. Then room: what is missing is computed, without --resume.
    assert execute([prepare(made, out)], 2, simulator=NAME) == 3
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert execute([prepare(made, out)], 2, simulator=NAME) == 0
    assert {path: (path / "status.json").stat().st_mtime_ns for path in kept} == kept
    left, right = table(out), table(tmp_path / "roomy")
    pd.testing.assert_frame_equal(left.drop(columns="wall_time_s"), right.drop(columns="wall_time_s"))


# -- memory ------------------------------------------------------------------------------------------------------------


def test_no_more_paths_than_memory_holds():
    estimate = memory.Estimate(default=3000)
    assert estimate.fits(3000)
    assert not estimate.fits(2999)
    estimate.held = {1: 1000}  # will grow by 2000
    assert not estimate.fits(4999)
    assert estimate.fits(5000)
    estimate.learn()  # its model stands: that was all
    assert estimate.per_job == 1200
    assert estimate.fits(1400)
    assert not estimate.fits(1399)
    assert estimate.fits(2600, unmeasured=1)
    assert not estimate.fits(2599, unmeasured=1)


def test_the_pool_starts_the_first_path_alone_and_then_what_fits(tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare(plan(tmp_path, range(30, 40), ("5 mL",)), out)

    class Recording(Launcher):
        def __init__(self):
            super().__init__()
            self.started, self.ended = [], []

        def start(self, arguments, log):
            self.started.append(arguments[1])
            return Worker(len(self.started))

        def wait(self, timeout):
            pass

    monkeypatch.setattr(pool, "Launcher", Recording)
    # 13 GB in all; a path that has been looked at holds 2 GB, and is taken to need 2.4 GB.
    monkeypatch.setattr(pool, "available", lambda: 13 * GB - sum(made.memory.held.values()))
    monkeypatch.setattr(memory, "resident", lambda pid: 2 * GB)
    made = pool.Pool([out], 8, NAME)
    made.waiting = list(made.paths)
    made._start_what_fits()
    made._start_what_fits()
    assert len(made.launcher.started) == 1
    case = made.states[out, made.running[0].path.members[0]["name"]]
    case.path.mkdir(parents=True)
    (case.path / "steps.jsonl").write_text("{}\n")  # its model stands
    for _ in range(3):
        made._look()
        made._start_what_fits()
        assert len(made.launcher.started) == 5
    assert made.memory.per_job == int(2.4 * GB)
    made.running.clear()


def test_cores_and_control_group(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert memory.cores() >= 1
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.available() == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() > 600


def test_workers_that_never_begin_are_tried_three_times(tmp_path, inline, monkeypatch):
    out = tmp_path / "out"
    sweep = prepare(plan(tmp_path), out)
    monkeypatch.setattr("tests.studies.test_sweep_faults.work", lambda arguments: -9)
    assert execute([sweep], 1, simulator=NAME) == 3
    assert len(inline[0].started) == 1 + 2 * 2  # first together, then each case alone
    assert set(table(out)["reason"]) == {"the worker ended with status -9; see logs/path-0001.log; tried 3 times"}

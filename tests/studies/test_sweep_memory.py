"""No more paths at a time than fit."""

import os
import time

from studies import memory, pool
from studies.launcher import Launcher, Worker
from studies.sweep import prepare
from tests.studies.fake import NAME
from tests.studies.sweeping import plan

GB = 2**30


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
    case = made.states[out, made.paths[0].members[0]["name"]]
    steps = case.path / "steps.jsonl"
    case.path.mkdir(parents=True)
    steps.write_text("{}\n")  # of an attempt before
    for _ in range(3):
        made._start_what_fits()
        made._look()
        assert len(made.launcher.started) == 1
    steps.write_text("{}\n")  # its model stands, on a disk whose clock is an hour behind
    behind = time.time_ns() - 3600 * 10**9
    os.utime(steps, ns=(behind, behind))
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
    monkeypatch.setattr(memory, "_OWN_CGROUP", tmp_path / "nowhere")
    assert memory.available() == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() > 600


def test_files_that_only_lie_in_memory_are_room(monkeypatch, tmp_path):
    for name, text in {"max": "1000", "current": "900", "stat": "anon 100\ninactive_file 300\nactive_file 5"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.available() == 400
    (tmp_path / "memory.stat").write_text("of another kind\n")
    assert memory.available() == 100


def test_the_control_group_is_that_of_this_process_and_those_around_it(monkeypatch, tmp_path):
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    monkeypatch.setattr(memory, "_CGROUP", groups)
    monkeypatch.setattr(memory, "_OWN_CGROUP", own)
    own.write_text("4:memory:/of/version/1\n0::/job/step\n")
    for group, room in (("", 800), ("job", 600), ("job/step", 400), ("job/other", 100)):
        (groups / group).mkdir(exist_ok=True)
        (groups / group / "memory.max").write_text(f"{room}\n")
        (groups / group / "memory.current").write_text("0\n")
    assert memory.available() == 400
    (groups / "job/step/memory.max").write_text("max\n")
    assert memory.available() == 600
    own.write_text("0::/not/seen/here\n")
    assert memory.available() == 800

"""No more paths at a time than fit."""

import os

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

"""Sweeps that are killed at random moments lose nothing and end with the table of an undisturbed one."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest

from studies.results import table
from studies.standing import case_states
from studies.sweep import execute, prepare
from studies.worker import run_group
from tests.studies.fake import NAME, STEP
from tests.studies.test_sweep import plan

SOON = 0.2
"""Share of the sweeps that may be killed before they have begun to compute."""
STEP_SECONDS = 0.02
"""A case takes a dozen steps: long enough to be hit while it writes."""
SHARES = {"worker": 22, "launcher": 2, "sweep": 1, "all": 1}
DRIVER = """
import pathlib, sys
from studies.answer import answer
from studies.sweep import execute, prepare
from studies.worker import stop_on_signals
from tests.studies.test_sweep import plan, NAME
stop_on_signals()
folder, rates, resume = pathlib.Path(sys.argv[1]), sys.argv[2].split(","), bool(int(sys.argv[3]))
try:
    made = plan(folder.parent, rates, ("5 mL", "10 mL"))
    sys.exit(execute([prepare(made, folder, resume)], 2, resume, simulator=NAME))
except Exception as error:
    sys.exit(answer(error))
"""


def start(out, rates, resume=False):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(out), ",".join(rates), str(int(resume))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), STEP: str(STEP_SECONDS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill(driver, who):
    """Kill one of the processes of a sweep, or all; whether there was one."""
    try:
        processes = psutil.Process(driver.pid).children(recursive=True)
        launchers = [process for process in processes if "studies.launcher" in process.cmdline()]
        direct = [process for process in launchers if process.ppid() == driver.pid]
        workers = [process for process in launchers if process not in direct]
        mine = psutil.Process(driver.pid)
        victims = {"worker": workers[:1], "launcher": direct, "sweep": [mine], "all": [mine, *processes]}[who]
        for victim in victims:
            victim.kill()
    except psutil.NoSuchProcess:
        return False
    return bool(victims)


def await_worker(driver):
    """Wait until a sweep computes, or has ended."""
    while driver.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            if len(psutil.Process(driver.pid).children(recursive=True)) > 1:
                return
        time.sleep(0.02)


def finished(out):
    """Status files of the cases that are done: which file, written when."""
    if not (out / "plan.json").is_file():
        return {}
    done = [case.path / "status.json" for case in case_states(out) if case.state == "done"]
    return {path: path.stat().st_mtime_ns for path in done}


def undisturbed(folder, rates):
    """The table of a sweep that nothing happens to."""
    sweep = prepare(plan(folder.parent, rates, ("5 mL", "10 mL")), folder)
    for group in sweep.plan.groups:
        assert run_group(folder, group, NAME) == 0
    return table(folder)


def same(left, right):
    pd.testing.assert_frame_equal(left.drop(columns="wall_time_s"), right.drop(columns="wall_time_s"))


def survive(tmp_path, rounds, paths, seed):
    """Kill at random moments, then let the sweep end; the number of kills."""
    choice = random.Random(seed)
    left = [who for who, share in SHARES.items() for _ in range(share * rounds)]
    choice.shuffle(left)
    kills = len(left)
    rates = [f"{23 + index / 10:g} mL/min" for index in range(paths)]
    expected = undisturbed(tmp_path / "undisturbed", rates)
    number = 0
    while left:
        number += 1
        out = tmp_path / f"sweep-{number}"
        done, returned, resume = {}, None, False
        while returned != 0:
            driver = start(out, rates, resume)
            if choice.random() < SOON:
                time.sleep(choice.uniform(0.0, 3.0))
            else:
                await_worker(driver)
            while driver.poll() is None:
                time.sleep(choice.uniform(0.0, 0.3))
                if left and kill(driver, left[-1]):
                    left.pop()
                now = finished(out)
                assert now.items() >= done.items(), "a finished case was computed again"
                done = now
            returned = driver.wait()
            said = driver.stderr.read()
            assert "Traceback" not in said, said
            # Killed, or failed three times in a row by kills: then it takes --resume.
            assert returned in (0, -signal.SIGKILL, 3), said
            resume = returned == 3
        same(table(out), expected)
        same(pd.read_parquet(out / "results.parquet"), expected)
    return kills


def test_fifty_random_kills(tmp_path):
    assert survive(tmp_path, rounds=2, paths=16, seed=1) >= 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
def test_many_random_kills(tmp_path, seed):
    assert survive(tmp_path, rounds=8, paths=60, seed=seed) >= 200


def test_two_sweeps_and_another_scheduler_at_once(tmp_path):
    rates = [f"{23 + index / 10:g} mL/min" for index in range(6)]
    expected = undisturbed(tmp_path / "undisturbed", rates)
    out = tmp_path / "out"
    prepare(plan(tmp_path, rates, ("5 mL", "10 mL")), out)
    command = [sys.executable, "-c", SCHEDULED, str(out), *sorted(set(expected["shared_path"]))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), STEP: str(STEP_SECONDS)}
    scheduler = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    drivers = [start(out, rates) for _ in range(2)]
    returned = sorted(driver.wait(60) for driver in drivers)
    said = [driver.stderr.read() for driver in drivers]
    assert returned == [0, 2], said
    assert sum("another run is writing there" in text for text in said) == 1
    assert scheduler.wait(60) == 0, scheduler.stderr.read()
    same(table(out), expected)
    same(pd.read_parquet(out / "results.parquet"), expected)
    for case in case_states(out):
        log = (case.path / "run.log").read_text()
        assert log.count(" begin; ") == 1, "a case was computed twice"


SCHEDULED = """
import pathlib, sys
from studies.compute import compute
from tests.studies.fake import NAME
sys.exit(compute(pathlib.Path(sys.argv[1]), sys.argv[2:], NAME))
"""


def test_an_interrupted_sweep_goes_on(tmp_path):
    rates = [f"{23 + index / 10:g} mL/min" for index in range(4)]
    expected = undisturbed(tmp_path / "undisturbed", rates)
    out = tmp_path / "out"
    driver = start(out, rates)
    deadline = time.monotonic() + 30
    while not finished(out):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(30) == 130
    assert "goes on from here" in driver.stderr.read()
    states = {case.state for case in case_states(out)}
    assert states <= {"done", "interrupted", "waiting"}
    assert len(pd.read_csv(out / "results.csv")) == len(expected)
    assert execute([prepare(plan(tmp_path, rates, ("5 mL", "10 mL")), out)], 2, simulator=NAME) == 0
    same(table(out), expected)

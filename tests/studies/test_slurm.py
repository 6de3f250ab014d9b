"""The `slurm` executor against a real Slurm that slurm.sh starts on this machine; skipped where there is none."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from studies.results import table
from studies.slurm import SUBMITTED, _queued
from studies.standing import case_states, counts
from studies.sweep import execute, prepare
from tests.studies.fake import DEADLY, HARD, IMPOSSIBLE, NAME, SMALLER, STEP
from tests.studies.sweeping import plan
from tests.studies.test_sweep_kills import same

SCRIPT = Path(__file__).with_name("slurm.sh")
NO_SLURM = 77


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A controller and a node of their own."""
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True, check=False)
    if started.returncode == NO_SLURM:
        pytest.skip(f"no Slurm: {started.stderr.strip()}")
    assert started.returncode == 0, started.stderr
    name, _, value = started.stdout.strip().splitlines()[-1].partition("=")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        # Found when this environment was entered, or installed since.
        patch.setenv("PATH", f"{os.environ['PATH']}:{links(folder)}")
        patch.setattr("studies.slurm.LOOK", 0.5)
        patch.setattr("studies.slurm.ASK", 1.0)
        yield folder
    subprocess.run([SCRIPT, "stop", folder], check=True)


def links(folder: Path) -> Path:
    """Slurm's commands by way of env/on-host, where they were installed after this environment was entered."""
    made = folder / "bin"
    made.mkdir()
    on_host = SCRIPT.parents[2] / "env" / "on-host"
    for name in ("sbatch", "squeue", "srun", "scancel") if Path("/etc/.host").is_dir() else ():
        (made / name).symlink_to(on_host)
    return made


def test_an_array_ends_with_the_table_of_the_local_executor(slurm, tmp_path):
    made = plan(tmp_path, (20, SMALLER, IMPOSSIBLE, HARD, DEADLY))
    out, local = tmp_path / "slurm", tmp_path / "local"
    assert execute([prepare(made, out)], 3, simulator=NAME, executor="slurm") == 3
    assert execute([prepare(made, local)], 2, simulator=NAME) == 3
    frame = table(out)
    same(frame, table(local))
    assert sorted(frame["state"].value_counts().items()) == [("done", 4), ("failed", 4), ("invalid", 2)]
    assert json.loads((out / SUBMITTED).read_text()) == {}
    jobs = {path.name.partition("_")[0] for path in (out / "logs" / "slurm").glob("*_log.out")}
    assert len(jobs) == 1, "one array"
    # Again: nothing is submitted.
    assert execute([prepare(made, out)], 3, simulator=NAME, executor="slurm") == 3
    assert {path.name.partition("_")[0] for path in (out / "logs" / "slurm").glob("*_log.out")} == jobs


DRIVER = """
import pathlib, sys
import studies.slurm
from studies.sweep import execute, prepare
from tests.studies.fake import NAME
from tests.studies.sweeping import plan
studies.slurm.LOOK, studies.slurm.ASK = 0.5, 1.0
out = pathlib.Path(sys.argv[1])
sys.exit(execute([prepare(plan(out.parent, (20, 24, 25)), out)], 2, simulator=NAME, executor="slurm"))
"""


def test_jobs_outlive_the_sweep_and_are_found_again(slurm, tmp_path):
    made = plan(tmp_path, (20, 24, 25))
    expected = tmp_path / "expected"
    assert execute([prepare(made, expected)], 2, simulator=NAME) == 0
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), STEP: "0.1"}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(out)], env=environment, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: (out / SUBMITTED).is_file() and len(json.loads((out / SUBMITTED).read_text())) == 3)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    numbers = json.loads((out / SUBMITTED).read_text())
    assert _queued(numbers.values())
    assert execute([prepare(made, out)], 2, simulator=NAME, executor="slurm") == 0
    jobs = {path.name.partition("_")[0] for path in (out / "logs" / "slurm").glob("*_log.out")}
    assert jobs == {number.partition("_")[0] for number in numbers.values()}, "nothing was submitted twice"
    same(table(out), table(expected))


@pytest.mark.slow
def test_a_cancelled_job_is_submitted_again(slurm, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setenv(STEP, "0.1")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(out)], env=environment, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: (out / SUBMITTED).is_file() and counts(case_states(out)).get("started"))
    started = next(case for case in case_states(out) if case.state == "started")
    number = json.loads((out / SUBMITTED).read_text())[started.group]
    subprocess.run(["scancel", "--signal=KILL", "--full", number], check=True)
    assert driver.wait(120) == 0, driver.stderr.read()
    assert set(pd.read_csv(out / "results.csv")["state"]) == {"done"}
    assert len({path.name.partition("_")[0] for path in (out / "logs" / "slurm").glob("*_submitted.pkl")}) > 1


def test_what_slurm_refuses_is_said_in_a_line(slurm, tmp_path, command):
    study = tmp_path / "study.toml"
    study.write_text(
        '[[injection]]\nlevel = "L3/L4"\nvolume = "10 mL"\n'
        '[sweep.vary]\n"injection.0.volume" = ["1 mL", "2 mL"]\n[sweep.slurm]\npartition = "nowhere"\n'
    )
    called = command("sweep", study, "--out", tmp_path / "out", "--executor", "slurm")
    assert called.status == 3
    assert called.err.count("\n") == 1
    assert "Invalid partition" in called.err


def wait_for(condition, patience=60.0):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)

"""Cases that hang or kill their process, and a model that changes while it is swept."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from studies import pool
from studies.launcher import Worker
from studies.modelversion import ROOT
from studies.results import table
from studies.runfolder import read_status
from studies.standing import case_states, counts
from studies.sweep import execute, prepare
from studies.worker import BAD_INPUT, INTERRUPTED, STALE
from tests.studies.fake import DEADLY_ONCE, ENDLESS, ENDLESS_ABOVE, ENDLESS_BELOW, ENDLESS_ONCE, NAME
from tests.studies.sweeping import by_rate, plan


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


EDITED = """
import sys
from pathlib import Path
from studies.sweep import execute, prepare
from tests.studies.fake import simulate_group
from tests.studies.sweeping import plan

def simulate(comm, cases, folders):
    sinks = simulate_group(comm, cases, folders)
    with Path("{file}").open("a") as stream:
        stream.write("{line}")
    return sinks

if __name__ == "__main__":
    out = Path(sys.argv[1])
    sys.exit(execute([prepare(plan(out.parent, (20, 30), ("5 mL",)), out)], 1, simulator="script:simulate"))
"""
EDITED_BACK = """
import sys
from pathlib import Path
from studies.launcher import Launcher
from studies.sweep import prepare
from tests.studies.fake import NAME
from tests.studies.sweeping import plan

out, law, launcher = Path(sys.argv[1]), Path("fem/laws/smooth.py"), Launcher()
prepare(plan(out.parent), out)
planned = law.read_text()

def status(path):
    worker = launcher.start([str(out), path, "--simulator", NAME], out / "log")
    while worker.status is None:
        launcher.wait(0.1)
    return worker.status

law.write_text(planned + "added = 1")
first = status("no path of this name")  # the launcher has imported the law as it is now
law.write_text(planned)
print(first, status("path-0001"))
launcher.stop()
"""


LATE = """
import time
from studies import launcher

def late(*of, work=launcher._work):
    time.sleep(1.0)
    work(*of)

launcher._work = late
launcher._Forking(launcher.model_version()).serve()
"""


def test_a_worker_that_is_stopped_before_it_is_ready_says_so_and_computes_nothing(tmp_path):
    out = tmp_path / "out"
    prepare(plan(tmp_path), out)
    started = {
        "number": 7,
        "arguments": [str(out), "path-0001", "--simulator", NAME, "--leash"],
        "log": str(out / "log"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", LATE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        serving.stdin.write(json.dumps(started) + "\n")
        serving.stdin.flush()
        told = [json.loads(serving.stdout.readline())]
        said = serving.communicate(timeout=60)
    told += [json.loads(line) for line in said[0].splitlines()]
    assert told == [{"number": 7, "pid": told[0]["pid"]}, {"number": 7, "status": INTERRUPTED}]
    assert said[1] == "" and (out / "log").read_text() == ""
    assert counts(case_states(out)) == {"waiting": 2}


@pytest.fixture
def checkout(tmp_path):
    """The packages, with model files of their own that may be edited."""
    top = tmp_path / "checkout"
    shutil.copytree(ROOT / "fem", top / "fem", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("geometry", "studies", "tests"):
        (top / name).symlink_to(ROOT / name)
    return top


def called(checkout, script, out):
    """A script that is run in a checkout, where it is a module for workers, too."""
    (checkout / "script.py").write_text(script)
    return subprocess.run(
        [sys.executable, "script.py", str(out)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("fem/laws/smooth.py", "added = 1"),
        ("fem/laws/smooth.py", "half a line ="),
        ("fem/__init__.py", "MODEL_VERSION += '+'"),
    ],
)
def test_a_model_that_is_edited_while_workers_run_stops_the_sweep(file, line, checkout, tmp_path):
    out = tmp_path / "out"
    swept = called(checkout, EDITED.format(file=file, line=line), out)
    assert swept.returncode == 3, swept.stderr
    assert "the model or a mesh file changed while the sweep ran" in swept.stderr
    assert counts(case_states(out)) == {"done": 1, "waiting": 1}


def test_a_worker_does_not_compute_with_laws_that_only_its_launcher_has_seen(checkout, tmp_path):
    swept = called(checkout, EDITED_BACK, tmp_path / "out")
    assert swept.stdout == f"{BAD_INPUT} {STALE}\n", swept.stderr

"""Cases that hang or kill their process, and a model that changes while it is swept."""

import os
import signal
import time

from studies import pool
from studies.launcher import Worker
from studies.results import table
from studies.runfolder import read_status
from studies.standing import case_states, counts
from studies.sweep import execute, prepare
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

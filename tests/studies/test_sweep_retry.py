"""What is tried again, and how: the ladder, what never is, and workers that never begin."""

import itertools
import json

from studies.ladder import LADDER, cause_of, changes, on_rung
from studies.results import table
from studies.standing import case_states, counts
from studies.sweep import execute, prepare
from studies.worker import run_group
from tests.studies.fake import BEYOND, FINER, HARD, IMPOSSIBLE, NAME, SMALLER
from tests.studies.sweeping import by_rate, plan


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
    assert rungs == [*"000011122"]  # what failed waits until the others have had their first try
    run = out / frame.loc[FINER, "folder"]
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["rung"], status["rung_name"]) == ("done", 2, "finer load ramp")
    # The case is kept as asked for; what was changed is said.
    assert 'first_step = "1 s"' in (run / "case.toml").read_text()
    retry = json.loads((run / "provenance.json").read_text())["retry"]
    assert retry["changes"]["time.first_step"] == "0.25 s"
    assert retry["changes"]["time.injection_step"] == "1.25 s"
    assert retry["changes"]["materials.network.gradient_stiffness"] == "0.003 N"
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
        "solver.folding_stiffness",
    }  # fmt: skip
    assert steps[0] == case
    assert [step.injection for step in steps] == [case.injection] * len(LADDER)
    assert [step.solver.folding_stiffness for step in steps] == [None, 3e-5, 3e-5]
    assert [step.materials.network.gradient_stiffness for step in steps] == [1e-3, 1e-3, 3e-3]
    softer = {"network": case.materials.network.model_copy(update={"gradient_stiffness": 5e-4})}
    varied = case.model_copy(update={"materials": case.materials.model_copy(update=softer)})
    assert on_rung(varied, 2).materials.network.gradient_stiffness == 5e-4  # asked for, so kept
    sliding = case.model_copy(update={"solver": case.solver.model_copy(update={"contact": "sliding"})})
    assert on_rung(sliding, 1).solver.folding_stiffness is None  # it has its own


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


def test_what_lies_beyond_the_model_is_tried_once_and_stays_failed(tmp_path, inline):
    out = tmp_path / "out"
    sweep = prepare(plan(tmp_path, (BEYOND,), ("5 mL",)), out)
    assert execute([sweep], 1, simulator=NAME) == 3
    assert len(inline[0].started) == 1
    (case,) = case_states(out)
    assert (case.state, case.due) == ("failed", None)
    assert "more compliant" in case.reason


def test_causes():
    from fem.errors import SolverError, ValidityError

    assert cause_of(SolverError("no")) == "convergence"
    assert cause_of(ValidityError("no")) == "validity"
    assert cause_of(MemoryError()) == "infrastructure"
    assert cause_of(OSError(5, "Input/output error")) == "infrastructure"
    assert cause_of(AttributeError("x")) == "fault"


def test_workers_that_never_begin_are_tried_three_times(tmp_path, inline, monkeypatch):
    out = tmp_path / "out"
    sweep = prepare(plan(tmp_path), out)
    monkeypatch.setattr("tests.studies.sweeping.work", lambda arguments: -9)
    assert execute([sweep], 1, simulator=NAME) == 3
    assert len(inline[0].started) == 1 + 2 * 2  # first together, then each case alone
    assert set(table(out)["reason"]) == {"the worker ended with status -9; see logs/path-0001.log; tried 3 times"}

"""The verdict itself can fail, and the command says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import studies.verification as verification
from fem.errors import SolverError
from studies.verification.problem import Check, Problem, Result, Study, observed_order


@dataclass
class Made(Problem):
    """Errors that fall with a given power."""

    name: str = "made"
    title: str = "Made up"
    levels: tuple[int, ...] = (2, 4)
    full_levels: tuple[int, ...] = (2, 4, 8)
    power: float = 2.0
    scale: float = 1e-3
    sharp: bool = False

    def checks(self) -> Sequence[Check]:
        return [Check("error", 1e-3, 2.0, sharp=self.sharp)]

    def run(self, level: int) -> Result:
        return Result({"error": self.scale * level**-self.power})


@dataclass
class Broken(Made):
    def run(self, level: int) -> Result:
        raise SolverError("made to fail")


def passed(problem: Problem) -> bool:
    return all(outcome.passed for outcome in Study.of(problem, full=False).outcomes())


def test_order_and_limit_both_count() -> None:
    assert passed(Made())
    assert passed(Made(power=1.91))  # band of 0.1
    assert not passed(Made(power=1.85))
    assert not passed(Made(scale=1.0))
    assert not passed(Made(scale=float("nan")))


@pytest.mark.parametrize(("power", "sharp"), [(2.09, True), (2.15, False), (2.15, True)])
def test_an_order_above_the_design_counts_where_it_is_sharp(power: float, sharp: bool) -> None:
    problem = Made(power=power, sharp=sharp)
    assert passed(problem)  # coarse levels may be before the limit
    (outcome,) = Study.of(problem, full=True).outcomes()
    assert outcome.passed is (power < 2.1 or not sharp)


def test_observed_order_is_that_of_the_two_finest_levels() -> None:
    assert observed_order([2, 4, 8], [1.0, 0.9, 0.225]) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("problem", "status"),
    [(Made(), verification.PASSED), (Made(power=1.0), verification.FAILED), (Broken(), verification.FAILED)],
    ids=["good", "bad order", "unsolved"],
)
def test_exit_status(problem: Problem, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(verification, "PROBLEMS", {"made": lambda: problem})
    assert verification.command("made", False, tmp_path) == status
    assert (tmp_path / "verification.md").read_text(encoding="utf-8").count("\n") == 3  # heading, rule, one check
    assert (tmp_path / "verification.csv").is_file()


def test_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert verification.command("terzagi", False, None) == verification.UNKNOWN
    said = capsys.readouterr().err
    assert "terzagi" in said
    assert "terzaghi" in said


def test_figure_is_written(tmp_path: Path) -> None:
    verification.verify(["marmarou"], False, tmp_path)
    assert (tmp_path / "verify_marmarou.png").stat().st_size > 10_000  # an empty canvas is a fifth of this

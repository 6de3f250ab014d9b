"""Case files to begin with, pages to look at, and the command line as a user calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from studies import pool
from studies.cli import main
from studies.demo import CASES
from studies.study import read_study
from studies.sweep import execute, prepare
from tests.studies.fake import NAME
from tests.studies.seeing import make_run
from tests.studies.sweeping import Inline

CASE = '[[injection]]\nlevel = "L3/L4"\nvolume = "10 mL"\n'


@dataclass(frozen=True)
class Called:
    status: int
    out: str
    err: str


@pytest.fixture
def case_file(tmp_path: Path) -> Path:
    path = tmp_path / "case.toml"
    path.write_text(CASE, encoding="utf-8")
    return path


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Called]:
    monkeypatch.setattr("studies.cli.stop_on_signals", lambda: None)

    def call(*arguments: object) -> Called:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Called(status, captured.out, captured.err)

    return call


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> list[Inline]:
    """The launchers of the sweeps of a test, which compute where they are."""
    launchers: list[Inline] = []

    def make() -> Inline:
        launchers.append(Inline())
        return launchers[-1]

    monkeypatch.setattr(pool, "Launcher", make)
    monkeypatch.setattr("studies.worker.stop_on_signals", lambda: None)
    return launchers


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of each kind."""
    from studies.report import report

    top = tmp_path_factory.mktemp("pages")
    run = make_run(top / "run", (0.0, 9.0, 18.0, 3 * 3600.0), time={"follow_up": "4 h"})
    vary = ["injection.0.volume=5mL,10mL,20mL", "injection.0.level=L3/L4,T8/T9", "csf.spinal_share=0.32,0.69"]
    case = top / "case.toml"
    case.write_text('[[injection]]\nlevel = "L3/L4"\nvolume = "10 mL"\n')
    demo = [prepare(read_study(CASES / f"{name}.toml"), top / "all" / name) for name in ("demo", "higuchi", "pratt")]
    assert execute([prepare(read_study(case, vary), top / "sweep"), *demo], 2, simulator=NAME) == 0
    return {"run": report(run), "sweep": report(top / "sweep"), "comparison": report(top / "all")}

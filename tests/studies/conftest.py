"""Case files to begin with, and the command line as a user calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from studies import pool
from studies.cli import main
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

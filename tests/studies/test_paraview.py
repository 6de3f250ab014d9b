"""The script for ParaView, run by ParaView's own Python where it is installed."""

import os
import subprocess
from pathlib import Path

import pytest

from studies.paraview import views
from tests.studies.seeing import make_run

SCRIPT = Path(views.__file__)
ON_HOST = Path(__file__).parents[2] / "env" / "on-host"


def paraview() -> list[str]:
    """Command that starts pvpython, on the machine itself if need be; skips where there is none."""
    ways: list[list[str]] = [[], [str(ON_HOST)]] if Path("/usr/.host").exists() else [[]]
    for way in ways:
        asked = [*way, "sh", "-c", "command -v pvpython && command -v xvfb-run"]
        found = subprocess.run(asked, capture_output=True, text=True).stdout.split()
        if len(found) == 2:
            return [*way, "xvfb-run", "-a", "pvpython", "--force-offscreen-rendering"]
        if found and os.environ.get("DISPLAY"):
            return [*way, "pvpython", "--force-offscreen-rendering"]
    pytest.skip("ParaView (pvpython) with a display (xvfb-run) is not installed")


def test_three_views_are_written(tmp_path):
    command = paraview()
    run = make_run(tmp_path / "run")
    out = tmp_path / "views"
    # Open MPI's settings are for the one inside the environment.
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PYTHON"))}
    ended = subprocess.run([*command, SCRIPT, run, out], capture_output=True, text=True, timeout=300, env=plain)
    assert ended.returncode == 0, ended.stderr
    for name in views.SIZES:
        data = (out / f"{name}.png").read_bytes()
        assert data[:4] == b"\x89PNG"
        assert len(data) > 10_000, name
    assert (out / "views.pvsm").stat().st_size > 10_000


def test_place_is_the_fullest_slice(tmp_path):
    run = make_run(tmp_path / "run")
    time, height = views.place(str(run))
    assert time == pytest.approx(18.0)
    assert 0.194 < height < 0.306


def test_a_time_that_is_off_by_a_round_off_is_that_time():
    assert views.nearest([0.0, 30.0, 50.0], 30.0000000000003) == 30.0


def test_wrong_use_is_told_in_one_line(tmp_path, capsys):
    assert views.main([str(tmp_path)]) == 2
    assert views.main([]) == 2
    assert capsys.readouterr().err.count("\n") == 2

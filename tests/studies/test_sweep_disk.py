"""A sweep whose disk is full."""

import subprocess

import pandas as pd
import pytest

from studies import pool
from studies.results import table
from studies.standing import case_states, counts
from studies.sweep import execute, prepare
from studies.worker import run_group
from tests.studies.fake import BULK, NAME
from tests.studies.sweeping import plan


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
        )
    except OSError as error:
        pytest.skip(f"no disk to fill: {error}")
    if mounted.returncode:
        pytest.skip(f"no disk to fill: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stops_a_sweep_and_room_lets_it_go_on(small_disk, tmp_path, monkeypatch, capsys):
    made = plan(tmp_path, (20, 24, 25, 26), ("5 mL", "10 mL"))
    prepare(made, tmp_path / "roomy")
    assert [run_group(tmp_path / "roomy", group, NAME) for group in made.groups] == [0] * 4
    out = small_disk / "out"
    # Not enough room to begin: said before anything is computed.
    assert execute([prepare(made, out)], 2, simulator=NAME) == 3
    assert "are free on the disk" in capsys.readouterr().err
    assert counts(case_states(out)) == {"waiting": 8}
    # Room at first, and then none: three files of 100 kB per case.
    monkeypatch.setattr(pool, "FREE_DISK", 0)
    monkeypatch.setenv(BULK, "100000")
    assert execute([prepare(made, out)], 2, simulator=NAME) == 3
    said = capsys.readouterr().err
    assert "no space left on the disk" in said
    assert "Traceback" not in said
    assert 0 < counts(case_states(out))["done"] < 8
    kept = {
        case.path: (case.path / "status.json").stat().st_mtime_ns for case in case_states(out) if case.state == "done"
    }
    # Still full: the same again. Then room: what is missing is computed, without --resume.
    assert execute([prepare(made, out)], 2, simulator=NAME) == 3
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert execute([prepare(made, out)], 2, simulator=NAME) == 0
    assert {path: (path / "status.json").stat().st_mtime_ns for path in kept} == kept
    left, right = table(out), table(tmp_path / "roomy")
    pd.testing.assert_frame_equal(left.drop(columns="wall_time_s"), right.drop(columns="wall_time_s"))


def test_a_table_that_does_not_fit_is_not_announced(small_disk, tmp_path, inline, monkeypatch, command, capfd):
    monkeypatch.setattr(pool, "FREE_DISK", 0)
    made, out = plan(tmp_path), small_disk / "out"
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    announced = f"{out / 'results.csv'}: 2 cases, 2 done"
    assert announced in capfd.readouterr().out
    before = (out / "results.csv").read_bytes()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(2**22))
    # All cases are done, and nothing is left to do but the tables.
    capfd.readouterr()
    assert execute([prepare(made, out)], 1, simulator=NAME) == 3
    said = capfd.readouterr()
    assert "results.csv" not in said.out
    assert "no space left on the disk, its tables are not up to date" in said.err
    called = command("collect", out)
    assert (called.status, called.out, called.err.count("\n")) == (3, "", 1)
    assert "no space left on the disk" in called.err
    assert (out / "results.csv").read_bytes() == before
    filler.unlink()
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    assert announced in capfd.readouterr().out

"""A reader who goes away, as `| head -1` does, ends nothing but what is shown."""

import os
import subprocess
import sys

import pytest

from studies.modelversion import ROOT
from studies.standing import case_states, counts

SWEPT = """
import functools, sys
from studies import sweep
from studies.cli import main
from tests.studies.fake import NAME
sweep.execute = functools.partial(sweep.execute, simulator=NAME)
sys.exit(main())
"""
TABLE = """
import sys
from studies.console import table_console
table_console().print("a row")
sys.exit(7)
"""


def unread(*command, both=False):
    """Exit status of a command whose output, or that about mistakes, too, nobody reads, and what else it said."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing if both else subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        os.close(writing)
    return ended.returncode, ended.stderr or ""


@pytest.mark.parametrize("both", [False, True])
def test_a_sweep_goes_on_and_tells_how_it_ended(both, case_file, tmp_path):
    out = tmp_path / "out"
    vary = ("--vary", "injection.0.volume=5mL,10mL")
    assert unread("-c", SWEPT, "sweep", case_file, *vary, "--out", out, both=both) == (0, "")
    assert counts(case_states(out)) == {"done": 2}
    assert (out / "results.csv").is_file()


def test_what_is_only_shown_is_no_failure():
    assert unread("-m", "studies", "schema") == (0, "")
    assert unread("-c", TABLE) == (7, "")


def test_a_mistake_that_nobody_reads_of_is_still_one(tmp_path):
    assert unread("-m", "studies", "run", tmp_path / "nowhere.toml", "--out", tmp_path / "out", both=True) == (2, "")

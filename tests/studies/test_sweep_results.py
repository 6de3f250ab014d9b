"""Keys, tables and series of sweeps, and the lines of the documentation that read them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from studies import pool
from studies.compute import compute
from studies.files import locked
from studies.modelversion import CONTENT, ROOT, content_hash
from studies.reading import case_toml
from studies.report import report
from studies.results import collect, shortfall, table
from studies.runfolder import damage, read_status
from studies.solver import run_key
from studies.standing import case_states, counts
from studies.study import numeric_column
from studies.sweep import execute, prepare
from studies.worker import run_group
from tests.studies.fake import HARD, IMPOSSIBLE, NAME
from tests.studies.sweeping import Inline, plan

DOCS = ROOT / "docs" / "sweeps.md"


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    monkeypatch.setattr(pool, "Launcher", Inline)
    monkeypatch.setattr("studies.worker.stop_on_signals", lambda: None)


# -- keys --------------------------------------------------------------------------------------------------------------


def test_folders_are_named_by_content(tmp_path, monkeypatch):
    made = plan(tmp_path)
    out = tmp_path / "out"
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    folders = {path.name for path in (out / "runs").iterdir()}
    assert folders == {f"{case.name}-{run_key(case.case)[:12]}" for case in made.cases}
    # Another version of the model is another result: beside, not over.
    monkeypatch.setattr("studies.solver.model_version", lambda: "another")
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    now = {path.name for path in (out / "runs").iterdir()}
    assert len(now) == 4
    assert folders < now
    monkeypatch.undo()
    monkeypatch.setattr(pool, "Launcher", Inline)
    kept = {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*/series.csv")}
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*/series.csv")} == kept


@pytest.fixture
def sources(tmp_path):
    """A copy of what the version of the model is made from, and of a plot."""
    for pattern in (*CONTENT, "studies/figures.py"):
        for path in ROOT.glob(pattern):
            copy = tmp_path / "copy" / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return tmp_path / "copy"


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_changed_law_or_table_is_another_model_and_a_changed_plot_or_comment_is_not(sources):
    before = content_hash(sources)
    assert before == content_hash(ROOT)
    law = sources / "fem" / "laws" / "mobility.py"
    replace(sources / "studies" / "figures.py", "def ", "def other_")
    replace(law, '"""', '"""Another word. ')
    law.write_text(law.read_text() + "\n# a comment\n")
    assert content_hash(sources) == before
    replace(law, "return ", "return 2.0 * ")
    changed = content_hash(sources)
    assert changed != before
    with (sources / "geometry" / "data" / "levels.csv").open("a") as stream:
        stream.write("\n")
    assert content_hash(sources) not in (before, changed)


def test_a_changed_default_is_another_key(tmp_path):
    case = plan(tmp_path).cases[0].case
    other = case.model_copy(update={"time": case.time.model_copy(update={"max_step": 60.0})})
    assert run_key(other) != run_key(case)


@pytest.mark.parametrize(
    ("value", "column"),
    [
        ("5 mL", ("key_mL", 5.0)),
        ("1e-07 m^2/(Pa s)", ("key_m2_per_Pa_s", 1e-7)),
        ("L3/L4", None),
        ("/data/patient 7 mL", None),
        ("mL", None),
        (3, None),
    ],
)
def test_a_quantity_gets_a_column_of_numbers(value, column):
    assert numeric_column("key", value) == column


# -- the command per case ----------------------------------------------------------------------------------------------


def test_one_command_per_case_for_any_scheduler(tmp_path, command, monkeypatch):
    made = plan(tmp_path, (20, HARD))
    out = tmp_path / "out"
    prepare(made, out)
    assert compute(out, [made.cases[0].name], NAME) == 0
    assert counts(case_states(out)) == {"done": 2, "waiting": 2}  # its path is one computation
    before = (case_states(out)[0].path / "status.json").stat().st_mtime_ns
    assert compute(out, [made.cases[0].name], NAME) == 0
    assert (case_states(out)[0].path / "status.json").stat().st_mtime_ns == before
    assert compute(out, ["path-0002"], NAME) == 3
    called = command("compute", out, "nothing")
    assert (called.status, called.err.count("\n")) == (2, 1)


# -- tables and series -------------------------------------------------------------------------------------------------


def test_table_and_series_of_a_partial_sweep(tmp_path):
    made = plan(tmp_path, (20, 24, HARD, IMPOSSIBLE))
    out = tmp_path / "out"
    prepare(made, out)
    for group in list(made.groups)[:1]:
        run_group(out, group, NAME)
    frame = collect(out)
    assert list(frame["state"]) == ["done"] * 2 + ["waiting"] * 6
    assert xr.open_dataset(out / "series.nc").sizes["case"] == 2
    assert execute([prepare(made, out)], 1, simulator=NAME) == 3
    frame = pd.read_csv(out / "results.csv", keep_default_na=False)
    assert list(frame["state"]) == ["done"] * 4 + ["failed"] * 2 + ["invalid"] * 2
    assert frame["reason"][4].startswith("Newton's method did not converge at t = ")
    assert len(pd.read_parquet(out / "results.parquet")) == 8
    with xr.open_dataset(out / "series.nc") as series:
        # What failed keeps what it reached; what could not be posed has no series.
        assert list(series["state"].values.astype(str)) == ["done"] * 4 + ["failed"] * 2
        for case in case_states(out)[:6]:
            own = pd.read_csv(case.path / "series.csv")
            ours = series["csf_pressure_mmHg"].sel(case=case.name).dropna("step")
            np.testing.assert_array_equal(ours.values, own["csf_pressure_mmHg"].to_numpy())
        assert series["csf_pressure_mmHg"].attrs["units"] == "mmHg"
        assert list(series["injection.0.volume_mL"].values) == [5.0, 10.0] * 3


def test_the_first_line_says_which_corner_failed(tmp_path):
    made = plan(tmp_path, (20, HARD))
    out = tmp_path / "out"
    assert execute([prepare(made, out)], 1, simulator=NAME) == 3
    said = shortfall(table(out))
    corner = "2 of 4 cases have no result (2 failed); all of them at injection.0.rate = 14 mL/min; the first: Newton's"
    assert said.startswith(corner)
    body = report(out).read_text(encoding="utf-8").partition("</h1>")[2]
    assert f'<p class="note">{corner.partition("Newton")[0]}' in body[:300]
    assert shortfall(table(out)[:2]) == ""


def test_the_documentation_reads_them_in_two_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert execute([prepare(plan(tmp_path, (20, 24)), tmp_path / "my-sweep")], 1, simulator=NAME) == 0
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 2
    for block in blocks:
        assert len(block.strip().splitlines()) <= 4
        names: dict[str, object] = {}
        exec(block, names)
        assert len(names["rise"]) == 4


def test_studies_of_the_documentation_are_valid(tmp_path):
    from studies.study import read_study

    blocks = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert blocks
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.toml"
        path.write_text(block, encoding="utf-8")
        assert read_study(path).cases


# -- one large case ----------------------------------------------------------------------------------------------------

UNDER_MPIRUN = """
import pathlib, sys
from studies.answer import answer
from studies.runner import run
case, out, simulator, *settings = sys.argv[1:]
try:
    sys.exit(run(pathlib.Path(case), pathlib.Path(out), settings, simulator=simulator))
except Exception as error:
    sys.exit(answer(error))
"""


@pytest.mark.mpi
def test_mpirun_of_the_users_own(tmp_path, case_file):
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        pytest.skip("no mpirun on PATH")
    out = tmp_path / "out"

    def call(*settings, simulator=NAME):
        script = [sys.executable, "-c", UNDER_MPIRUN, str(case_file), str(out), simulator, *settings]
        return subprocess.run(
            [mpirun, "-n", "3", *script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )

    refused = call("injection.0.volume=10")
    assert refused.returncode == 2
    assert refused.stderr.count("bare number has no unit") == 1
    assert not out.exists()
    done = call()
    assert done.returncode == 0, done.stderr
    status = read_status(out)
    assert status.state == "done"
    assert damage(out, status) == ""
    assert '"ranks": 3' in (out / "provenance.json").read_text()
    again = call()
    assert (again.returncode, again.stdout.count("finished already")) == (0, 1)
    (out / "status.json").unlink()
    with locked(out):
        held = call()
    assert (held.returncode, held.stderr.count("another run is writing there")) == (2, 1)
    torn = call(simulator="tests.studies.fake:simulate_torn")
    assert (torn.returncode, torn.stderr.count("lost a rank")) == (3, 1)
    assert read_status(out) is None  # no rank has waited for the one that is lost, and gone on


def test_a_case_of_a_sweep_is_the_case_alone(tmp_path):
    """The text in a run folder of a sweep, run by itself, has the same key: the same result is meant."""
    from studies.reading import read_case
    from studies.resolve import resolve

    made = plan(tmp_path)
    out = tmp_path / "out"
    assert execute([prepare(made, out)], 1, simulator=NAME) == 0
    for state, case in zip(case_states(out), made.cases, strict=True):
        alone = resolve(read_case(state.path / "case.toml"))
        assert case_toml(alone) == case_toml(case.case)
        assert run_key(alone) == state.entry["key"]

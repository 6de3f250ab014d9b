import csv
import errno
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from studies.errors import InputError
from studies.files import locked
from studies.reading import case_toml, read_case
from studies.resolve import resolve
from studies.runfolder import check_folder, damage, read_status
from studies.runner import run, usual_ranks
from studies.solver import run_key
from tests.studies.fake import ENTERED, NAME, NOTED


def test_run_folder_holds_every_file(case_file, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(case_file, out, simulator=NAME) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {
        "case.toml", "provenance.json", "summary.json", "series.csv", "profile.csv", "fields.pvd", "fields",
        "steps.jsonl", "run.log", "status.json",
    }  # fmt: skip
    assert read_status(out).state == "done"
    assert resolve(read_case(out / "case.toml")) == resolve(read_case(case_file))
    rows = list(csv.DictReader((out / "series.csv").open()))
    steps = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
    assert float(rows[0]["time_s"]) == 0.0
    assert len(steps) == len(rows)
    summary = json.loads((out / "summary.json").read_text())
    for quantity in summary.values():
        assert set(quantity) == {"value", "unit", "definition", "version"}
    assert summary["csf_pressure_rise_mmHg"]["value"] == pytest.approx(3.0)
    assert summary["csf_pressure_rise_mmHg"]["unit"] == "mmHg"
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["ranks"] == 1
    assert {row["tag"] for row in provenance["parameters"]} >= {"assumed", "seen"}
    files = [item.get("file") for item in ElementTree.parse(out / "fields.pvd").iter("DataSet")]
    assert len(files) == 3
    assert all((out / file).is_file() for file in files)
    assert "10 mL at L3/L4" in capsys.readouterr().out


def test_each_of_several_leaks_is_a_column_and_is_defined(case_file, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    leak = '[[leak]]\nlevel = "{}"\nsite = "dorsal"\nhole = "22G"\n'
    for out, levels in ((one, ["L3/L4"]), (two, ["L3/L4", "L1/L2"])):
        path = tmp_path / f"{out.name}.toml"
        path.write_text(case_file.read_text() + "".join(map(leak.format, levels)))
        assert run(path, out, simulator=NAME) == 0
    summary, alone = (json.loads((out / "summary.json").read_text()) for out in (two, one))
    assert not [name for name in alone if name.startswith("leak_0")]
    assert summary["leak_coverage"]["value"] == summary["leak_1_coverage"]["value"] == 0.5
    assert summary["leak_0_coverage"]["value"] == 1.0
    assert summary["leak_1_coverage"]["unit"] == "1"
    assert "leak 1 " in summary["leak_1_coverage"]["definition"]
    assert summary["leak_1_coverage"]["version"] == 1
    (row, *_) = csv.DictReader((two / "series.csv").open())
    assert (row["leak_0_coverage"], row["leak_1_coverage"]) == ("1.0", "0.5")


def test_a_finished_case_is_not_computed_again(case_file, tmp_path):
    out = tmp_path / "out"
    assert run(case_file, out, simulator=NAME) == 0
    before = (out / "run.log").stat().st_mtime_ns
    assert run(case_file, out, simulator=NAME) == 0
    assert (out / "run.log").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="holds another case"):
        run(case_file, out, ["injection.0.volume=11mL"], simulator=NAME)


def test_a_damaged_run_is_computed_again(case_file, tmp_path):
    out = tmp_path / "out"
    assert run(case_file, out, simulator=NAME) == 0
    whole = (out / "series.csv").read_bytes()
    (out / "series.csv").write_bytes(whole[: len(whole) // 2])
    assert run(case_file, out, simulator=NAME) == 0
    assert (out / "series.csv").read_bytes() == whole


def test_pictures_and_notes_in_a_run_folder_may_change(case_file, tmp_path):
    out = tmp_path / "out"
    assert run(case_file, out, simulator=NAME) == 0
    others = [out / name for name in ("figures/sagittal.svg", "paraview/views.vtu", "report.html", "notes.csv")]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("before")
    (out / "status.json").unlink()  # as if it had been cut off
    assert run(case_file, out, simulator=NAME) == 0
    marks = read_status(out).files
    assert set(marks) == {
        "case.toml", "provenance.json", "summary.json", "series.csv", "profile.csv", "fields.pvd", "steps.jsonl",
        *(f"fields/fields_0000_{region}.vtu" for region in ("epidural", "subarachnoid", "cord")),
    }  # fmt: skip
    # Older runs marked whatever lay there.
    status = json.loads((out / "status.json").read_text())
    status["files"] |= {str(path.relative_to(out)): {"bytes": 6} for path in others}
    (out / "status.json").write_text(json.dumps(status))
    for path in others[1:]:
        path.write_text("drawn again")
    others[0].unlink()
    assert damage(out, read_status(out)) == ""
    (out / "profile.csv").unlink()
    assert damage(out, read_status(out)) == "profile.csv is missing"


def test_a_failed_case_is_kept_and_computed_again(case_file, tmp_path, capsys):
    out = tmp_path / "out"
    slow = ["injection.0.rate=14 mL/min"]
    assert run(case_file, out, slow, simulator=NAME) == 3
    assert capsys.readouterr().err.count("\n") == 1
    status = read_status(out)
    assert status.state == "failed"
    assert "did not converge at t = " in status.reason
    assert len((out / "series.csv").read_text().splitlines()) == 4
    assert json.loads((out / "summary.json").read_text())["csf_pressure_peak_mmHg"]["value"] > 4
    assert run(case_file, out, slow, simulator=NAME) == 3


def test_a_case_that_cannot_be_posed_leaves_nothing(case_file, tmp_path, capsys):
    assert run(case_file, tmp_path / "out", ["injection.0.rate=13 mL/min"], simulator=NAME) == 2
    assert "sac 25.0 mm wide" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_version_of_the_model_is_another_result(case_file, tmp_path):
    out = tmp_path / "out"
    case = resolve(read_case(case_file))
    assert run(case_file, out, simulator=NAME) == 0
    assert check_folder(out, run_key(case), case_toml(case))
    with pytest.raises(InputError, match="another version of the model"):
        check_folder(out, "other", case_toml(case))


@pytest.mark.mpi
def test_two_ranks_write_one_folder(case_file, tmp_path):
    out = tmp_path / "out"
    assert run(case_file, out, ranks=2, quiet=True, simulator=NAME) == 0
    assert read_status(out).state == "done"
    assert json.loads((out / "provenance.json").read_text())["ranks"] == 2
    rows = list(csv.DictReader((out / "series.csv").open()))
    assert len({row["time_s"] for row in rows}) == len(rows)
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.mpi
def test_no_rank_begins_in_a_folder_that_another_run_holds(case_file, tmp_path, monkeypatch, capfd):
    """There it would wait for the first one for ever."""
    monkeypatch.setenv(ENTERED, str(tmp_path))
    with locked(tmp_path / "out"):
        assert run(case_file, tmp_path / "out", ranks=2, simulator=NOTED) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "another run is writing there" in said
    assert not (tmp_path / "0").exists()
    assert not (tmp_path / "1").exists()
    assert run(case_file, tmp_path / "out", ranks=2, quiet=True, simulator=NOTED) == 0
    assert (tmp_path / "1").exists()


def test_a_case_runs_on_two_ranks_where_they_have_a_core_each(monkeypatch):
    monkeypatch.setattr("studies.runner._mpirun", lambda: "mpirun")
    for cores, ranks in ((1, 1), (2, 2), (16, 2)):
        monkeypatch.setattr("studies.runner.cores", lambda count=cores: count)
        assert usual_ranks() == ranks
    monkeypatch.setattr("studies.runner._mpirun", lambda: None)
    assert usual_ranks() == 1


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path, monkeypatch):
    def nowhere(path, *arguments, **options):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(Path, "mkdir", nowhere)  # as below /proc
    with pytest.raises(InputError, match="allowed is a folder that can be written"), locked(tmp_path / "x"):
        pass


def test_a_full_disk_is_not_taken_for_bad_input(tmp_path, monkeypatch):
    def full(path, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space left"), locked(tmp_path / "x"):
        pass

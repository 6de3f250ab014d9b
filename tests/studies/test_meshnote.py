"""Everything that is written says the mesh and its error, and is read as before: by the project and by others."""

import csv
import xml.etree.ElementTree as ElementTree

import meshio
import pandas as pd
import pytest
import pyvista
import xarray as xr

from geometry import read_mesh
from studies.case import Case
from studies.meshnote import MESH, PLACES, mesh_line, say_mesh, xml_comment
from studies.plot.fields import read_fields
from studies.plot.run import read_run
from studies.provenance import mesh_note
from studies.reading import read_case, validate_case
from studies.resolve import resolve
from studies.results import collect
from studies.runner import run
from studies.standing import case_states, read_summary
from studies.sweep import execute, prepare
from studies.verification.conservation import balances
from tests.studies.fake import NAME
from tests.studies.seeing import make_run
from tests.studies.sweeping import plan

NOTE = "draft; discretisation error not yet measured"
"""That of `tests.studies.seeing`."""

INJECTION = {"injection": [{"level": "L3/L4", "volume": "10 mL"}]}
OWN = {"anatomy": {"mesh": "/somewhere/spine.msh"}}
TABLES = ("series.csv", "profile.csv")


def case_of(**changes: object) -> Case:
    return validate_case(INJECTION | changes)


def without_note(folder) -> None:
    """The tables of a run as they were before they had the column."""
    for name in TABLES:
        pd.read_csv(folder / name).drop(columns=MESH).to_csv(folder / name, index=False)


@pytest.mark.parametrize("size", ["draft", "default", "fine", "3 mm"])
def test_every_size_of_mesh_has_a_note_that_a_table_holds_unquoted(size, monkeypatch):
    for version in ("now", "another"):
        monkeypatch.setattr("fem.MODEL_VERSION", version)
        note = mesh_note(case_of(mesh={"size": size}))
        assert note.startswith(f"{size}; discretisation error ")
        assert not set(note) & set(',"\n')
    assert mesh_note(case_of(**OWN)) == "own mesh; discretisation error not known"


@pytest.mark.parametrize("size", ["draft", "3 mm"])
def test_tables_of_a_run_say_it_last_in_every_row(case_file, tmp_path, size):
    out = tmp_path / "out"
    assert run(case_file, out, [f"mesh.size={size}"], simulator=NAME) == 0
    note = read_summary(out)[MESH]
    assert note == mesh_note(resolve(read_case(out / "case.toml")))
    assert note.startswith(f"{size}; discretisation error ")
    for name in TABLES:
        with (out / name).open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        assert rows
        assert list(rows[0])[-1] == MESH
        assert {row[MESH] for row in rows} == {note}
    assert mesh_line(note) in (out / "fields.pvd").read_text(encoding="utf-8")
    assert balances(out)  # a reader of all columns as numbers


def test_fields_say_it_to_every_reader(tmp_path):
    folder = make_run(tmp_path / "run", (0.0, 18.0))
    files = sorted((folder / "fields").glob("*.vtu"))
    assert len(files) == 6
    for path in files:
        grid = meshio.read(path)
        assert list(grid.field_data) == [mesh_line(NOTE)]
        shown = pyvista.read(path)
        assert list(shown.field_data) == [mesh_line(NOTE)]
        assert shown.n_cells == len(grid.cells[0].data) > 0
        assert set(shown.cell_data.keys()) == set(grid.cell_data)
    text = (folder / "fields.pvd").read_text(encoding="utf-8")
    assert xml_comment(NOTE) in text
    assert ElementTree.fromstring(text).tag == "VTKFile"
    reader = pyvista.get_reader(folder / "fields.pvd")
    assert reader.time_values == read_fields(folder).times == [0.0, 18.0]
    assert reader.read().n_blocks == 3


def test_runs_from_before_the_column_are_read_as_those_with_it(tmp_path):
    folder = make_run(tmp_path / "run", (0.0,))
    new = read_run(folder)
    without_note(folder)
    old = read_run(folder)
    pd.testing.assert_frame_equal(old.series, new.series)
    pd.testing.assert_frame_equal(old.profile, new.profile)
    assert all(kind.kind == "f" for kind in new.series.dtypes)


def test_tables_of_a_sweep_say_it_case_by_case(tmp_path):
    out = tmp_path / "out"
    assert execute([prepare(plan(tmp_path), out)], 1, simulator=NAME) == 0
    notes = [read_summary(case.path)[MESH] for case in case_states(out)]
    assert list(pd.read_csv(out / "results.csv")[MESH]) == notes
    for older in (False, True):
        if older:
            without_note(case_states(out)[0].path)
            collect(out)
        with xr.open_dataset(out / "series.nc") as series:
            assert list(series[MESH].values.astype(str)) == notes
            assert MESH not in series.data_vars
            assert series["csf_pressure_mmHg"].notnull().any("step").all()


@pytest.mark.parametrize(("suffix", "size"), [*((suffix, "draft") for suffix in PLACES), (".vtu", "4.5 mm")])
def test_a_mesh_says_it_and_is_read_back(case_file, tmp_path, command, suffix, size):
    if suffix == ".xdmf":
        pytest.importorskip("h5py")
    path = tmp_path / f"spine{suffix}"
    span = 'anatomy.span=["L3", "L5"]'
    called = command("mesh", case_file, "--set", span, "--set", f"mesh.size={size}", "--out", path)
    assert (called.status, called.err) == (0, "")
    note = mesh_note(case_of(mesh={"size": size}))
    assert f"mesh {note}" in called.out
    assert path.read_bytes().count(mesh_line(note).encode()) == 1
    assert "dura" in read_mesh(path).surfaces
    if suffix == ".msh":
        import gmsh

        gmsh.initialize(["-noenv"], readConfigFiles=False, interruptible=False)
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.open(str(path))
        assert len(gmsh.model.getPhysicalGroups(3)) == len({*read_mesh(path).region})
        gmsh.finalize()
    elif suffix in (".vtu", ".vtk"):
        assert pyvista.read(path).n_cells > 0


def test_a_format_without_a_place_for_it_is_told(case_file, tmp_path, command):
    path = tmp_path / "spine.node"
    called = command("mesh", case_file, "--set", "mesh.size=draft", "--out", path)
    assert called.status == 0
    assert "has no place for the error of the mesh" in called.err


def test_text_of_any_kind_fits_a_file_of_xml(tmp_path):
    path = tmp_path / "x.vtu"
    path.write_text('<VTKFile type="UnstructuredGrid"><UnstructuredGrid></UnstructuredGrid></VTKFile>')
    odd = 'own "mesh" <a & b> -- c'
    assert say_mesh(path, odd)
    (array,) = ElementTree.parse(path).iter("DataArray")
    assert array.get("Name") == mesh_line(odd)
    assert ElementTree.fromstring(f"{xml_comment(odd)}<a/>").tag == "a"

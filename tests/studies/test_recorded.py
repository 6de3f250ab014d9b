"""Notes below figures and on pages are of the runs' own model and mesh, whatever the tables of today say."""

import html
import json
import re
from dataclasses import replace

import pandas as pd
import pytest

import fem
from studies.compare import compare, gather
from studies.demo import CASES, REFERENCE
from studies.plot import style
from studies.provenance import error_table
from studies.reading import validate_case
from studies.recorded import BETWEEN, NOT_RECORDED, Recorded, begun, mesh_notes, recorded, recorded_in, versions
from studies.report.sure import sure
from studies.study import read_study
from studies.sweep import execute, prepare
from tests.studies.fake import NAME

INJECTION = {"injection": [{"level": "L3/L4", "volume": "10 mL"}]}
TABLE = {"draft": ("sac area 7 %", "10"), "default": ("sac area 1 %", "10"), "fine": ("not measured", "10")}


def case_of(size="default", **changes):
    return validate_case(INJECTION | {"mesh": {"size": size}} | changes)


@pytest.fixture
def errors(monkeypatch):
    """A table of mesh errors of version 10, and a model of version 11."""
    monkeypatch.setattr("studies.recorded.error_table", lambda: TABLE)
    monkeypatch.setattr(fem, "MODEL_VERSION", "11")


@pytest.mark.parametrize(
    ("size", "version", "error", "said"),
    [
        # The table is of the run's version: it is right, whatever was known when the run began.
        (
            "default",
            "10",
            "sac area 9 % (of model version 9, this is 10)",
            "sac area 1 % (these runs: model version 10",
        ),
        # It is not: what the run wrote down was of its own version, or of the one that it names.
        ("draft", "6", "sac area 35 %", "sac area 35 % (these runs: model version 6; this is 11)"),
        (
            "draft",
            "6",
            "sac area 3 % (of model version 5; this is 6)",
            "sac area 3 % (of model version 5; these runs: 6)",
        ),
        ("default", "11", "sac area 1 % (of model version 10; this is 11)", "(of model version 10; these runs: 11)"),
        # Nothing was written down: the table's, and that it is of another version.
        ("default", "11", "", "sac area 1 % (of model version 10; these runs: 11)"),
        ("draft", "6", "not known", "sac area 7 % (of model version 10; these runs: 6)"),
        ("default", NOT_RECORDED, "", "sac area 1 % (of model version 10; these runs: not recorded)"),
        ("3 mm", "11", "not known", "3 mm; discretisation error not known"),
        ("fine", "11", "", "fine; discretisation error not measured"),
    ],
)
def test_the_note_is_of_the_runs_own_version(errors, size, version, error, said):
    note = Recorded(case_of(size), version, error).mesh_note
    assert said in note
    assert note.startswith(f"{size}; discretisation error ")
    assert not set(note) & set(",\n")


def test_a_mesh_of_the_users_own_has_no_error(errors):
    own = case_of(anatomy={"mesh": "/somewhere/spine.msh"})
    assert Recorded(own, "11", "sac area 3 %").mesh_note == "own mesh; discretisation error not known"


def test_records_are_read_from_the_run_folder(tmp_path):
    case = case_of()
    assert not recorded_in(case, tmp_path).begun
    record = {"model_version": "6", "mesh": {"size": "default", "discretisation_error": "sac area 35 %"}}
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    assert recorded_in(case, tmp_path) == recorded(case, record) == Recorded(case, "6", "sac area 35 %")
    (tmp_path / "provenance.json").write_text("{")
    (tmp_path / "summary.json").write_text("{}")
    assert recorded_in(case, tmp_path) == Recorded(case, NOT_RECORDED)


def test_a_case_without_a_run_speaks_where_none_has_one():
    ran, waits = Recorded(case_of(), "6"), replace(Recorded(case_of("draft"), "11"), begun=False)
    assert begun([ran, waits]) == [ran]
    assert versions([ran, waits]) == {"6"}
    assert len(mesh_notes([ran, waits])) == 1
    assert mesh_notes([waits])[0].startswith("draft; ")


def test_every_figure_of_another_version_is_told_from_the_runs():
    words = sure([Recorded(case.case, "0") for case in read_study(CASES / "pratt.toml").cases])
    for name in ("mesh", "time steps", "network stiffness", "spinal share of the compliance", "parameters"):
        assert re.search(r"\(of model version \d+; these runs: 0\)", words[name]), name
    words = sure([Recorded(case.case, error_table()["default"][1]) for case in read_study(CASES / "pratt.toml").cases])
    for name in ("mesh", "time steps", "network stiffness", "spinal share of the compliance"):
        assert "of model version" not in words[name]


def footnotes(folder):
    """The line below every figure, by name."""
    found = {}
    for path in (folder / "figures").glob("*.svg"):
        texts = re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"), re.S)
        found[path.stem] = " ".join(html.unescape(next(text for text in texts if "Mesh: " in text)).split())
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The study of volume and level on the draft mesh, both protocols on the default one."""
    out = tmp_path_factory.mktemp("mixed")
    settings = {"demo": ['mesh.size="draft"'], "higuchi": [], "pratt": []}
    plans = {name: read_study(CASES / f"{name}.toml", settings=given) for name, given in settings.items()}
    assert execute([prepare(made, out / name) for name, made in plans.items()], 2, simulator=NAME) == 0
    return out


def test_the_reference_sweep_is_on_the_draft_mesh_and_the_protocols_are_not():
    sizes = {name: {case.case.mesh.size for case in read_study(CASES / file).cases} for name, file in REFERENCE.items()}
    assert sizes == {name: {"draft"} for name in ("reference", "coverage")} | {
        name: {"default"} for name in ("compression", "higuchi", "pratt")
    }


def test_every_figure_names_the_meshes_of_its_runs(folder, monkeypatch):
    monkeypatch.setattr(style, "NOTE_LETTERS", 10_000)
    page = compare(folder)
    notes = footnotes(folder)
    for name in ("displaced_csf", "static_pressure"):
        assert "Mesh: default; discretisation error " in notes[name]
        assert "draft" not in notes[name]
    for name in ("volume_and_level", "time_course", "relief"):
        assert "Mesh: draft; discretisation error " in notes[name]
        assert BETWEEN not in notes[name]
    frame = pd.read_csv(folder / "comparison.csv").set_index("measurement")
    assert frame.loc["pratt-20", "mesh"].startswith("default; ")
    assert frame.loc["vakharia-20", "mesh"].startswith("draft; ")
    assert pd.isna(frame.loc["mass-effect-gone", "mesh"])
    relief = pd.read_csv(folder / "relief.csv")
    assert relief.loc[relief["predicted_rise_mmHg"] > 0, "mesh"].str.startswith("draft; ").all()
    text = page.read_text(encoding="utf-8")
    assert "Mesh: demo: draft; discretisation error " in text
    assert "Mesh: higuchi, pratt: default; discretisation error " in text


def test_several_meshes_in_one_figure_are_each_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "NOTE_LETTERS", 10_000)
    vary = ["injection.0.level=L3/L4", "injection.0.volume=10mL,20mL"]
    leak = 'leak=[{level="L3/L4", site="dorsal"}]'  # for the coverage, beside pressures of runs without
    settings = (['mesh.size="draft"'], ['mesh.size="default"', leak])
    plans = [read_study(CASES / "demo.toml", vary, each) for each in settings]
    sweeps = [prepare(plan, tmp_path / f"sweep-{number}") for number, plan in enumerate(plans)]
    assert execute(sweeps, 2, simulator=NAME) == 0
    compare(tmp_path)
    assert re.search(r"Mesh: default; .* \| draft; discretisation error ", footnotes(tmp_path)["relief"])


def test_runs_on_another_mesh_are_no_points_of_a_curve(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "NOTE_LETTERS", 10_000)
    volumes = {"draft": "10mL,20mL", "default": "19mL"}
    plans = [
        read_study(
            CASES / "demo.toml",
            ["injection.0.level=L3/L4", f"injection.0.volume={volume}"],
            [f'mesh.size="{size}"'],
        )
        for size, volume in volumes.items()
    ]
    sweeps = [prepare(plan, tmp_path / f"sweep-{number}") for number, plan in enumerate(plans)]
    assert execute(sweeps, 2, simulator=NAME) == 0
    compare(tmp_path)
    for name in ("volume_and_level", "time_course", "relief"):
        assert "Mesh: default" not in footnotes(tmp_path)[name]


def test_runs_of_another_version_are_told_below_every_figure_and_on_the_page(folder, monkeypatch):
    monkeypatch.setattr(style, "NOTE_LETTERS", 10_000)
    monkeypatch.setattr("studies.standing.damage", lambda folder, status: "")  # what is changed here is a record
    (known,) = {version for _, version in error_table().values()}
    kept = {path: path.read_text() for path in folder.rglob("provenance.json")}
    try:
        for path, text in kept.items():
            record = json.loads(text) | {"model_version": "0"}
            record["mesh"].pop("discretisation_error")
            path.write_text(json.dumps(record))
        text = compare(folder).read_text(encoding="utf-8")
    finally:
        for path, before in kept.items():
            path.write_text(before)
    for note in footnotes(folder).values():
        assert f"(of model version {known}; these runs: 0)" in note
    frame = pd.read_csv(folder / "comparison.csv").dropna(subset="mesh")
    assert frame["mesh"].str.endswith(f"(of model version {known}; these runs: 0)").all()
    assert "these runs: 0)" in text


def test_the_static_rise_has_every_band_that_is_known(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "NOTE_LETTERS", 10_000)
    compare(folder)
    note = footnotes(folder)["static_pressure"]
    for said in ("spinal share .32 to .69", "what the fit leaves open, one SD", "Not drawn: network 10 Pa to 300 Pa"):
        assert said in note
    line = next(line for line in gather(folder).lines if line.measurement == "pratt-20")
    assert line.predicted_network_low < line.predicted < line.predicted_network_high
    assert line.predicted < line.predicted_at_share_032 < line.predicted_at_share_069
    assert line.predicted_sd > 0
    assert pd.isna(line.predicted_low)  # one reading of one run has no band of its own

    given = ["csf.spinal_share=0.4", 'materials.network.youngs_modulus="30 Pa"', 'materials.veins.slope="3e-5 1/Pa"']
    own = [prepare(read_study(CASES / "pratt.toml", settings=given), tmp_path / "pratt")]
    own.append(prepare(read_study(CASES / "demo.toml", ["injection.0.level=L3/L4"]), tmp_path / "demo"))
    assert execute(own, 2, simulator=NAME) == 0
    page = compare(tmp_path).read_text(encoding="utf-8")
    note = footnotes(tmp_path)["static_pressure"]
    assert note.startswith(
        "No band of the spinal share: these runs have one of their own. What the fit leaves open is not"
    )
    assert "network" not in note
    assert "The static rises have no band of the spinal share" in page
    found = gather(tmp_path)
    (line,) = (line for line in found.lines if line.measurement == "pratt-20")
    assert all(pd.isna(value) for value in (line.predicted_at_share_032, line.predicted_network_low, line.predicted_sd))
    assert found.banded  # the study of volume and level beside it measures its share

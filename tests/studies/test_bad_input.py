"""Mistakes as users make them: status 2, one clear line, no traceback, nothing written."""

import pytest

GOOD = '[[injection]]\nlevel = "L3/L4"\nvolume = "10 mL"\n'
MISTAKES = {
    "no injection": ("", "injection: got none"),
    "empty injection": ("injection = []", "injection: got none"),
    "injection is a table": ('[injection]\nlevel = "L3/L4"\nvolume = "10 mL"', "[[injection]]"),
    "no volume": ('[[injection]]\nlevel = "L3/L4"', "injection.0.volume: got nothing"),
    "bare number": ('[[injection]]\nlevel = "L3/L4"\nvolume = 10', "bare number has no unit"),
    "missing unit": (GOOD.replace("10 mL", "10"), "the unit is missing"),
    "wrong unit": (GOOD.replace("10 mL", "10 mmHg"), "the unit is of another kind"),
    "unknown unit": (GOOD.replace("10 mL", "10 drops"), "the unit is not known"),
    "negative volume": (GOOD.replace("10 mL", "-10 mL"), "0 to 150 mL"),
    "volume not finite": (GOOD.replace("10 mL", "nan mL"), "must be finite"),
    "huge volume": (GOOD.replace("10 mL", "1e6 mL"), "0 to 150 mL"),
    "unknown key": (GOOD.replace("volume", "volum"), 'did you mean "volume"?'),
    "unknown table": (GOOD + "[tmie]\nfollow_up = '1 min'", 'did you mean "time"?'),
    "unknown level": (GOOD.replace("L3/L4", "L3/L9"), 'the nearest is "L3/L4"'),
    "level outside the span": (GOOD + '[anatomy]\nspan = ["T1", "T12"]', "within anatomy.span, T1-T12"),
    "span upwards": (GOOD + '[anatomy]\nspan = ["S2", "T10"]', "from cranial to caudal"),
    "unknown patient": ('patient = "pdhp"\n' + GOOD, '"healthy", "pdph" or "sih"'),
    "no TOML": ("this is no TOML", "no valid TOML"),
    "truncated": (GOOD[:-8], "no valid TOML"),
    "duplicate key": (GOOD + 'volume = "5 mL"', "no valid TOML"),
    "unknown material": (GOOD + "[materials.fatt]\nmobility = '1e-7 m^2/(Pa s)'", 'did you mean "fat"?'),
    "material of another dimension": (GOOD + "[materials.fat]\nyoungs_modulus = '15 mmHg/mL'", "of another kind"),
    "override of an unknown level": (GOOD + "[anatomy.overrides.L7]\nsac_ap = '13 mm'", "a level or an interspace"),
    "impossible anatomy": (GOOD + "[anatomy.overrides.L3]\nsac_ap = '40 mm'", "L3"),
    "missing mesh": (GOOD + "[anatomy]\nmesh = 'nowhere.msh'", "nowhere.msh"),
    "a study": (GOOD + "[sweep.vary]\n'injection.0.volume' = ['5 mL']", "bloodpatch sweep"),
    "leak that nothing sustains": (
        GOOD + "[[leak]]\nlevel = 'L3/L4'\nsite = 'dorsal'\n[csf]\nformation = '0 mL/min'",
        "sustains no leak",
    ),
    "sleeve in the midline": (
        GOOD + "[[leak]]\nlevel = 'L3/L4'\nsite = 'sleeve'\nside = 'midline'",
        '"left" or "right"',
    ),
    "hole and conductance": (
        GOOD + "[[leak]]\nlevel = 'L3/L4'\nsite = 'dorsal'\nhole = '22 G'\nconductance = '0.1 mL/(min mmHg)'",
        "leak.0.hole",
    ),
    "needle between laminae that are fused": (GOOD.replace("L3/L4", "S1/S2"), "injection.0.approach"),
    "stop at what the window lacks": (
        GOOD.replace("L3/L4", "T8/T9") + "stop_at = 'sac_area_L3'\n[anatomy]\nspan = ['T6', 'T11']",
        "injection.0.stop_at",
    ),
    "stop at the cord where there is none": (
        GOOD + "stop_at = 'cord_area'\n[anatomy]\nspan = ['L2', 'S1']",
        "injection.0.stop_at",
    ),
    "unknown leak site": (GOOD + "[[leak]]\nlevel = 'L3/L4'\nsite = 'lateral'", '"dorsal", "ventral" or "sleeve"'),
    "unknown fluid": (GOOD + "material = 'gelatine'", '"blood", "saline" or "fibrin-glue"'),
    "negative start": (GOOD + "start = '-1 s'", "0 to 604800 s"),
    "start beyond all bounds": (
        GOOD.replace("10 mL", "20 mL") + 'rate = "0.1 mL/h"\n' + GOOD,
        "injection.1.start",
    ),
    "gauge in superscript": (GOOD + "gauge = '²² G'", "10 G to 34 G"),
    "output after the end": (GOOD + "[output]\ntimes = ['1 min', '3 h']", "output.times.1"),
    "needle too thin": (GOOD + "gauge = '30 G'", "what a hand can press"),
    "standing up upright": (
        "posture = 'upright'\n" + GOOD + "[output]\nupright = true",
        "output.upright: got true with posture upright",
    ),
    "mesh size": (GOOD + "[mesh]\nsize = 'corse'", '"draft", "default", "fine"'),
    "unphysical pressure": (GOOD + "[csf]\nbaseline_pressure = '-5 mmHg'", "csf.reference_pressure"),
    "number beyond all bounds": (GOOD + "[solver]\ngrowth = " + "9" * 400, "without unit from 1 to 4"),
    "no number": (GOOD + "[solver]\ngrowth = nan", "without unit from 1 to 4"),
    "unicode": ('"pati\\u0000ent" = "\\u202e"\n' + GOOD, "unknown key"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_run_refuses(name, command, tmp_path):
    text, said = MISTAKES[name]
    path = tmp_path / "case.toml"
    path.write_text(text, encoding="utf-8")
    called = command("run", path, "--out", tmp_path / "out")
    assert called.status == 2
    assert said in called.err
    assert called.err.count("\n") == 1
    assert "Traceback" not in called.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "injection.0.volum=5mL"], "did you mean"),
        (["--set", "injection.0.volume"], "KEY=VALUE"),
        (["--set", "injection.7.volume=5mL"], "an index from 0 to 1"),
        (["--set", "injection.0.volume.x=5mL"], "is no table"),
        (["--set", "=5mL"], "KEY=VALUE"),
        (["--set", "injection.².volume=5mL"], "an index from 0 to 1"),
        (["--ranks", "none"], "--ranks"),
        (["--bogus"], "--bogus"),
    ],
)
def test_run_refuses_options(arguments, said, command, case_file, tmp_path):
    called = command("run", case_file, "--out", tmp_path / "out", *arguments)
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert said in called.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "said"), [("x.foo", "is unknown"), ("x.stl", "no tetrahedra"), ("x", "a suffix")])
def test_mesh_refuses_formats_before_it_makes_anything(name, said, command, case_file, tmp_path):
    called = command("mesh", case_file, "--out", tmp_path / "new" / name)
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert said in called.err
    assert not (tmp_path / "new").exists()


def test_mesh_says_what_a_format_loses(command, case_file, tmp_path):
    called = command("mesh", case_file, "--set", "mesh.size=draft", "--out", tmp_path / "spine.node")
    assert called.status == 0
    assert "cannot serve as anatomy.mesh" in called.err
    called = command("mesh", case_file, "--set", "mesh.size=draft", "--out", tmp_path / "spine.msh")
    assert (called.status, called.err) == (0, "")


def test_unreadable_files(command, tmp_path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.toml").write_text("#" * 2_000_000)
    for name, said in (
        ("nowhere.toml", "no such file"),
        (".", "a folder"),
        ("binary.toml", "UTF-8"),
        ("large.toml", "bytes"),
    ):
        called = command("run", tmp_path / name, "--out", tmp_path / "out")
        assert (called.status, called.err.count("\n")) == (2, 1)
        assert said in called.err


def test_out_that_holds_something_else(command, case_file, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    for out, said in (
        (tmp_path / "notes", "holds other files"),
        (case_file, "a file"),
        (case_file / "below", "cannot"),
    ):
        called = command("run", case_file, "--out", out)
        assert (called.status, called.err.count("\n")) == (2, 1)
        assert said in called.err
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        (["injection.0.volume=5mL,10"], "case 2 of 2: injection.0.volume"),
        (["injection.0.volume=5mL,0.005L"], "the same as case 1"),
        (["injection.0.level=L3/L4,L9/L9"], "case 2 of 2: injection.0.level"),
        (["injection.0.volum=5mL,10mL"], "did you mean"),
        (["injection.0.volume"], "KEY=VALUE"),
        ([], "nothing that varies"),
    ],
)
def test_sweep_refuses(vary, said, command, case_file, tmp_path):
    options = [part for text in vary for part in ("--vary", text)]
    called = command("sweep", case_file, "--out", tmp_path / "out", *options)
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert said in called.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ("[sweep]\nmode = 'lhs'", "dotted keys"),
        ("[sweep]\nmode = 'diagonal'", "sweep.mode"),
        ("[sweep.vary]\n'injection.0.volume' = '5 mL'", "a list of values"),
        (
            "[sweep]\nmode='zip'\n[sweep.vary]\n'injection.0.volume'=['5 mL','6 mL']\n'injection.0.rate'=['9 mL/min']",
            "one length",
        ),
        ("[sweep]\nmode = 'list'", "[[sweep.cases]]"),
        ("[sweep]\nmood = 'list'", 'did you mean "mode"'),
        ("sweep = 3", "sweep"),
    ],
)
def test_study_files_refused(sweep, said, command, tmp_path):
    study = tmp_path / "study.toml"
    study.write_text(f"{sweep}\n{GOOD}" if sweep.startswith("sweep =") else f"{GOOD}{sweep}\n", encoding="utf-8")
    called = command("sweep", study, "--out", tmp_path / "out")
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert said in called.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["status", "collect", "compare"])
def test_folders_that_hold_no_sweep(name, command, tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        called = command(name, folder)
        assert (called.status, called.err.count("\n")) == (2, 1)


def test_executor_that_is_not_there(command, case_file, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    called = command(
        "sweep", case_file, "--vary", "injection.0.volume=1mL,2mL", "--executor", "slurm", "--out", tmp_path / "out"
    )
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert "sbatch, squeue, srun, scancel not found on PATH" in called.err
    called = command(
        "sweep", case_file, "--vary", "injection.0.volume=1mL,2mL", "--executor", "cloud", "--out", tmp_path / "out"
    )
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert 'got "cloud"; allowed is local or slurm' in called.err
    assert not (tmp_path / "out").exists()


IMPOSSIBLE = "[anatomy.overrides.L3]\nsac_ap = '40 mm'\n"


@pytest.mark.parametrize("dry", [[], ["--dry-run", "--no-pilot"]])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + IMPOSSIBLE, "L3"),
        (GOOD + "[mesh]\nsize = '6 mm'", "0.5 to 5 mm"),
        (GOOD + "[solver]\nsource_radius = '0.1 mm'", "1 to 15 mm"),
        (GOOD + "[anatomy]\nmesh = 'broken.msh'", "anatomy.mesh"),
    ],
    ids=["anatomy", "mesh size", "source", "mesh file"],
)
def test_a_sweep_of_which_nothing_can_be_posed_is_refused(text, said, dry, command, tmp_path):
    (tmp_path / "broken.msh").write_text("no mesh", encoding="utf-8")
    case, out = tmp_path / "case.toml", tmp_path / "out"
    case.write_text(text, encoding="utf-8")
    called = command("sweep", case, "--vary", "injection.0.volume=5mL,10mL", "--out", out, *dry)
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert said in called.err
    assert not out.exists()

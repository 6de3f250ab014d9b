"""Mistakes as users make them: status 2, one clear line, no traceback, nothing written."""

import pytest

from geometry import Anatomy, MeshSize, build_mesh, write_mesh
from studies.bound import main as bound

GOOD = '[[injection]]\nlevel = "L3/L4"\nvolume = "10 mL"\n'
LEAK = '[[leak]]\nlevel = "L3/L4"\nsite = "dorsal"\n'
HEALTHY = 'patient = "healthy"\n'
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
        GOOD + LEAK + "[csf]\nformation = '0 mL/min'",
        'csf.formation: got "0 mL/min"; it sustains no leak',
    ),
    "hole that nothing sustains": (GOOD + LEAK + "hole = '22 G'\n[csf]\nformation = '0 mL/min'", "csf.formation"),
    "hole that hardly anything sustains": (
        GOOD + LEAK + "hole = '22 G'\n[csf]\nformation = '1e-30 mL/min'",
        'at least "0.01 mL/min"',
    ),
    "leak of a healthy patient": (HEALTHY + GOOD + LEAK, 'csf.baseline_pressure: got "8.6 mmHg"; formation of'),
    "leak at the set point": (
        GOOD + LEAK + "[csf]\nbaseline_pressure = '8.6 mmHg'",
        "more than 0.0026 mmHg below the set point",
    ),
    "leak tighter than any hole": (
        HEALTHY + GOOD + LEAK + "conductance = '1e-20 mL/(min mmHg)'",
        "leak.0.conductance: got",
    ),
    "leak that carries nothing": (
        HEALTHY + GOOD + LEAK + "conductance = '1e-8 mL/(min mmHg)'",
        'leak.0.conductance: got "1e-08 mL/(min mmHg)"; allowed with formation of',
    ),
    "leak without resistance": (GOOD + LEAK + "conductance = '1e9 mL/(min mmHg)'", "1e-09 to 1000 mL/(min mmHg)"),
    "leak that leaves no pressure": (
        GOOD + LEAK + "conductance = '900 mL/(min mmHg)'",
        "are 7.7e-05 mL/(min mmHg) to 22.5 mL/(min mmHg) in all leaks together",
    ),
    "hole that leaves no pressure": (GOOD + LEAK + "hole = '10 G'", 'leak.0.hole: got "10 G"; allowed with'),
    "hole that leaves another leak nothing": (
        GOOD + LEAK.replace("dorsal", "ventral") + LEAK + "hole = '17 G'",
        'leak.1.hole: got "17 G"; it leaves nothing',
    ),
    "pressure below any epidural pressure": (
        GOOD + LEAK + "conductance = '0.5 mL/(min mmHg)'\n[csf]\nbaseline_pressure = '0.3 mmHg'",
        "which allows no conductance with",
    ),
    "leak into an epidural space at the set point": (
        GOOD + LEAK + "hole = '22 G'\n[csf]\nepidural_pressure = '8.6 mmHg'",
        'csf.epidural_pressure: got "8.6 mmHg"; the epidural pressure',
    ),
    "outflow without resistance": (
        GOOD + LEAK + "hole = '22 G'\n[csf]\noutflow_resistance = '1e-20 mmHg/(mL/min)'",
        "csf.outflow_resistance",
    ),
    "two leaks at one place": (GOOD + LEAK + LEAK, "leak.1: got a second dorsal leak at L3/L4, midline, beside leak.0"),
    "two leaks of one sleeve": (
        GOOD + LEAK.replace("dorsal", "sleeve") + LEAK.replace("dorsal", "sleeve") + "side = 'left'",
        "leak.1: got a second sleeve leak",
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
    "stop below the pressure at rest": (
        GOOD + "stop_at = '2 mmHg'",
        'injection.0.stop_at: got "2 mmHg"; allowed is a limit above the pressure at rest, csf.epidural_pressure',
    ),
    "stop in another unit": (GOOD + "stop_at = '30 Pa'", "injection.0.stop_at"),
    "stop at the pressure at rest": (GOOD + "stop_at = '4.4 mmHg'", "injection.0.stop_at"),
    "stop at roots that rest beyond it": (
        GOOD + "stop_at = 'root_venules'\n[csf]\nbaseline_pressure = '40 mmHg'\nepidural_pressure = '35 mmHg'",
        'injection.0.stop_at: got "root_venules"',
    ),
    "unknown leak site": (GOOD + "[[leak]]\nlevel = 'L3/L4'\nsite = 'lateral'", '"dorsal", "ventral" or "sleeve"'),
    "unknown fluid": (GOOD + "material = 'gelatine'", '"blood", "saline" or "fibrin-glue"'),
    "negative start": (GOOD + "start = '-1 s'", "0 to 604800 s"),
    "start beyond all bounds": (
        GOOD + "start = '604790 s'",
        'injection.0.start: got "604790 s"; 10 mL from 604790 s on would end at 604820 s; allowed is an end within',
    ),
    "injection that hardly ends": (GOOD + "rate = '0.1 mL/day'", "injection.0.rate: got"),
    "injection that never ends": (
        GOOD + "rate = '1e-30 mL/min'",
        'injection.0.rate: got "1e-30 mL/min"; 10 mL from 0 s on would end at 6e+32 s; allowed is an end',
    ),
    "injection that ends beyond all numbers": (GOOD + "rate = '1e-310 mL/min'", "injection.0.rate"),
    "injections that end too late together": (
        GOOD + "rate = '0.06 mL/h'\n" + GOOD + "rate = '1 mL/h'",
        "injection.1.rate",
    ),
    "tip on the other side": (GOOD + "side = 'left'\noffset = '-3 mm'", 'injection.0.offset: got "-3 mm"'),
    "tip outside the canal": (
        GOOD + "side = 'left'\noffset = '29 mm'",
        'injection.0.offset: got "29 mm"; L3/L4: an interlaminar tip 29.0 mm from the midline is outside',
    ),
    "tip outside a canal of one's own": (
        GOOD + "side = 'left'\noffset = '29 mm'\n[anatomy.overrides.L3]\nsac_ap = '13 mm'",
        'injection.0.offset: got "29 mm"',
    ),
    "tip outside the foramen": (
        GOOD + "approach = 'foraminal'\noffset = '-29 mm'",
        'injection.0.offset: got "-29 mm"; L3/L4: a foraminal tip',
    ),
    "gauge in superscript": (GOOD + "gauge = '²² G'", "10 G to 34 G"),
    "output after the end": (GOOD + "[output]\ntimes = ['1 min', '3 h']", "output.times.1"),
    "needle too thin": (GOOD + "gauge = '30 G'", "what a hand can press"),
    "needle far too thin": (
        GOOD + "gauge = '34 G'\nmaterial = 'saline'\nrate = '1000 mL/min'",
        'injection.0.gauge: got "34 G"; saline at 1000 mL/min takes',
    ),
    "needle far too slow": (GOOD + "gauge = '10 G'\nrate = '1e-5 mL/min'", 'injection.0.rate: got "1e-05 mL/min"'),
    "standing up upright": (
        "posture = 'upright'\n" + GOOD + "[output]\nupright = true",
        "output.upright: got true with posture upright",
    ),
    "folding of sliding fat": (
        GOOD + "[solver]\ncontact = 'sliding'\nfolding_stiffness = '0.03 mN'",
        'solver.folding_stiffness: got "0.03 mN"',
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


@pytest.fixture(scope="module")
def own_mesh(tmp_path_factory):
    """A mesh of the user's own, of L2 to L4, which the cord does not reach."""
    path = tmp_path_factory.mktemp("own") / "spine.msh"
    write_mesh(build_mesh(Anatomy.from_table(), ("L2", "L4"), MeshSize.named("draft")), path)
    return path


@pytest.mark.parametrize("verb", [["run"], ["sweep", "--vary", "injection.0.rate=10mL/min,20mL/min"]])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "stop_at = 'cord_area'", 'injection.0.stop_at: got "cord_area"; it is of the cord, and anatomy.mesh'),
        (GOOD + "side = 'left'\noffset = '29 mm'", 'injection.0.offset: got "29 mm"'),
        (GOOD.replace("L3/L4", "T8/T9"), 'injection.0.level: got "T8/T9"; allowed is an interspace of anatomy.mesh'),
        (GOOD + LEAK.replace("L3/L4", "T8/T9"), "leak.0: got a dorsal leak at T8/T9, midline"),
    ],
    ids=["stop", "offset", "level", "leak"],
)
def test_what_a_mesh_of_ones_own_lacks_is_refused(text, said, verb, own_mesh, command, tmp_path):
    path = tmp_path / "case.toml"
    path.write_text(f"{text}\n[anatomy]\nmesh = '{own_mesh}'\n", encoding="utf-8")
    called = command(*verb, path, "--out", tmp_path / "out")
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert said in called.err
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
        (["--set", f"injection.{'9' * 5000}.volume=5mL"], "an index from 0 to 1"),
        (["--set", f"injection.0.volume={'9' * 5000}"], "the unit is missing"),
        (["--set", f"solver.growth={'9' * 5000}"], "without unit from 1 to 4"),
        (["--set", f"injection=[0x{'f' * 5000}]"], "a number of thousands of digits"),
        (["--ranks", "none"], "--ranks"),
        (["--bogus"], "--bogus"),
    ],
)
def test_run_refuses_options(arguments, said, command, case_file, tmp_path):
    called = command("run", case_file, "--out", tmp_path / "out", *arguments)
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert said in called.err
    assert len(called.err) < 400
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "said"), [("x.foo", "is unknown"), ("x.stl", "no tetrahedra"), ("x", "a suffix")])
def test_mesh_refuses_formats_before_it_makes_anything(name, said, command, case_file, tmp_path):
    called = command("mesh", case_file, "--out", tmp_path / "new" / name)
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert said in called.err
    assert not (tmp_path / "new").exists()


def test_mesh_refuses_a_folder_before_it_makes_anything(command, case_file, tmp_path, monkeypatch):
    monkeypatch.setattr("studies.export.mesh_of", lambda case: pytest.fail("a mesh was made"))
    (tmp_path / "spine.vtu").mkdir()
    called = command("mesh", case_file, "--out", tmp_path / "spine.vtu")
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert 'spine.vtu", a folder; allowed is a file' in called.err


def test_mesh_refuses_a_tip_beside_a_narrower_sac_by_its_key(command, case_file, tmp_path):
    settings = ["injection.0.side=left", "injection.0.offset=7mm"]
    settings += [f"anatomy.overrides.{level}.sac_trans=14mm" for level in ("L3", "L4")]
    options = [option for text in settings for option in ("--set", text)]
    called = command("mesh", case_file, *options, "--out", tmp_path / "new" / "spine.msh")
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert 'injection.0.offset: got "7 mm"' in called.err
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


@pytest.mark.parametrize(("arguments", "said"), [([], "got 0 files"), (["nowhere.toml"], "no such file")])
def test_bounds_are_those_of_a_case_file(arguments, said, capsys):
    assert bound(arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1

"""Mutated case and study files, options and folders: status 0 or 2, one line, nothing written outside the output."""

import os
import random
import re
import shutil
import tempfile
import tomllib
from pathlib import Path

import pytest
from mpi4py import MPI

from studies import pool
from studies.inputs import build_anatomy
from studies.solver import mesh_of
from tests.studies.fake import FakeMesh, simulate_well
from tests.studies.sweeping import Inline

CASE = """patient = "pdph"
posture = "supine"
[[injection]]
level = "L3/L4"
volume = "10 mL"
material = "blood"
rate = "20 mL/min"
start = "0 s"
[csf]
baseline_pressure = "4.4 mmHg"
pvi = "25.9 mL"
spinal_share = 0.32
[anatomy]
span = ["T10", "S2"]
[anatomy.overrides.L3]
sac_ap = "13 mm"
[time]
follow_up = "10 min"
max_step = "2 min"
[mesh]
size = "draft"
[solver]
max_iterations = 20
growth = 2.0
[materials.fat]
mobility = "1e-7 m^2/(Pa s)"
poisson_ratio = 0.3
[output]
fields = true
times = ["1 min", "90 s"]
"""
SWEEPS = (
    '[sweep]\nmode = "grid"\n[sweep.vary]\n"injection.0.volume" = ["5 mL", "10 mL"]\n"patient" = ["pdph", "healthy"]\n',
    '[sweep]\nmode = "zip"\n[sweep.vary]\n"injection.0.volume" = ["5 mL", "6 mL"]\n'
    '"injection.0.level" = ["L3/L4", "L2/L3"]\n',
    '[sweep]\nmode = "list"\n[[sweep.cases]]\npatient = "healthy"\n[[sweep.cases]]\n"injection.0.volume" = "3 mL"\n',
    '[sweep]\nmode = "lhs"\nsamples = 3\nseed = 1\ntime_limit = "2 h"\n[sweep.vary]\n'
    '"injection.0.volume" = {low = "5 mL", high = "10 mL"}\n'
    '"csf.pvi" = {mean = "26 mL", sd = "3 mL", distribution = "normal"}\n',
    '[sweep]\nmode = "sobol"\nsamples = 4\n[sweep.slurm]\nmemory = "8 GB"\n[sweep.vary]\n'
    '"materials.fat.mobility" = {low = "1e-8 m^2/(Pa s)", high = "1e-6 m^2/(Pa s)", distribution = "loguniform"}\n'
    '"injection.0.level" = ["L3/L4", "L2/L3"]\n',
)
VALUES = (
    "0", "-1", "1", "3.5", "nan", "inf", "-inf", "1e308", "-1e-320", "9" * 400, "0x10", "1_000", "true", "false", '""',
    '"10"', '"10 mL"', '"nan mL"', '"inf mL"', '"1e999 mL"', '"-5 mL"', '"10 mmHg"', '"10 drops"', '"10 mL^99999999"',
    '"9**9**9 mL"', '"L3/L4"', '"L9/L9"', '"draft"', '"healthy"', '"ｐｄｐｈ"', '"\\u202e\\u0000"',
    '"\\n\\r\\t"', '"😀 mL"',
    '"' + "x" * 3000 + '"', "[]", "[[]]", "[" * 400 + "]" * 400, '["5 mL"]', '["S2", "T10"]', "{}",
    '{a = {b = {c = 1}}}',
    '{low = "1 mL", high = "nan mL"}', '{low = 1, high = 0}', "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00",
    '"%s%n{}$(x)"',
    '"../outside/mine.msh"', '"/etc/passwd"', '"/dev/zero"', '"zero.msh"', '"pipe.msh"', '"folder.msh"', '"loop.msh"',
    '"garbage.msh"', '"empty.vtu"', '"../../../../../../tmp"', '"~/x.msh"', '"a\\u0000b.msh"', "'''", '"unclosed',
)  # fmt: skip
KEYS = (
    "volum", "VOLUME", "", "🩸", "a.b.c", "injection", "sweep", "__class__", "model_config", "x" * 2000,
    '"\\u0000"', "'..'",
    "../../x", '"injection.0.volume"', '"injection.99.volume"', '"injection.-1.volume"', '"injection.0"', '"..."',
    "mode",
)  # fmt: skip


def mutated(text: str, choice: random.Random) -> bytes:
    """A file with one to three mistakes in it."""
    lines = text.splitlines()
    for _ in range(choice.choice((1, 1, 1, 2, 3))):
        at = choice.randrange(len(lines))
        key, equals, value = lines[at].partition("=")
        match choice.randrange(12):
            case 0 | 1 | 2 | 3 if equals:
                lines[at] = f"{key}= {choice.choice(VALUES)}"
            case 4 | 5 if equals:
                lines[at] = f"{choice.choice(KEYS)} ={value}"
            case 6:
                lines.insert(choice.randrange(len(lines)), lines[at])
            case 7:
                del lines[at]
            case 8:
                swapped = re.sub(r"(mL|mmHg|mm|min|s)\b", choice.choice(("kg", "furlong", "mL", "mmHg", "")), lines[at])
                lines[at] = swapped
            case 9:
                lines[at] = lines[at][: choice.randrange(len(lines[at]) + 1)]
            case 10:
                inserted = choice.choice(("\0", "\ufeff", "=", "[", "]]", '"', "#", "\u2028", "é", "[[leak]]\n", "\r"))
                where = choice.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:where] + inserted + lines[at][where:]
            case _:
                lines.append(
                    f"[anatomy]\nmesh = {choice.choice(VALUES)}" if choice.random() < 0.5 else f"mesh = {value}"
                )
        lines = lines or [""]
    data = ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
    match choice.randrange(12):
        case 0:
            data = data[: choice.randrange(len(data) + 1)]
        case 1:
            where = choice.randrange(len(data) + 1)
            data = data[:where] + bytes(choice.randrange(256) for _ in range(choice.randrange(1, 9))) + data[where:]
    return data


def options(choice: random.Random) -> list[str]:
    """Now and then an option with a mistake in it."""
    if choice.random() > 0.15:
        return []
    key = choice.choice((*KEYS, "injection.0.volume", "csf.pvi", "anatomy.mesh", "sweep.samples", "injection.0"))
    assignment = f"{key.strip(chr(34))}{choice.choice(('=', '=', '=', ''))}{choice.choice(VALUES)}".replace("\0", "")
    return ["--set", assignment]


def tree(folder: Path, but: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below a folder, with size and time of its last change."""
    found = {}
    for base, folders, files in os.walk(folder):
        here = Path(base)
        folders[:] = [name for name in folders if here / name != but]
        for name in (*folders, *files):
            state = (here / name).lstat()
            size = state.st_size if name in files else 0
            # The time of a folder changes with what is in it, which is listed here, or is the output folder.
            found[str(here / name)] = (size, state.st_mtime_ns if name in files else 0)
    return found


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """A folder with a file that must stay, a case's neighbours, links, and a home of its own."""
    assert MPI.Is_initialized()  # or its files would be counted as written by a command
    root = tmp_path / "sandbox"
    for name in ("inputs/folder.msh", "outside", "home", "tmp", "cwd"):
        (root / name).mkdir(parents=True)
    (root / "outside" / "mine.msh").write_text("mine")
    (root / "inputs" / "garbage.msh").write_bytes(bytes(range(256)) * 20)
    (root / "inputs" / "empty.vtu").touch()
    (root / "inputs" / "zero.msh").symlink_to("/dev/zero")
    (root / "inputs" / "loop.msh").symlink_to("loop.msh")
    os.mkfifo(root / "inputs" / "pipe.msh")
    monkeypatch.chdir(root / "cwd")
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "home" / ".cache"))
    monkeypatch.setenv("TMPDIR", str(root / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def stand_in(case):
        if case.anatomy.mesh is not None:
            return mesh_of(case)
        build_anatomy(case)
        return FakeMesh()

    # The stand-in for the solver, in this process: what is tested lies before it.
    monkeypatch.setattr("studies.runner.usual_ranks", lambda: 1)
    monkeypatch.setattr("studies.runner.mesh_of", stand_in)
    monkeypatch.setattr("studies.solver.simulate_group", simulate_well)
    monkeypatch.setattr("studies.worker.stop_on_signals", lambda: None)
    monkeypatch.setattr(pool, "Launcher", Inline)
    return root


def check(called, root, out, before, what):
    """Status 0 or 2, one line, no traceback, nothing written elsewhere; whether it was taken."""
    assert called.status in (0, 2), f"{what}\n{called.err}"
    assert "Traceback" not in called.err + called.out, what
    if called.status == 2:
        assert called.err.count("\n") == 1, f"{what}\n{called.err}"
        assert called.err.startswith("bloodpatch: "), f"{what}\n{called.err}"
        assert called.err.strip().isprintable(), f"{what}\n{called.err!r}"
        assert len(called.err) < 700, f"{what}\n{called.err}"
        assert not out.exists(), what
    assert tree(root, out) == before, what
    shutil.rmtree(out, ignore_errors=True)
    return called.status == 0


def fuzz(command, root, rounds, seed):
    """Feed mutated files; how many were taken and how many refused."""
    choice = random.Random(seed)
    out, path = root / "out", root / "inputs" / "file.toml"
    taken = 0
    for _ in range(rounds):
        study = choice.random() < 0.5
        data = mutated(CASE + (choice.choice(SWEEPS) if study else ""), choice)
        path.write_bytes(data)
        arguments = ["sweep", path, "--out", out] if study else ["run", path, "--out", out]
        arguments += ["--dry-run", "--no-pilot"] if study and choice.random() < 0.5 else []
        arguments += options(choice)
        before = tree(root, out)
        called = command(*arguments)
        taken += check(called, root, out, before, f"{arguments}\n{data[:3000]!r}")
    return taken


def test_what_is_mutated_is_right_before(command, sandbox):
    out, path = sandbox / "out", sandbox / "inputs" / "file.toml"
    for text in (CASE, *(CASE + sweep for sweep in SWEEPS)):
        path.write_text(text)
        before = tree(sandbox, out)
        called = command("sweep" if "[sweep]" in text else "run", path, "--out", out)
        assert check(called, sandbox, out, before, text), called.err
        assert tomllib.loads(text)


@pytest.mark.parametrize("seed", range(4))
def test_six_hundred_mutated_files(seed, command, sandbox):
    taken = fuzz(command, sandbox, 150, seed)
    # Both must occur, or nothing was tested.
    assert 5 < taken < 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_mutated_files(seed, command, sandbox):
    fuzz(command, sandbox, 250, seed)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("real.toml", 0),
        ("nowhere.toml", 2),
        ("self.toml", 2),
        (".", 2),
        ("/dev/zero", 2),
        ("/dev/null", 2),
        ("pipe", 2),
    ],
)
def test_links_and_devices_as_case_file(target, status, command, sandbox):
    inputs, out = sandbox / "inputs", sandbox / "out"
    (inputs / "real.toml").write_text(CASE)
    os.mkfifo(inputs / "pipe")
    (inputs / "self.toml").symlink_to("self.toml")
    link = inputs / "link.toml"
    link.symlink_to(target)
    for arguments in (["run", link], ["sweep", link, "--vary", "injection.0.volume=1mL,2mL"]):
        before = tree(sandbox, out)
        called = command(*arguments, "--out", out)
        assert check(called, sandbox, out, before, target) == (status == 0)


@pytest.mark.parametrize(
    "out", ["", " ", "a\0b", "/dev/null", "/dev/null/x", "../inputs/file.toml", "/proc/1/nothing", "x" * 5000]
)
def test_output_folders_that_cannot_be(out, command, sandbox):
    path = sandbox / "inputs" / "file.toml"
    path.write_text(CASE)
    before = tree(sandbox, sandbox / "none")
    for arguments in (["run", path], ["sweep", path, "--vary", "injection.0.volume=1mL,2mL"]):
        called = command(*arguments, "--out", out)
        assert (called.status, called.err.count("\n")) == (2, 1), called.err
    for name in ("status", "collect", "compute"):
        called = command(name, out, *(["case"] if name == "compute" else []))
        assert (called.status, called.err.count("\n")) == (2, 1), f"{name}: {called.err}"
    assert tree(sandbox, sandbox / "none") == before

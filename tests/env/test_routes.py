"""Which way to dolfinx is taken on which machine, and what is asked of its tools."""

from __future__ import annotations

import re
import tomllib

import pytest

from .conftest import REPOSITORY, Sandbox


@pytest.mark.parametrize("version", ["0.9.0", "0.10.0.post5", "0.11.1"])
def test_an_active_python_with_dolfinx_is_used(sandbox: Sandbox, version: str) -> None:
    sandbox.python_with(version)
    result = sandbox.run("python")
    assert (result.returncode, result.stdout) == (0, "stub python\n")
    assert f"route 1: {sandbox.bin}/python3 already imports dolfinx {version}" in result.stderr
    (call,) = sandbox.called()
    assert call.startswith("venv ") and call.endswith(f" {sandbox.bin}/python3")


@pytest.mark.parametrize("version", ["0.5.2", "0.8.0", "0.12.0", "1.0", "0.90"])
def test_an_unsupported_dolfinx_is_named_and_passed_over(sandbox: Sandbox, version: str) -> None:
    sandbox.python_with(version)
    sandbox.stub("micromamba", "")
    result = sandbox.run("python")
    assert result.returncode == 0
    assert f"1, {sandbox.bin}/python3 has dolfinx {version} and not 0.9, 0.10" in result.stderr
    assert "route 2: micromamba is there" in result.stderr


@pytest.mark.parametrize("tool", ["conda", "mamba", "micromamba", "pixi"])
def test_conda_and_its_kin(sandbox: Sandbox, tool: str) -> None:
    sandbox.stub(tool, "")
    result = sandbox.run("bash", "-c", "python && echo $CONDA_PREFIX")
    prefix = next(sandbox.cache.glob("conda-*")).parent / "conda-*" / "prefix"
    out = result.stdout.splitlines()
    assert out[0] == "stub python"
    assert re.fullmatch(str(prefix).replace("*", "[0-9a-f]{12}"), out[1])
    assert sandbox.called()[0].split()[0] == "conda"
    assert sandbox.called()[0].endswith(f"/{tool}")


def test_the_activation_scripts_of_a_conda_environment_are_read(sandbox: Sandbox) -> None:
    sandbox.stub("conda", "")
    folder = '"$1/prefix/etc/conda/activate.d"'
    sandbox.builder("conda", f"mkdir -p {folder}; echo 'export CC=from-conda' > {folder}/a.sh")
    assert sandbox.run("bash", "-c", "echo $CC").stdout == "from-conda\n"


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("conda", ["env create --prefix {entry}/prefix --file {recipe}"]),
        ("mamba", ["env create --prefix {entry}/prefix --file {recipe}"]),
        ("micromamba", ["create --yes --prefix {entry}/prefix --file {recipe}"]),
        (
            "pixi",
            [
                "init --import {entry}/environment.yml {entry}",
                "install --manifest-path {entry}/pixi.toml",
            ],
        ),
    ],
)
def test_command_line_of_conda(sandbox: Sandbox, tool: str, expected: list[str]) -> None:
    script = sandbox.checkout / "env" / "build" / "conda"
    script.write_text((REPOSITORY / "env" / "build" / "conda").read_text())
    sandbox.stub(
        tool,
        f"""
        echo "$*" >> {sandbox.calls}
        for word in "$@"; do case $word in
            */prefix) mkdir -p "$word/bin"; cp {sandbox.bin}/true "$word/bin/python" ;;
            */pixi.toml) where=${{word%/*}}/.pixi/envs/default/bin
                         mkdir -p "$where"; cp {sandbox.bin}/true "$where/python" ;;
        esac; done
        """,
    )
    assert sandbox.run("true").returncode == 0
    (entry,) = (path for path in sandbox.cache.glob("conda-*") if path.is_dir())
    recipe = sandbox.checkout / "environment.yml"
    assert sandbox.called() == [line.format(entry=entry, recipe=recipe) for line in expected]
    assert (entry / "prefix" / "bin" / "python").exists()


def test_a_conda_that_fails_gives_way_to_the_next_route(sandbox: Sandbox) -> None:
    sandbox.stub("conda", "")
    sandbox.builder("conda", "echo no such channel; exit 1")
    sandbox.debian_with("1:0.9.0-7")
    result = sandbox.run("true")
    assert result.returncode == 0
    assert "    no such channel" in result.stderr
    assert "route 3: apt has dolfinx 0.9.0" in result.stderr


def test_a_recent_debian_installs_what_is_missing(sandbox: Sandbox) -> None:
    sandbox.debian_with("1:0.9.0-7", installed="none")
    sandbox.stub("id", "echo 0")
    result = sandbox.run("bash", "-c", "echo $PATH")
    assert result.returncode == 0
    update, install, venv = sandbox.called()
    assert update == "apt-get update"
    assert install.startswith("apt-get install -y --no-install-recommends python3-dolfinx ")
    assert "libopenblas0-pthread" in install and "#" not in install
    assert venv.endswith(" /usr/bin/python3")
    assert ":/usr/bin:" in result.stdout


def test_without_rights_the_administrator_is_told_what_to_install(sandbox: Sandbox) -> None:
    sandbox.debian_with("1:0.9.0-7", installed="none")
    sandbox.stub("id", "echo 1000")
    sandbox.stub("unshare", "exit 1")
    result = sandbox.run("true")
    assert result.returncode == 2
    assert "3, the administrator would have to do: apt-get install python3-dolfinx" in result.stderr
    assert "4, this user may not make namespaces" in result.stderr
    assert result.stderr.count("choices: (1)") == 1
    assert sandbox.called() == []


@pytest.mark.parametrize("candidate", ["0.5.2-1", "(none)", "1:0.12.0-1"])
def test_an_older_debian_makes_a_private_folder(sandbox: Sandbox, candidate: str) -> None:
    sandbox.debian_with(candidate)
    # stands in for the mount namespace: what comes after the folder is run as it is
    sandbox.script(sandbox.checkout / "env" / "enter", 'shift; exec "$@"')
    result = sandbox.run("python")
    assert (result.returncode, result.stdout) == (0, "stub python\n")
    assert "route 4: a private Debian 13 folder" in result.stderr
    root, venv = (call for call in sandbox.called() if not call.startswith("apt-get"))
    assert root.startswith("root ")
    assert re.search(r" /usr/bin/python3 \S.*/env/enter \S+/root-[0-9a-f]{12}/root$", venv)


def test_a_machine_with_nothing_is_told_the_choices(sandbox: Sandbox) -> None:
    result = sandbox.run("true")
    assert result.returncode == 2
    assert "1, no python3 on PATH; 2, no conda" in result.stderr
    assert all(f"({n})" in result.stderr for n in (1, 2, 3, 4))
    assert not sandbox.cache.exists()


def test_a_forced_route_is_the_only_one_tried(sandbox: Sandbox) -> None:
    sandbox.python_with("0.9.0")
    sandbox.stub("conda", "")
    assert "route 2" in sandbox.run("true", BLOODPATCH_ROUTE="2").stderr
    result = sandbox.run("true", BLOODPATCH_ROUTE="5")
    assert result.returncode == 2
    assert "BLOODPATCH_ROUTE is 5; allowed are 1, 2, 3 and 4" in result.stderr


def test_packages_of_another_python_do_not_reach_debians(sandbox: Sandbox) -> None:
    sandbox.debian_with("0.9.0-1")
    path = "/opt/mine:/home/x/lib/python3.11/site-packages"
    result = sandbox.run("bash", "-c", "echo $PYTHONPATH; echo $OMP_NUM_THREADS", PYTHONPATH=path)
    assert result.stdout.splitlines() == [f"{sandbox.checkout}:/opt/mine", "1"]


def names(text: str) -> set[str]:
    """Find the names and lowest versions in a list of requirements."""
    lines = (line.split("#")[0].replace(" ", "").lower() for line in text.splitlines())
    found = {line.removeprefix("-").replace("-base", "") for line in lines if ">=" in line}
    return {name.replace("_", "-") for name in found}


def test_environment_yml_names_every_requirement() -> None:
    wanted = set()
    for file in ("requirements.txt", "requirements-dev.txt"):
        wanted |= names((REPOSITORY / "env" / file).read_text())
    assert len(wanted) > 20
    assert wanted <= names((REPOSITORY / "environment.yml").read_text())


def test_the_lock_pins_every_requirement_within_its_bounds() -> None:
    lines = (REPOSITORY / "env" / "lock.txt").read_text().lower().replace("_", "-").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    from_debian = {"numpy", "scipy"}
    for file in ("requirements.txt", "requirements-dev.txt"):
        for requirement in names((REPOSITORY / "env" / file).read_text()):
            name, lowest = requirement.split(">=")
            if name in from_debian:
                assert name not in pins
                continue
            bound = [int(part) for part in lowest.split(".")]
            assert [int(part) for part in pins[name].split(".")[: len(bound)]] >= bound, name


def test_no_host_name_of_a_registry_is_written_anywhere() -> None:
    tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    files = [path for path in (REPOSITORY / "env").rglob("*") if path.is_file()]
    files += [REPOSITORY / name for name in ("environment.yml", "Dockerfile", "pyproject.toml")]
    for path in files:
        assert "://" not in path.read_text(), path

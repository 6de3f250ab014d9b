"""The builder of the virtual environment, on a Python that has the packages already: nothing is fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import REPOSITORY

PACKAGES = "numpy dolfinx petsc4py gmsh h5py scipy pandas vtk pyvista pydantic pint".split()
"""What the builder imports in the end, here empty modules."""


def pretend(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.py").write_text('__version__ = "2.0"\n', encoding="utf-8")
    return folder


@pytest.fixture
def builder(tmp_path: Path) -> Path:
    env = tmp_path / "env"
    (env / "build").mkdir(parents=True)
    shutil.copy(REPOSITORY / "env" / "build" / "venv", env / "build")
    for name in ("requirements.txt", "requirements-dev.txt"):
        (env / name).touch()
    (env / "lock.txt").write_text("numpy==2.0\npint==0.25\n", encoding="utf-8")
    return env / "build" / "venv"


def test_what_a_python_sees_beyond_its_installation_is_seen(builder: Path, tmp_path: Path) -> None:
    """Half of the packages in a virtual environment, as a user's; half on PYTHONPATH, as in dolfinx's images."""
    parent, entry = tmp_path / "parent", tmp_path / "entry"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", parent], check=True)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    inside = pretend(parent / "lib" / version / "site-packages", PACKAGES[:6])
    beside = pretend(tmp_path / "dolfinx-real", PACKAGES[6:])
    command = [builder, entry, parent / "bin" / "python"]
    blind = {key: value for key, value in os.environ.items() if key != "BLOODPATCH_SEEN"}
    outcome = subprocess.run(command, capture_output=True, text=True, env=blind)
    assert outcome.returncode != 0
    shutil.rmtree(entry)
    seen = blind | {"BLOODPATCH_SEEN": f"{beside}\n{inside}"}
    outcome = subprocess.run(command, capture_output=True, text=True, env=seen)
    assert outcome.returncode == 0, outcome.stderr
    where = [entry / "bin" / "python", "-c", "import dolfinx, pint; print(dolfinx.__file__, pint.__file__)"]
    found = subprocess.run(where, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}).stdout
    assert found.split() == [str(inside / "dolfinx.py"), str(beside / "pint.py")]

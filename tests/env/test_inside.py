"""The environment that the tests themselves run in: paths, BLAS, compiler, MPI, drawing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import REPOSITORY

RUN = REPOSITORY / "env" / "run"
ROUTE = os.environ.get("BLOODPATCH_ENV", "::").split(":")[1]


def fresh() -> dict[str, str]:
    """Give the variables of a caller who is not inside yet."""
    return {key: value for key, value in os.environ.items() if key != "BLOODPATCH_ENV"}


def test_a_call_from_inside_changes_nothing() -> None:
    out = subprocess.run([RUN, "python", "-c", "import sys; print(sys.prefix)"], capture_output=True)
    assert out.stdout.decode().strip() == sys.prefix


@pytest.mark.skipif(ROUTE != "4", reason="only the private Debian folder is entered")
def test_any_path_keeps_its_name(tmp_path: Path) -> None:
    """The folders of the caller, and files in /etc, /usr/local and /dev/shm, are where they were."""
    roots = Path(sys.prefix).parent.glob("root-*/root")
    root = next(root for root in roots if (root / "usr" / "bin" / "mount").exists())
    enter = [str(REPOSITORY / "env" / "enter"), str(root)]
    here = tmp_path / "a folder with spaces"
    here.mkdir()
    script = "pwd; echo written > out.txt; ls -d /dev/shm /etc/passwd /usr/local /proc/self; exit 5"
    result = subprocess.run([*enter, "bash", "-c", script], cwd=here, capture_output=True, text=True)
    assert result.stderr == ""
    assert result.returncode == 5
    assert result.stdout.splitlines()[0] == str(here)
    assert len(result.stdout.splitlines()) == 5
    assert (here / "out.txt").read_text() == "written\n"


@pytest.mark.skipif(ROUTE not in ("3", "4"), reason="Debian's alternatives")
def test_blas_is_openblas() -> None:
    import petsc4py.PETSc  # noqa: F401

    loaded = Path("/proc/self/maps").read_text()
    blas = set(re.findall(r"/\S*/(lib(?:open)?blas\S*)", loaded))
    assert any(name.startswith("libopenblas") for name in blas), blas


def test_numpy_is_the_one_that_dolfinx_was_built_with() -> None:
    """Packages from PyPI share a process with dolfinx, petsc4py and gmsh."""
    import dolfinx  # noqa: F401
    import gmsh
    import h5py  # noqa: F401
    import numpy
    import pandas
    import scipy.sparse
    import vtk  # noqa: F401

    assert pandas.DataFrame({"a": numpy.ones(2)})["a"].sum() == 2.0
    assert scipy.sparse.eye(2).sum() == 2.0
    gmsh.initialize()
    gmsh.finalize()
    if ROUTE in ("3", "4"):
        assert numpy.__file__.startswith("/usr/lib/python3/")


def test_a_form_compiles(tmp_path: Path) -> None:
    code = """
from mpi4py import MPI
import dolfinx, sys, ufl
square = dolfinx.mesh.create_unit_square(MPI.COMM_WORLD, 2, 2)
x = ufl.SpatialCoordinate(square)
form = dolfinx.fem.form(x[0] * ufl.dx, jit_options={"cache_dir": sys.argv[1]})
print(dolfinx.fem.assemble_scalar(form))
"""
    result = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == pytest.approx(0.5, rel=1e-14)
    assert list(tmp_path.glob("*.so"))


@pytest.mark.mpi
def test_more_ranks_than_cores_in_silence() -> None:
    """Open MPI neither refuses, nor warns, nor binds two jobs to one core."""
    # One rank prints for all: ranks that print at once share a line.
    code = (
        "from mpi4py import MPI; import os; world = MPI.COMM_WORLD;"
        "seen = world.gather((world.allreduce(1), len(os.sched_getaffinity(0))));"
        "world.rank or print(*(f'{ranks} {cores}' for ranks, cores in seen), sep='\\n')"
    )
    # Ranks of a job cannot start another job: take away what the test's own MPI put there.
    clean = {k: v for k, v in fresh().items() if not k.startswith(("OMPI_COMM", "PMIX_"))}
    ranks = (os.cpu_count() or 1) + 1
    result = subprocess.run(
        [RUN, "mpirun", "-n", str(ranks), "python", "-c", code],
        env=clean | {"BLOODPATCH_ENV": os.environ.get("BLOODPATCH_ENV", "")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stderr == ""
    assert result.stdout.splitlines() == [f"{ranks} {len(os.sched_getaffinity(0))}"] * ranks


def test_a_picture_is_drawn_without_a_screen(tmp_path: Path) -> None:
    code = (
        "import pyvista, sys; p = pyvista.Plotter(off_screen=True, window_size=(64, 64));"
        "p.add_mesh(pyvista.Sphere(), color='red'); image = p.screenshot(sys.argv[1]);"
        "print(image[32, 32].tolist(), image[0, 0].tolist())"
    )
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.png"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    inside, outside = result.stdout.strip().split("] [")
    assert inside != "[" + outside.rstrip("]")


def test_bloodpatch_is_on_path_anywhere(tmp_path: Path) -> None:
    assert shutil.which("bloodpatch") == str(REPOSITORY / "env" / "bin" / "bloodpatch")
    start = time.monotonic()
    subprocess.run([RUN, "true"], cwd=tmp_path, check=True)
    assert time.monotonic() - start < 1.0

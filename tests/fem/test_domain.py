"""A domain from a Gmsh model: what it lacks is said on every rank."""

import shutil
import subprocess
import sys
from types import SimpleNamespace

import gmsh
import numpy as np
import pytest
from mpi4py import MPI

from fem.domain import Domain
from fem.errors import ModelError

ON_EVERY_RANK = """
import signal
signal.alarm(40)  # a rank that waits for ever ends by itself
from mpi4py import MPI
from fem.domain import Domain
from fem.errors import ModelError
from tests.fem.test_domain import without_groups
comm = MPI.COMM_WORLD
try:
    Domain.from_gmsh(comm, without_groups() if comm.rank == 0 else None)
except ModelError as error:
    said = comm.gather(str(error))
    print(len(set(said)), len(said)) if comm.rank == 0 else None
"""


def without_groups():
    """What is asked of a Gmsh model that has a mesh and nothing that names its parts."""
    mesh = SimpleNamespace(getNodes=lambda: (np.array([1]), np.zeros(3), None))
    return SimpleNamespace(mesh=mesh, getPhysicalGroups=lambda dim: [])


@pytest.fixture
def square():
    """A meshed unit square in Gmsh without physical groups."""
    gmsh.initialize(["-noenv"], readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.model.add("square")
        gmsh.model.occ.addRectangle(0, 0, 0, 1, 1)
        gmsh.model.occ.synchronize()
        gmsh.option.setNumber("Mesh.MeshSizeMax", 0.5)
        gmsh.model.mesh.generate(2)
        yield gmsh.model
    finally:
        gmsh.finalize()


def test_physical_groups_become_regions_and_surfaces(square):
    with pytest.raises(ModelError, match="no physical groups of dimension 2, which say its regions"):
        Domain.from_gmsh(MPI.COMM_SELF, square, 2)
    square.addPhysicalGroup(2, [1], 7)
    with pytest.raises(ModelError, match="no physical groups of dimension 1, which say its surfaces"):
        Domain.from_gmsh(MPI.COMM_SELF, square, 2)
    square.addPhysicalGroup(1, [1], name="low")
    domain = Domain.from_gmsh(MPI.COMM_SELF, square, 2)
    assert set(domain.region) == {7}
    assert len(domain.surfaces["low"]) > 1


@pytest.mark.parametrize("error", [Exception("Gmsh has not been initialized"), IndexError("list")])
def test_what_gmsh_itself_says_is_passed_on(error):
    def refuse(dim):
        raise error

    with pytest.raises(ModelError, match=f"gives no mesh: {error}"):
        Domain.from_gmsh(MPI.COMM_SELF, SimpleNamespace(getPhysicalGroups=refuse))


@pytest.mark.mpi
def test_no_rank_waits_for_a_model_that_the_first_one_refuses(pytestconfig):
    done = subprocess.run(
        [shutil.which("mpirun"), "-n", "2", sys.executable, "-c", ON_EVERY_RANK],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["1", "2"]

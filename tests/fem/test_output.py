"""What the field files hold: stress of a known state, mirror images, and a quadratic displacement."""

from types import SimpleNamespace

import meshio
import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem.domain import Domain
from fem.forms import compile_form, integrate
from fem.laws.fibres import SmearedFibres
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import NeoHookean, lame
from fem.output import MIRRORED_NODES, FieldSnapshot, _edge_means, _with_image
from fem.poro import STRESS_PAIRS, PoroModel
from fem.setup import Region, Setup
from geometry import Region as Part

GRADIENT = np.array([[1.10, 0.05, 0.00], [0.00, 0.95, 0.02], [0.03, 0.00, 1.20]])
"""Deformation gradient of the test; fibres along z are stretched."""

YOUNG, POISSON, PRESSURE, FIBRES, TOE = 1000.0, 0.2, 300.0, 500.0, 0.03


def test_stress_of_a_uniform_deformation_is_that_of_the_law():
    mesh = dmesh.create_unit_cube(MPI.COMM_WORLD, 1, 1, 1, ghost_mode=dmesh.GhostMode.shared_facet)
    axis = fem.Constant(mesh, (0.0, 0.0, 1.0))
    region = Region(
        1, "p", NeoHookean(YOUNG, POISSON), ConstantMobility(1e-9), fibres=((SmearedFibres(FIBRES, TOE), axis, 1.0),)
    )
    model = PoroModel(Domain.from_mesh(mesh, {}), Setup([region]))
    x = ufl.SpatialCoordinate(mesh)
    moved = ufl.dot(ufl.as_matrix(GRADIENT - np.eye(3)), x)
    stress = model.kirchhoff_stress(model.regions[0], moved, PRESSURE)
    found = [integrate(compile_form(stress[k] * model.dx(region)), MPI.COMM_WORLD) for k in range(len(STRESS_PAIRS))]

    volume = np.linalg.det(GRADIENT)
    mu, lmbda = lame(YOUNG, POISSON)
    along = GRADIENT[:, 2]
    strain = (along @ along - 1) / 2
    assert strain > TOE  # beyond the toe the ramp is a straight line
    fibres = FIBRES * (strain - TOE / 2) * np.outer(along, along)
    skeleton = mu * (GRADIENT @ GRADIENT.T - np.eye(3)) + lmbda / 2 * (volume**2 - 1) * np.eye(3)
    expected = skeleton + fibres - volume * PRESSURE * np.eye(3)
    assert np.allclose(found, [expected[pair] for pair in STRESS_PAIRS], rtol=1e-10)


def test_the_mirror_image_is_a_reflection():
    """The stress of an image is that of the reflected state, and nodes of the midline are shared."""
    rng = np.random.default_rng(1)
    corners = np.array([[0.0, 0, 0], [0.0, 1, 0], [0.0, 0, 1], [1.0, 0, 0]])
    sigma = rng.normal(size=(3, 3))
    sigma += sigma.T
    part = {
        "points": np.stack([_edge_means(corners[None, :, axis]) for axis in range(3)], axis=-1),
        "node": np.arange(10)[None],
        "displacement": rng.normal(size=(1, 10, 3)),
        "from_table": np.zeros((1, 10, 3)),
        "subregion": np.array([2], np.int32),
        "stress": np.array([[sigma[pair] for pair in STRESS_PAIRS]]),
        "pressure_e": rng.normal(size=(1, 10)),
        "pressure_s": rng.normal(size=(1, 10)),
    }
    both = _with_image(part, 10)
    flip = np.diag([-1.0, 1.0, 1.0])
    assert np.allclose(both["stress"][1], [(flip @ sigma @ flip)[pair] for pair in STRESS_PAIRS])
    for node, image in zip(part["node"][0][MIRRORED_NODES], both["node"][1], strict=True):
        on_midline = part["points"][0, node, 0] == 0.0
        assert image == (node if on_midline else node + 10)
    assert np.allclose(both["displacement"][1], (part["displacement"][0] @ flip)[MIRRORED_NODES])
    assert len(np.unique(both["node"])) == 10 + 4


VTK_EDGES = ((0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3))
"""Corners beside each mid-side node of VTK_QUADRATIC_TETRA, in the order of VTK's file formats."""

SHIFT = np.array([0.25, -0.5, 0.125])
"""Displacement of the baseline in the test [m]."""


def quadratic(x):
    """A displacement that is quadratic in space, and not linear along any edge of a cube [m]; x has shape (3, n)."""
    return np.stack(
        [x[0] ** 2 - x[1] * x[2] + x[1] ** 2, x[1] * (x[0] + x[1]) + x[2] ** 2, x[2] ** 2 + x[0] - x[1] ** 2]
    )


@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="a cube of six cells is not worth sharing")
def test_a_quadratic_displacement_is_read_back_exact_at_every_node(tmp_path):
    """Mid-side nodes stand where VTK expects them, with the field's own values: nothing was made linear."""
    mesh = dmesh.create_unit_cube(MPI.COMM_WORLD, 1, 1, 1, ghost_mode=dmesh.GhostMode.shared_facet)
    domain = Domain.from_mesh(mesh, {})
    poro = PoroModel(domain, Setup([Region(1, "e", NeoHookean(YOUNG, POISSON), ConstantMobility(1e-9))]))
    now, baseline = fem.Function(poro.space), fem.Function(poro.space)
    baseline.sub(0).interpolate(lambda x: np.broadcast_to(SHIFT[:, None], x.shape))
    now.sub(0).interpolate(lambda x: SHIFT[:, None] + quadratic(x))
    now.sub(1).interpolate(lambda x: 300.0 + 100.0 * x[0] - 50.0 * x[2])
    poro.state.x.array[:] = now.x.array
    count = domain.owned_cells
    ones = np.ones(count, np.int32)
    spine = SimpleNamespace(region=np.full(count, Part.EPIDURAL), subregion=ones, level=ones)
    observer = SimpleNamespace(
        cauchy_stress=lambda: np.zeros((count, 6)), contents=dict,
        cell_volumes=lambda: np.ones(count), reference_volume=np.ones(count),
    )  # fmt: skip
    model = SimpleNamespace(
        comm=mesh.comm, spine=spine, domain=domain, poro=poro, baseline=baseline.x.array, copies=1
    )  # fmt: skip
    FieldSnapshot(SimpleNamespace(state=SimpleNamespace(time=0.0), model=model, observer=observer)).write(tmp_path, "f")

    grid = meshio.read(tmp_path / "f_epidural.vtu")
    cells = grid.cells_dict["tetra10"]
    assert cells.shape == (6, 10)
    assert len(grid.points) == 27  # corners, edges, diagonals of faces, the one through the cube: each once
    for node, edge in enumerate(VTK_EDGES, 4):
        assert np.allclose(grid.points[cells[:, node]], grid.points[cells[:, edge]].mean(axis=1))
    x = (grid.points - SHIFT).T
    exact = quadratic(x).T
    assert np.abs(grid.point_data["displacement_m"] - exact).max() < 1e-6  # single precision
    middle = exact[cells[:, VTK_EDGES]].mean(axis=2)
    assert np.abs(exact[cells[:, 4:]] - middle).max(axis=(0, 2)).min() > 0.1  # a linear file would be told
    assert np.allclose(grid.point_data["pressure_Pa"], 300.0 + 100.0 * x[0] - 50.0 * x[2])

"""What the field files hold: stress of a known state, and mirror images."""

import numpy as np
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem.domain import Domain
from fem.forms import compile_form, integrate
from fem.laws.fibres import SmearedFibres
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import NeoHookean, lame
from fem.output import MIRRORED_NODES, _edge_means, _with_image
from fem.poro import STRESS_PAIRS, PoroModel
from fem.setup import Region, Setup

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

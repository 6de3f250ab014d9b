"""The linear mode: superposition holds exactly, small volumes do as in finite strain, large ones are refused."""

import contextlib

import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx.mesh import create_unit_cube
from mpi4py import MPI

from fem.errors import ValidityError
from fem.laws.fibres import Surface
from fem.linear import LinearisedMembrane, linear_limit
from fem.materials import Materials
from fem.parameters import MMHG, Csf, Injection, PatchParameters, TimeControl
from fem.paths import simulate
from fem.simulation import MOBILITY_CHANGE, Simulation, build_model
from geometry import Anatomy, MeshSize, Source, cached_mesh

ML = 1e-6
RATE = 20 * ML / 60
EXTENSIVE = ("csf_pressure_rise_mmHg", "epidural_pressure_needle_rise_mmHg", "csf_displaced_mL", "venous_displaced_mL")


class Rows:
    def __init__(self):
        self.rows, self.error = [], None

    def row(self, row):
        self.rows.append(dict(row))

    def profile(self, rows):
        pass

    def fields(self, snapshot):
        pass

    def finished(self, extra):
        pass

    def failed(self, error):
        self.error = error


@pytest.fixture(scope="module")
def spine():
    anatomy = Anatomy.from_table()
    return cached_mesh(anatomy, ("L2", "L4"), MeshSize.named("draft"), sources=[Source(anatomy.needle_tip("L3/L4"))])


def saline(volume):
    """The patient and a volume of saline that is injected in ten seconds."""
    csf = Csf(4.4 * MMHG, 25.9 * ML, 0.0, 8.6 * MMHG / ML * 60, 0.3 * ML / 60)
    injection = Injection("L3/L4", volume, volume / 10.0, material="saline")
    # as viscous as CSF and not taken up, or what is injected changes how the rest flows
    tissues = Materials.from_table({"saline.viscosity": 8e-4, "resorption.rate": 0.0})
    return PatchParameters(tissues, csf, (injection,), TimeControl(follow_up=20.0), linear=True)


@pytest.fixture(scope="module")
def model(spine):
    return build_model(MPI.COMM_WORLD, spine, saline(1 * ML))


@pytest.fixture(scope="module")
def run(model):
    """Rows of an injection of saline in ten seconds, and how it ended."""

    def call(volume):
        rows = Rows()
        with contextlib.suppress(ValidityError):  # told to the sink, too
            simulate(model, saline(volume), rows)
        return rows

    return call


@pytest.mark.parametrize("tension", [None, 0.05, 2.0, 400.0])
def test_the_limit_of_the_dura_is_the_slope_of_its_law(tension):
    """Slack, below its slack tension, in the toe, beyond it."""
    mesh = create_unit_cube(MPI.COMM_WORLD, 1, 1, 1)
    space = fem.functionspace(mesh, ("Lagrange", 2, (3,)))
    u, v = fem.Function(space), ufl.TestFunction(space)
    law = Materials.from_table().dura

    def slope(membrane):
        given = None if tension is None else (fem.Constant(mesh, tension), fem.Constant(mesh, 0.7 * tension))
        gradient = ufl.Identity(3) + ufl.grad(u)
        surface = Surface(gradient, ufl.grad(v), ufl.FacetNormal(mesh), ufl.as_vector((0.0, 0.0, 1.0)), tension=given)
        matrix = fem.assemble_matrix(fem.form(ufl.derivative(membrane.virtual_work(surface) * ufl.ds, u)))
        return matrix.to_dense()

    finite = slope(law)
    linear = slope(LinearisedMembrane(**vars(law)))
    assert abs(finite).max() > 0
    np.testing.assert_allclose(linear, finite, atol=1e-9 * abs(finite).max())


@pytest.mark.parametrize("opening", [0.0, 400.0])
def test_an_open_foramen_lets_nothing_through_at_the_baseline(opening):
    foramen = linear_limit(Materials.from_table({"foramina.opening_pressure": opening})).foramina
    assert foramen.rate(0.0) == 0.0
    assert foramen.rate(-100.0) == -foramen.rate(100.0) == -100.0 * foramen.conductance


def test_a_mobility_that_does_not_grow_refuses_no_step(model):
    simulation = Simulation(model, saline(60 * ML))
    simulation.step(1.0)
    swelling = abs(simulation.course.transport.swelling()).max()
    assert Materials.from_table().fat.mobility.growth * swelling > np.log(MOBILITY_CHANGE)
    assert simulation.course.mobility_change() == 1.0


def test_superposition(run):
    one, two = run(1 * ML), run(2 * ML)
    assert len(one.rows) == len(two.rows) > 5
    for first, second in zip(one.rows[1:], two.rows[1:], strict=True):
        for name in EXTENSIVE:
            assert second[name] == pytest.approx(2 * first[name], rel=1e-4), name


def test_a_sac_squeezed_to_nothing_is_beyond_small_strain(run):
    ran = run(60 * ML)
    assert isinstance(ran.error, ValidityError)
    assert "finite strain holds" in str(ran.error)
    assert ran.rows
    assert min(row["sac_area_min_ratio"] for row in ran.rows) > 0

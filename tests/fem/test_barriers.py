"""Barriers to spread: which cells they lie in, and that pore fluid meets them there."""

from dataclasses import replace

import numpy as np
import pytest
from dolfinx import fem
from mpi4py import MPI

from fem.barriers import mobility_factor
from fem.body import channel_beyond, modelled_domain
from fem.composition import Composition
from fem.leak import LeakFunctions
from fem.materials import Barriers, Materials
from fem.parameters import Csf, Injection, PatchParameters
from geometry import Anatomy, MeshSize, Region, Source, Subregion, cached_mesh

BARRIERS = Barriers(ventral=0.3, lamina=0.5, foramen=0.7)
OPEN = Barriers(1.0, 1.0, 1.0)
WITHOUT = (Subregion.LATERAL_LEFT, Subregion.LATERAL_RIGHT, Subregion.THECAL, Subregion.SLEEVE)


@pytest.fixture(scope="module")
def spine():
    anatomy = Anatomy.from_table()
    return cached_mesh(anatomy, ("L2", "L4"), MeshSize.named("draft"), sources=[Source(anatomy.needle_tip("L3/L4"))])


def test_each_barrier_lies_in_its_part_of_the_epidural_space(spine):
    factor = mobility_factor(spine, BARRIERS)
    of = {part: np.unique(factor[spine.subregion == part]).tolist() for part in Subregion}
    assert of[Subregion.VENTRAL] == [BARRIERS.ventral]
    assert of[Subregion.FORAMINAL] == [BARRIERS.foramen]
    assert of[Subregion.DORSAL] == [BARRIERS.lamina, 1.0]
    for part in WITHOUT:
        assert of[part] == [1.0], part


def test_the_dorsal_space_is_narrow_under_laminae_and_open_between_them(spine):
    factor, height = mobility_factor(spine, BARRIERS), spine.points[spine.cells][:, :, 2].mean(axis=1)
    dorsal = spine.subregion == Subregion.DORSAL
    upper, lower = spine.interspace_z["L2/L3"], spine.interspace_z["L3/L4"]
    away = np.minimum(np.abs(height - upper), np.abs(height - lower)) / (upper - lower)
    segment = dorsal & (height > lower) & (height < upper)  # L3, from interspace to interspace
    assert (factor[segment & (away < 0.2)] == 1.0).all()
    assert (factor[segment & (away > 0.3)] == BARRIERS.lamina).all()


def test_pore_fluid_meets_the_barriers(spine):
    materials = Materials.from_table()
    domain = modelled_domain(MPI.COMM_WORLD, spine, None)
    rest = fem.Function(fem.functionspace(domain.mesh, ("Lagrange", 1)))

    def mobility(barriers):
        parameters = PatchParameters(
            replace(materials, barriers=barriers), Csf(600.0, 26e-6, 0.0, 7e10, 5e-9), (Injection("L3/L4", 1e-6, 3e-7),)
        )
        setup = Composition(domain, spine, parameters, 1).setup(LeakFunctions(domain), rest, {})
        (epidural,) = (region for region in setup.regions if region.tag == Region.EPIDURAL)
        return epidural.mobility.mobility.x.array

    held = mobility(BARRIERS) / mobility(OPEN)
    assert mobility(OPEN) == pytest.approx(materials.fat.mobility.mobility)
    np.testing.assert_allclose(held, mobility_factor(spine, BARRIERS)[domain.original_cell])
    ventral = spine.subregion[domain.original_cell] == Subregion.VENTRAL
    assert held[ventral] == pytest.approx(BARRIERS.ventral)


def test_the_canal_beyond_a_cut_has_the_barriers_of_the_window(spine):
    materials = Materials.from_table()
    channels = [channel_beyond(spine, replace(materials, barriers=each), "cranial") for each in (BARRIERS, OPEN)]
    held, open_ = (channel.conduction for channel in channels)
    assert BARRIERS.ventral * open_ < held < 0.95 * open_

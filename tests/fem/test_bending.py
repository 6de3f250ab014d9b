"""Bending stiffness of a sheet: its energy against closed forms, its planes of symmetry, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from dolfinx import fem, mesh
from mpi4py import MPI

from fem.arrays import Array
from fem.bending import Sheet
from fem.domain import Domain
from fem.errors import ModelError
from fem.laws.mobility import ConstantMobility
from fem.laws.solids import LinearElastic
from fem.poro import PoroModel
from fem.setup import Fixed, Region, Setup
from studies.verification.meshes import mapped

STIFFNESS = 2.0


def model(domain: Domain, fixed: tuple[Fixed, ...] = (), surfaces: tuple[str, ...] = ("sheet",)) -> PoroModel:
    regions = [Region(1, "p", LinearElastic(1.0, 0.3), ConstantMobility(1.0))]
    return PoroModel(domain, Setup(regions=regions, sheets=(Sheet(surfaces, STIFFNESS),), fixed=fixed))


def block(n: int) -> Domain:
    """A block whose middle plane, a unit square, is the sheet; a second sheet stands on it."""
    body = mesh.create_box(MPI.COMM_SELF, [np.array([0, 0, -0.5]), np.array([1, 1, 0.5])], [n, n, 2])
    planes = {"sheet": (2, 0.0), "upright": (0, 0.5), "low": (0, 0.0), "high": (0, 1.0)}
    return Domain.from_mesh(body, {k: lambda x, a=a, v=v: np.isclose(x[a], v) for k, (a, v) in planes.items()})


def tube(n: int) -> Domain:
    """A sheet of radius 1 and length 0.5 within a thick-walled tube, n cells around."""
    angles = 2 * np.pi * np.arange(n) / n
    rings = [(radius, z) for z in (0.0, 0.5) for radius in (0.5, 1.0, 1.5)]
    points = np.array([[r * np.cos(a), r * np.sin(a), z] for r, z in rings for a in angles])
    cells = []
    for first in range(n):
        following = (first + 1) % n
        for ring in (0, n):
            for triangle in ((first, following, first + n), (following, first + n, following + n)):
                p = sorted(vertex + ring for vertex in triangle)
                q = [vertex + 3 * n for vertex in p]
                cells += [(p[0], p[1], p[2], q[2]), (p[0], p[1], q[1], q[2]), (p[0], q[0], q[1], q[2])]
    found = np.array(cells)
    faces = np.unique(np.sort(np.concatenate([np.delete(found, k, axis=1) for k in range(4)]), axis=1), axis=0)
    faces = faces[np.isclose(np.hypot(points[:, 0], points[:, 1]), 1.0)[faces].all(axis=1)]
    tags = np.ones(len(found), dtype=int), np.ones(len(faces), dtype=int)
    return Domain.from_arrays(MPI.COMM_SELF, points, found, tags[0], faces, tags[1], {"sheet": 1})


def energy(poro: PoroModel, displacement: Callable[[Array], Array]) -> float:
    function = fem.Function(poro.vector_space)
    function.interpolate(displacement)
    poro.state.x.array[:] = 0.0
    poro.state.x.array[poro.dofs["u"]] = function.x.array
    state = poro.state.x.petsc_vec
    force = state.duplicate()
    poro.bending.mult(state, force)
    return float(0.5 * state.dot(force))


def lateral(deflection: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: np.stack([0 * x[0], 0 * x[0], deflection(x)])


def dense(matrix: Any) -> Array:
    return np.asarray(matrix.convert("dense").getDenseArray())


ROUND_OFF = 1e-9
"""Of entries D s/h^2, some hundreds, times displacements of one."""


@pytest.mark.parametrize(
    ("deflection", "squares"),
    [
        (lambda x: x[0] ** 2, 4.0),
        (lambda x: x[0] * x[1], 2.0),
        (lambda x: x[0] ** 2 - 3 * x[1] ** 2 + 2 * x[0] + 1, 40.0),
    ],
    ids=["bent", "twisted", "saddle"],
)
def test_quadratic_deflection_has_the_energy_of_its_curvatures(
    deflection: Callable[[Array], Array], squares: float
) -> None:
    assert energy(model(block(3)), lateral(deflection)) == pytest.approx(STIFFNESS / 2 * squares, rel=1e-12)


def test_a_kink_costs_more_the_sharper_the_mesh_draws_it() -> None:
    kink = lateral(lambda x: np.abs(x[0] - 0.5))  # free without the terms at edges
    coarse, fine = (energy(model(block(n)), kink) for n in (2, 4))
    assert fine > 1.9 * coarse > 0


def test_a_flat_sheet_turns_and_stretches_freely() -> None:
    affine = np.array([[0.0, -1.0, 0.3], [1.0, 0.2, 0.5], [0.1, 0.4, -2.0]])
    assert energy(model(block(3)), lambda x: affine @ x + 1.0) == pytest.approx(0.0, abs=ROUND_OFF)


@pytest.mark.parametrize("mode", [2, 3])
def test_modes_of_a_ring_converge_to_their_energy(mode: int) -> None:
    """Radial displacement cos(n t) of a cylinder: int |u''|^2 = pi/(2 R^3) ((n + 1)^4 + (n - 1)^4) per length."""

    def radial(x: Array) -> Array:
        angle = np.arctan2(x[1], x[0])
        return np.cos(mode * angle) * np.stack([np.cos(angle), np.sin(angle), 0 * angle])

    exact = STIFFNESS / 2 * 0.5 * np.pi / 2 * ((mode + 1) ** 4 + (mode - 1) ** 4)
    coarse, fine = (abs(energy(model(tube(n)), radial) / exact - 1) for n in (24, 48))
    assert fine < 0.03
    assert np.log2(coarse / fine) > 1.9


def test_a_plane_of_symmetry_clamps_and_other_ends_turn() -> None:
    slope = lateral(lambda x: x[0])  # it kinks against a mirror image in x = 0, at an end it does not
    assert energy(model(block(3)), slope) == pytest.approx(0.0, abs=ROUND_OFF)
    assert energy(model(block(3), (Fixed(("low",), 0),)), slope) > STIFFNESS
    assert energy(model(block(3), (Fixed(("low",)),)), slope) == pytest.approx(0.0, abs=ROUND_OFF)


def test_matrices_are_symmetric_not_negative_and_the_free_one_leaves_out_what_is_held() -> None:
    poro = model(block(2), (Fixed(("low",), 0), Fixed(("high",))))
    full, free = dense(poro.bending), dense(poro.free_bending)
    assert full == pytest.approx(full.T, abs=1e-12)
    values = np.linalg.eigvalsh(full)
    assert values.min() > -1e-12 * values.max()
    kept = np.setdiff1d(np.arange(len(full)), poro.fixed_dofs)
    assert free[np.ix_(kept, kept)] == pytest.approx(full[np.ix_(kept, kept)], abs=1e-12)
    assert np.abs(full[poro.fixed_dofs]).max() > 0
    assert np.abs(free[poro.fixed_dofs]).max() == np.abs(free[:, poro.fixed_dofs]).max() == 0


def test_surfaces_that_a_mesh_has_not_do_not_bend() -> None:
    assert model(block(2), surfaces=("elsewhere",)).bending.norm() == 0


def test_sheets_that_branch_are_refused() -> None:
    with pytest.raises(ModelError, match="more than two facets"):
        model(block(2), surfaces=("sheet", "upright"))


def test_curved_cells_are_refused() -> None:
    curved = mapped(MPI.COMM_SELF, (1, 1, 1), lambda x: x)
    with pytest.raises(ModelError, match="straight-sided"):
        model(curved, surfaces=("x0",))

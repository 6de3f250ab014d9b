"""The share of a pressure that reactions hold: what nodes hold against their neighbours does not count."""

import numpy as np
import pytest
from mpi4py import MPI

from fem.prestress import share_held

COMM = MPI.COMM_WORLD


@pytest.fixture
def tube():
    """Nodes of a tube of radius 8 mm and length 60 mm, and the forces of a pressure on them."""
    angle, z = np.meshgrid(np.linspace(0, 2 * np.pi, 96, endpoint=False) + 1e-3, np.linspace(0, 60e-3, 61))
    normal = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1).reshape(-1, 3)
    return normal * 8e-3 + z.reshape(-1, 1) * [0.0, 0.0, 1.0], normal


def test_all_of_it_or_a_third(tube):
    points, load = tube
    assert share_held(COMM, points, load, load) == pytest.approx(1.0)
    assert share_held(COMM, points, -load / 3, load) == pytest.approx(1 / 3)


def test_what_neighbours_hold_against_each_other_is_none(tube):
    points, load = tube
    turned = load * np.where(np.arange(len(load)) % 2, 1.0, -1.0)[:, None]
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(load))
    assert share_held(COMM, points, turned, load) < 0.05


def test_a_flattening_without_resultant_counts(tube):
    points, load = tube
    flattening = load * [1.0, -1.0, 0.0]
    assert share_held(COMM, points, flattening, load) == pytest.approx(1.0, abs=1e-9)


def test_half_of_the_body_tells_what_the_whole_does(tube):
    points, load = tube
    force = load * (1 + points[:, 1:2] / 8e-3)
    half = points[:, 0] > 0
    assert share_held(COMM, points[half], force[half], load[half]) == pytest.approx(
        share_held(COMM, points, force, load), rel=0.02
    )

"""Flux-corrected transport on graphs that can be thought through."""

import numpy as np
import pytest
import scipy.sparse as sparse

from fem.advection import MOST_PARTS, Flow, carry

COUNT, STEP, SPEED, SPACING = 60, 4.0, 2e-3, 5e-3


def chain(volume=SPACING):
    """Vertices in a row, each the upstream neighbour of the next; what arrives at the last one leaves."""
    matrix = sparse.diags([-np.ones(COUNT - 1)] * 2, [1, -1]).tocsr()
    leaving = np.zeros(COUNT)
    leaving[-1] = SPEED * STEP
    flow = Flow.between(matrix, -SPEED * np.arange(COUNT), STEP, leaving)
    return flow, np.full(COUNT, volume)


def fed(share=1.0, species=1):
    gained = np.zeros((species, COUNT))
    gained[:, 0] = share * SPEED * STEP
    return gained


def test_fluid_of_one_composition_stays_so_while_its_volume_changes():
    flow, fluid = chain()
    rng = np.random.default_rng(1)
    growth = rng.uniform(0.0, 0.1, COUNT) * SPACING
    before, after = fluid, fluid + growth
    # what swells takes up what the vertex gains beside the flow
    gained = fed() + growth
    content, _ = carry(before[None, :].copy(), gained, (before, after), flow, 3)
    np.testing.assert_allclose(content[0], after, rtol=1e-13)


def test_nothing_is_lost_and_no_share_leaves_its_bounds():
    flow, fluid = chain()
    rng = np.random.default_rng(2)
    content = (rng.uniform(size=(3, COUNT)) > 0.5) * fluid
    gained = fed(0.7, 3)
    put, out = content.sum(axis=1), np.zeros(3)
    for parts in (1, 2, 5, 20):
        content, shares = carry(content, gained, (fluid, fluid), flow, parts)
        put = put + gained.sum(axis=1)
        out += shares @ flow.leaving
        np.testing.assert_allclose(content.sum(axis=1) + out, put, rtol=1e-13)
        assert content.min() >= 0.0
        assert (content / fluid).max() <= 1.0 + 1e-13


def width(parts, corrected, monkeypatch):
    """Distance between the places where a front that has gone 20 cm has shares of .9 and .1."""
    if not corrected:
        monkeypatch.setattr("fem.advection._correction", lambda *_: 0.0)
    flow, fluid = chain()
    content = np.zeros((1, COUNT))
    for _ in range(25):
        content, _ = carry(content, fed(), (fluid, fluid), flow, parts)
    share, place = content[0] / fluid, SPACING * np.arange(COUNT)
    low, middle, high = (float(np.interp(-level, -share, place)) for level in (0.9, 0.5, 0.1))
    assert middle == pytest.approx(25 * STEP * SPEED, abs=1.5 * SPACING)  # the first vertex is a whole one
    return high - low


def test_a_front_stays_within_some_edges(monkeypatch):
    sharp = width(4, True, monkeypatch)
    assert sharp < 8 * SPACING
    smeared = width(4, False, monkeypatch)
    assert sharp < 0.5 * smeared
    # upwinding diffuses by velocity times half an edge and half of what a part passes: a normal distribution's width
    assert smeared == pytest.approx(2.56 * np.sqrt(25 * STEP * SPEED * (SPACING + STEP * SPEED / 4)), rel=0.2)


def test_a_step_is_cut_into_as_many_parts_as_vertices_are_passed():
    flow, fluid = chain()
    everywhere = np.ones((1, COUNT))
    assert flow.parts(0 * everywhere, fluid) == 1
    assert flow.parts(everywhere, fluid) == 2  # 8 mm on edges of 5 mm
    assert flow.parts(everywhere, 1e-3 * fluid) == MOST_PARTS
    # where nothing is carried, fast flow does not count
    fluid[-10:] *= 1e-3
    first = everywhere * (np.arange(COUNT) < 20)
    assert flow.parts(np.vstack([first, 0 * first]), fluid) == 2


def test_pressures_that_differ_by_round_off_drive_nothing():
    matrix = sparse.diags([-np.ones(2)] * 2, [1, -1]).tocsr()
    flow = Flow.between(matrix, np.array([1.0, 0.0, -1e-16]), 1.0, np.zeros(3))
    assert list(zip(flow.start, flow.end, strict=True)) == [(0, 1)]
    assert Flow.between(matrix, np.zeros(3), 1.0, np.zeros(3)).parts(np.ones((1, 3)), np.ones(3)) == 1

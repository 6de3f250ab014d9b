"""Contents carried along the edges of a graph by a flow between its vertices: flux-corrected transport.

Upwinding is conservative and keeps contents positive, and smears a front that has gone a length L on edges of length h
over sqrt(L h): after 5 cm on edges of 1 cm, 2 cm. Central fluxes smear nothing, and oscillate. Both are taken: an
implicit upwind step first, whatever its length; then as much of what separates its fluxes from central ones, at
half-time, as leaves every share within what it and its neighbours had. The sum over the graph is that of the first
step, flux by flux.

Limiter: Zalesak 1979 J Comput Phys 31:335, doi:10.1016/0021-9991(79)90051-2; on the edges of finite elements, fluxes
linearised about the upwind step: Kuzmin 2009 J Comput Phys 228:2517, doi:10.1016/j.jcp.2008.12.011.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg as splinalg

from fem.arrays import Array

SLOW = 0.95
"""Share of what is carried that crosses at most one vertex within a part of a step [1]."""

NEGLIGIBLE = 1e-13
"""Share of the largest flow along an edge that is round-off of pressures [1]; it would only fill a matrix."""

MOST_PARTS = 8
"""Parts of a step at most; beyond it a flow is fast, and its fronts are smeared over what they pass in a part."""


@dataclass(frozen=True)
class Flow:
    """What flows within a step.

    Attributes:
        start, end: vertices of each edge, in the direction of its flow, shape (edges,).
        volume: that goes from start to end [m^3], above zero, shape (edges,).
        leaving: that goes from each vertex out of the graph [m^3], shape (vertices,).
    """

    start: Array
    end: Array
    volume: Array
    leaving: Array

    @classmethod
    def between(cls, matrix: sparse.csr_matrix, pressure: Array, step: float, leaving: Array) -> Flow:
        """From fluxes -K_ij (p_i - p_j) of a symmetric matrix."""
        edges = sparse.triu(matrix, 1).tocoo()
        volume = -step * edges.data * (pressure[edges.row] - pressure[edges.col])
        forward = volume > 0
        start, end = np.where(forward, edges.row, edges.col), np.where(forward, edges.col, edges.row)
        amount = np.abs(volume)
        moving = amount > NEGLIGIBLE * amount.max(initial=0.0)
        return cls(start[moving], end[moving], amount[moving], leaving)

    @property
    def passing(self) -> Array:
        """Volume that goes from each vertex, along edges or out [m^3]."""
        out: Array = self.leaving + np.bincount(self.start, weights=self.volume, minlength=len(self.leaving))
        return out

    def parts(self, content: Array, fluid: Array) -> int:
        """Into how many parts a step is cut, so that the contents (species, vertices) pass about one vertex in each."""
        turns = self.passing / fluid
        order = np.argsort(turns)
        found = 1.0
        for row in content:
            share = np.cumsum(row[order])
            if share[-1] > 0:
                found = max(found, turns[order][np.searchsorted(share, SLOW * share[-1])])
        return int(min(np.ceil(found), MOST_PARTS))


def carry(content: Array, gained: Array, fluid: tuple[Array, Array], flow: Flow, parts: int) -> tuple[Array, Array]:
    """Contents after a step, and what went out with the flow that leaves.

    Args:
        content: before it [m^3], shape (species, vertices).
        gained: put in during it, evenly [m^3], same shape.
        fluid: that the contents are dissolved in before and after it [m^3], above zero, shape (vertices,) each.
        flow: within the step.
        parts: into which the step is cut.

    Returns:
        Contents [m^3], and the mean share that fluid leaves with [1], both of shape (species, vertices).
    """
    before, after = fluid
    share, count = content / before, len(before)
    shares = np.zeros_like(content)
    rate = flow.volume / parts
    vertices = np.arange(count)
    rows, columns = np.concatenate([vertices, flow.end]), np.concatenate([vertices, flow.start])
    for part in range(1, parts + 1):
        held = before + (after - before) * (part / parts)
        matrix = sparse.csc_matrix(
            (np.concatenate([held + flow.passing / parts, -rate]), (rows, columns)), shape=(count, count)
        )
        # columns are diagonally dominant: no pivot has to be looked for
        factors = splinalg.splu(matrix, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        low = factors.solve((content + gained / parts).T).T
        low = np.maximum(low, 0.0)  # round-off of the factorisation, at most 1e-16 of a vertex
        shares += low
        content = held * low + _correction(share, low, held, flow, rate)
        content = np.maximum(content, 0.0)  # bounds hold to round-off
        share = content / held
    return content, shares / parts


def _correction(share: Array, low: Array, fluid: Array, flow: Flow, rate: Array) -> Array:
    """Content that each vertex gains when upwind fluxes are replaced by central ones as far as bounds allow [m^3]."""
    start, end, count = flow.start, flow.end, len(fluid)
    total = np.zeros_like(low)
    for k, (old, new) in enumerate(zip(share, low, strict=True)):
        if not new.any():
            continue
        middle = 0.5 * (old + new)
        flux = rate * (0.5 * (middle[start] + middle[end]) - new[start])
        flux[flux * (new[start] - new[end]) > 0] = 0.0  # it would smear
        # bounds: what a vertex and its neighbours had, before and after the upwind step
        high, least = np.maximum(old, new), np.minimum(old, new)
        top, bottom = high.copy(), least.copy()
        for here, there in ((start, end), (end, start)):
            np.maximum.at(top, here, high[there])
            np.minimum.at(bottom, here, least[there])
        inward, outward = np.maximum(flux, 0.0), np.maximum(-flux, 0.0)
        gain = np.bincount(end, weights=inward, minlength=count) + np.bincount(start, weights=outward, minlength=count)
        loss = np.bincount(start, weights=inward, minlength=count) + np.bincount(end, weights=outward, minlength=count)
        room = np.divide(fluid * (top - new), gain, out=np.ones(count), where=gain > 0)
        reserve = np.divide(fluid * (new - bottom), loss, out=np.ones(count), where=loss > 0)
        room, reserve = np.minimum(room, 1.0), np.minimum(reserve, 1.0)
        taken = flux * np.where(flux > 0, np.minimum(room[end], reserve[start]), np.minimum(room[start], reserve[end]))
        total[k] = np.bincount(end, weights=taken, minlength=count) - np.bincount(start, weights=taken, minlength=count)
    return total

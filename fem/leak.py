"""Leaks of a patch model: the patches of dura that stand for holes, how open they are, and what covers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from dolfinx import fem
from mpi4py import MPI
from scipy.spatial import cKDTree

from fem.arrays import Array
from fem.domain import Domain
from fem.errors import ModelError
from fem.parameters import Leak
from fem.quantities import SPREAD_THRESHOLD
from fem.species import SpeciesTransport
from geometry import SpineMesh, leak_place

SURFACES = ("dura", "dura_sleeve")
"""Where the dura can leak, as far as the mesh has it."""


@dataclass(frozen=True, eq=False)
class LeakPatch:
    """The cells of the sac whose dural facets stand for a leak.

    Attributes:
        leak: as asked for.
        cells: 1 on those cells, else 0, at the local degrees of freedom of DG0.
        area: of the facets in the modelled part [m^2].
    """

    leak: Leak
    cells: Array
    area: float


class LeakFunctions:
    """What the compiled forms know of leaks: functions that are zero where nothing leaks.

    Attributes:
        density: conductance per area [m/(Pa s)].
        flap: 1 where a flap closes against flow into the sac, else 0.
        uptake: fluid taken up where it leaks [m/s].
    """

    def __init__(self, domain: Domain) -> None:
        space = fem.functionspace(domain.mesh, ("DG", 0))
        self.density, self.flap, self.uptake = (fem.Function(space) for _ in range(3))

    def set(self, patches: Sequence[LeakPatch], conductance: Array, uptake: Array) -> None:
        """Set conductances [m^3/(Pa s)] and uptakes [m^3/s] of the leaks' modelled parts."""
        for function in (self.density, self.flap, self.uptake):
            function.x.array[:] = 0.0
        for patch, open_, taken in zip(patches, conductance, uptake, strict=True):
            self.density.x.array[:] += open_ / patch.area * patch.cells
            self.uptake.x.array[:] += taken / patch.area * patch.cells
            self.flap.x.array[:] = np.maximum(self.flap.x.array, float(patch.leak.flap) * patch.cells)


def find_patches(domain: Domain, spine: SpineMesh, leaks: Sequence[Leak], radius: float) -> list[LeakPatch]:
    """Patches of the leaks: the facets whose middle lies within a radius [m], and at least the nearest.

    Raises:
        geometry.AnatomyError: the spine has no such place.
        ModelError: two leaks overlap.
    """
    space = fem.functionspace(domain.mesh, ("DG", 0))
    of_cell = space.dofmap.list.reshape(-1)
    taken = np.zeros(len(of_cell))  # number of the leak, from 1
    patches: list[LeakPatch] = []
    for leak in leaks:
        place = leak_place(spine, leak.interspace, leak.site, leak.side)
        surface = SURFACES[1] if place.on_sleeve else SURFACES[0]
        pairs = domain.surfaces.get(surface, np.empty((0, 2), dtype=np.int32))
        corners = _facet_corners(domain, pairs)
        distance = np.linalg.norm(corners.mean(axis=1) - place.point, axis=1)
        nearest = domain.comm.allreduce(float(distance.min(initial=np.inf)), op=MPI.MIN)
        cells = np.zeros(len(of_cell))
        cells[of_cell[pairs[distance <= max(radius, nearest * (1 + 1e-9)), 0]]] = 1.0
        chosen = cells[of_cell[pairs[:, 0]]] > 0
        edges = corners[chosen][:, 1:] - corners[chosen][:, :1]
        area = 0.5 * float(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1).sum())
        number = len(patches)
        other = int(domain.comm.allreduce(float((taken * cells).max(initial=0.0)), op=MPI.MAX)) - 1
        if other >= 0:
            raise ModelError(
                f"leak {number} ({leak.site}, {leak.interspace}, {leak.side}) lies on the same patch of dura as leak "
                f"{other}; allowed are leaks whose patches of dura, {radius * 1e3:g} mm to each side, lie apart"
            )
        taken[cells > 0] = number + 1
        patches.append(LeakPatch(leak, cells, domain.comm.allreduce(area, op=MPI.SUM)))
    return patches


def _facet_corners(domain: Domain, pairs: Array) -> Array:
    """Corners of facets given as (cell, local facet), (n, 3, 3)."""
    mesh = domain.mesh
    corner = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    nodes = mesh.geometry.dofmap[pairs[:, :1], corner[pairs[:, 1]]] if len(pairs) else np.empty((0, 3), dtype=int)
    return np.asarray(mesh.geometry.x[nodes])


@dataclass
class Openness:
    """How far leaks are closed, per leak.

    Attributes:
        seal: share closed by adherent clot [1].
        holding: pressure that this clot holds [Pa].
        spent: clot per volume that gave way over a leak, or the least left of it since [1]; minus infinity if none did.
        flow: through the modelled part in the last step, out of the sac less into it [m^3/s].
        drop: CSF less epidural pressure [Pa].
    """

    seal: Array
    holding: Array
    spent: Array
    flow: Array
    drop: Array

    def copy(self) -> Openness:
        """An independent copy."""
        return Openness(*(array.copy() for array in (self.seal, self.holding, self.spent, self.flow, self.drop)))


class Leaks:
    """The leaks of a model during a run.

    A leak is closed in the share of its patch that clot covers, at 10 % of clot per volume and above. What has closed
    stays closed while the clot over it is lysed: the film that adheres to the dura outlasts it (small adherent clots
    are all that is left after 18 h, Beards 1993). It gives way where the drop exceeds what the clot holds. Clot that
    gave way does not heal: such a leak closes again only when as much as covers it has clotted over it anew.

    Args:
        patches: of dura.
        transport: of the epidural space.
        vertices: coordinates of its active vertices [m].
        flow: through the modelled part of each leak at the baseline [m^3/s].
        uptake: what of it is taken up where it leaks [m^3/s].
    """

    def __init__(
        self, patches: Sequence[LeakPatch], transport: SpeciesTransport, vertices: Array, flow: Array, uptake: Array
    ) -> None:
        self.patches, self.transport = patches, transport
        self.baseline, self.uptake = flow, uptake
        self.weights = [transport.surface_integrals(patch.cells) for patch in patches]
        self.columns = self._columns(vertices) if patches else []

    def _columns(self, vertices: Array) -> list[Array]:
        """Active vertices over each patch: those whose nearest vertex of the dura belongs to it."""
        everywhere = self.transport.surface_integrals(np.ones_like(self.patches[0].cells))
        dura = np.flatnonzero(everywhere > 0)
        nearest = dura[cKDTree(vertices[dura]).query(vertices)[1]]
        return [np.flatnonzero(weights[nearest] > 0) for weights in self.weights]

    def at_rest(self, drop: Array) -> Openness:
        """Open leaks that carry their baseline flow."""
        count = len(self.patches)
        return Openness(np.zeros(count), np.zeros(count), np.full(count, -np.inf), self.baseline.copy(), drop)

    def next(self, now: Openness, clotted: Array, holding: Array, plug: bool) -> Openness:
        """Openness after a step.

        Args:
            now: before, with the flows and drops of the step that was taken.
            clotted: clot per reference volume at the active vertices [1].
            holding: pressure that the clot holds there [Pa].
            plug: whether clot closes leaks at all.
        """
        seal, held, spent = now.seal.copy(), now.holding.copy(), now.spent.copy()
        for k, weights in enumerate(self.weights):
            clot = float(weights @ clotted) / float(weights.sum())
            spent[k] = min(spent[k], clot)
            cover = min(float(weights @ np.minimum(clotted / SPREAD_THRESHOLD, 1.0)) / float(weights.sum()), 1.0)
            if plug and cover > seal[k] and clot - spent[k] >= SPREAD_THRESHOLD:
                over = weights * clotted
                seal[k], held[k], spent[k] = cover, float(over @ holding) / float(over.sum()), -np.inf
            if seal[k] > 0 and now.drop[k] > held[k]:
                seal[k], spent[k] = 0.0, clot
        return replace(now, seal=seal, holding=held, spent=spent)

    def set(self, functions: LeakFunctions, state: Openness, copies: int, fluidity: Array) -> None:
        """Set what the next step takes: closed shares, viscosity of what flows back, uptake of what leaks at rest."""
        conductance = np.array([patch.leak.conductance / copies for patch in self.patches])
        for k, weights in enumerate(self.weights):
            back = float(weights @ fluidity) / float(weights.sum())
            returns = state.drop[k] < 0 and not self.patches[k].leak.flap
            conductance[k] *= (1 - state.seal[k]) * (back if returns else 1.0)
        share = np.clip(state.flow, 0.0, self.baseline) / np.where(self.baseline > 0, self.baseline, 1.0)
        functions.set(self.patches, conductance, share * self.uptake)

    def beyond_uptake(self, forward: Array, uptake: Array) -> tuple[Array, Array]:
        """What of each leak's flow enters the epidural space, and what its uptake draws from there, at the vertices.

        Compared leak by leak: the two are spread over a patch in slightly different ways, which means nothing.
        """
        entering, drawn = np.zeros_like(forward), np.zeros_like(forward)
        for weights, at_rest, resting_uptake in zip(self.weights, self.baseline, self.uptake, strict=True):
            here = weights > 0
            # the trace by which the two differ at rest is the patient's own fluid
            leaks, taken = float(forward[here].sum()), float(uptake[here].sum()) * at_rest / resting_uptake
            if leaks > taken:
                entering[here] = forward[here] * (1 - taken / leaks)
            elif taken > leaks:
                drawn[here] = uptake[here] * (1 - leaks / taken)
        return entering, drawn

    def openness(self, state: Openness) -> float:
        """Share of the conductance of all leaks that is open [1]; NaN without."""
        whole = np.array([patch.leak.conductance for patch in self.patches])
        return float(whole @ (1 - state.seal) / whole.sum()) if self.patches else float("nan")

    def coverage(self, injected: Array, threshold: float) -> list[float]:
        """Share of each leak's patch that injected content of at least a threshold covers [1]."""
        covered = injected >= threshold
        return [min(float(w @ covered) / float(w.sum()), 1.0) for w in self.weights]

    def thickness(self, clot: Array) -> list[float]:
        """Volume of clot over each leak's patch per area of it [m]."""
        return [float(clot[c].sum()) / p.area for c, p in zip(self.columns, self.patches, strict=True)]


def drop_form(poro: Any, mask: Any) -> Any:
    """Integrand of the drop of pressure over the cells that a mask marks."""
    leak = poro.setup.leaks[0]
    return mask * poro.leak_drop(leak, poro.split(poro.state)[1]) * poro.ds(leak.surfaces)

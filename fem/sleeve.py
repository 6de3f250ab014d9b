"""The root sleeve that a procedure aims at: how much of its surface the injectate coats."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from dolfinx import fem
from mpi4py import MPI

from fem.arrays import Array
from fem.parameters import PatchParameters
from fem.patch import PatchModel
from fem.species import SpeciesTransport
from geometry import foramen_name

SURFACE = "dura_sleeve"


class Sleeve:
    """Vertices of the sleeves that are looked at, weighted with their area.

    The sleeve is that of the first sleeve leak; without one, of the first transforaminal or foraminal injection;
    without either the best coated sleeve of all is reported.
    """

    def __init__(self, model: PatchModel, transport: SpeciesTransport, parameters: PatchParameters) -> None:
        self.weights: list[Array] = []
        if SURFACE not in model.domain.surfaces:
            return
        wanted = next(_aims(parameters), None)
        names = [wanted] if wanted in model.foramina else list(model.foramina)
        space = fem.functionspace(model.domain.mesh, ("DG", 0))
        of_cell = space.dofmap.list.reshape(-1)
        cells = np.unique(model.domain.surfaces[SURFACE][:, 0])
        middle = model.domain.mesh.geometry.x[model.domain.mesh.geometry.dofmap[cells]].mean(axis=1)
        for name in names:
            low, high, side = _extent(model, name)
            chosen = (middle[:, 2] > low) & (middle[:, 2] < high) & (np.sign(middle[:, 0]) == side)
            mask = np.zeros(len(of_cell))
            mask[of_cell[cells[chosen]]] = 1.0
            weights = transport.surface_integrals(mask, SURFACE)
            if weights.any():
                self.weights.append(weights)

    def coverage(self, injected: Array, threshold: float) -> float:
        """Share of the sleeve's surface with injected content of at least a threshold [1]; NaN without sleeves."""
        covered = injected >= threshold
        return max((min(float(w @ covered) / float(w.sum()), 1.0) for w in self.weights), default=float("nan"))


def _aims(parameters: PatchParameters) -> Iterator[str]:
    """Foramina that the procedure aims at, most definite first."""
    for leak in parameters.leaks:
        if leak.site == "sleeve":
            yield foramen_name(leak.interspace, leak.side)
    for injection in parameters.injections:
        if injection.approach != "interlaminar":
            yield foramen_name(injection.interspace, injection.side)


def _extent(model: PatchModel, name: str) -> tuple[float, float, float]:
    """Least and largest height of a foramen's outer face [m], and the sign of x there."""
    mesh = model.domain.mesh
    cells = model.domain.surfaces[name][:, 0]
    points = mesh.geometry.x[mesh.geometry.dofmap[cells]].reshape(-1, 3)
    low = model.comm.allreduce(float(points[:, 2].min(initial=np.inf)), op=MPI.MIN)
    high = model.comm.allreduce(float(points[:, 2].max(initial=-np.inf)), op=MPI.MAX)
    side = model.comm.allreduce(float(np.sign(points[:, 0].sum())), op=MPI.SUM)
    return low, high, float(np.sign(side))

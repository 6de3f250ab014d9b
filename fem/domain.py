"""A tagged mesh, distributed over ranks: cells by region, oriented facets by surface name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem.errors import ModelError


class Domain:
    """Mesh, regions and named surfaces.

    Surface integrals are one-sided: each facet is integrated from exactly one cell, for an interior facet from the cell of
    the larger region tag. Displacement and pressures are continuous functions on the whole mesh, so that nothing is lost,
    element matrices stay small, and no facet is counted twice on any number of ranks.

    Attributes:
        mesh: dolfinx mesh (coordinates in metres).
        region: region tag of every local cell, ghosts included, shape (cells,).
        surfaces: (cell, local facet) pairs owned by this rank, shape (n, 2), by surface name.
        original_cell: index of every local cell in the mesh as given, shape (cells,).
    """

    def __init__(self, mesh: Any, region: np.ndarray, facets: Mapping[str, np.ndarray], original_cell: np.ndarray) -> None:
        self.mesh = mesh
        self.comm: MPI.Comm = mesh.comm
        self.region = np.asarray(region, dtype=np.int32)
        self.original_cell = original_cell
        self.surfaces = {name: self._one_sided(local) for name, local in facets.items()}
        self._surface_ids = {name: number + 1 for number, name in enumerate(sorted(self.surfaces))}
        self.dx = ufl.Measure("dx", domain=mesh, subdomain_data=self._cell_entities())
        self.ds = ufl.Measure(
            "ds",
            domain=mesh,
            subdomain_data=[(self._surface_ids[n], self.surfaces[n].reshape(-1)) for n in sorted(self.surfaces)],
        )

    @classmethod
    def from_arrays(
        cls,
        comm: MPI.Comm,
        points: np.ndarray,
        cells: np.ndarray,
        region: np.ndarray,
        facets: np.ndarray,
        facet_tag: np.ndarray,
        surfaces: Mapping[str, int],
    ) -> Domain:
        """Distribute a tetrahedral mesh that every rank holds as arrays.

        Args:
            comm: communicator.
            points: coordinates [m], shape (n, 3).
            cells: vertices of tetrahedra, shape (m, 4).
            region: tag per cell, shape (m,).
            facets: vertices of tagged triangles, shape (f, 3).
            facet_tag: tag per triangle, shape (f,).
            surfaces: tag by surface name.
        """
        element = ufl.Mesh(basix.ufl.element("Lagrange", "tetrahedron", 1, shape=(3,)))
        root = comm.rank == 0
        partitioner = dmesh.create_cell_partitioner(dmesh.GhostMode.shared_facet)
        mesh = dmesh.create_mesh(
            comm,
            cells.astype(np.int64) if root else np.empty((0, 4), dtype=np.int64),
            points if root else np.empty((0, 3)),
            element,
            partitioner,
        )
        original = np.asarray(mesh.topology.original_cell_index)
        tdim = mesh.topology.dim
        mesh.topology.create_connectivity(tdim - 1, tdim)
        mesh.topology.create_connectivity(tdim, tdim - 1)
        count = mesh.topology.index_map(tdim - 1).size_local + mesh.topology.index_map(tdim - 1).num_ghosts
        nodes = dmesh.entities_to_geometry(mesh, tdim - 1, np.arange(count, dtype=np.int32))
        given = np.sort(np.asarray(mesh.geometry.input_global_indices)[nodes], axis=1)
        tag = _look_up(np.sort(facets, axis=1), facet_tag, given)
        local = {name: np.flatnonzero(tag == number).astype(np.int32) for name, number in surfaces.items()}
        return cls(mesh, np.asarray(region)[original], local, original)

    def measure(self, names: str | Sequence[str]) -> Any:
        """Surface measure of one or more named surfaces.

        Raises:
            ModelError: a name is not a surface of this mesh.
        """
        wanted = [names] if isinstance(names, str) else list(names)
        for name in wanted:
            if name not in self._surface_ids:
                raise ModelError(f"surface {name!r}: the mesh has {', '.join(sorted(self._surface_ids))}")
        return self.ds(tuple(self._surface_ids[name] for name in wanted))

    @property
    def owned_cells(self) -> int:
        """Number of cells that this rank owns."""
        return int(self.mesh.topology.index_map(self.mesh.topology.dim).size_local)

    def facet_indices(self, names: Sequence[str]) -> np.ndarray:
        """Local facet indices of named surfaces, for Dirichlet conditions (one-sided owners only)."""
        connectivity = self.mesh.topology.connectivity(self.mesh.topology.dim, self.mesh.topology.dim - 1)
        found = [connectivity.links(cell)[local] for name in names for cell, local in self.surfaces[name]]
        return np.unique(np.asarray(found, dtype=np.int32))

    def _cell_entities(self) -> list[tuple[int, np.ndarray]]:
        owned = self.region[: self.owned_cells]
        tags = self.comm.allreduce({int(t) for t in np.unique(owned)}, op=UNION)
        return [(tag, np.flatnonzero(owned == tag).astype(np.int32)) for tag in sorted(tags)]

    def _one_sided(self, facets: np.ndarray) -> np.ndarray:
        tdim = self.mesh.topology.dim
        self.mesh.topology.create_connectivity(tdim - 1, tdim)
        self.mesh.topology.create_connectivity(tdim, tdim - 1)
        to_cell = self.mesh.topology.connectivity(tdim - 1, tdim)
        to_facet = self.mesh.topology.connectivity(tdim, tdim - 1)
        pairs = []
        for facet in facets:
            cells = to_cell.links(facet)
            cell = max(cells, key=lambda c: (self.region[c], self.original_cell[c]))
            if cell < self.owned_cells:
                pairs.append((cell, int(np.flatnonzero(to_facet.links(cell) == facet)[0])))
        return np.asarray(pairs, dtype=np.int32).reshape(-1, 2)


UNION = MPI.Op.Create(lambda a, b, _: a | b, commute=True)


def _look_up(known: np.ndarray, value: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Value of each wanted row among known rows, 0 where it is not there."""
    kind = np.dtype([("a", np.int64), ("b", np.int64), ("c", np.int64)])
    keys = np.ascontiguousarray(known, dtype=np.int64).view(kind).reshape(-1)
    order = np.argsort(keys)
    rows = np.ascontiguousarray(wanted, dtype=np.int64).view(kind).reshape(-1)
    place = np.minimum(np.searchsorted(keys[order], rows), max(len(keys) - 1, 0))
    hit = keys[order][place] == rows if len(keys) else np.zeros(len(rows), dtype=bool)
    return np.where(hit, np.asarray(value)[order][place] if len(keys) else 0, 0)

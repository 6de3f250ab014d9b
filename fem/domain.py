"""A tagged mesh, distributed over ranks: cells by region, oriented facets by surface name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem import compat
from fem.arrays import Array
from fem.errors import ModelError
from fem.ranks import joined


class Domain:
    """Mesh, regions and named surfaces.

    Surface integrals are one-sided: each facet is integrated from exactly one cell, for an interior facet from the cell
    of the larger region tag. Displacement and pressures are continuous functions on the whole mesh, so that nothing is
    lost, element matrices stay small, and no facet is counted twice on any number of ranks.

    Attributes:
        mesh: dolfinx mesh (coordinates in metres).
        region: region tag of every local cell, ghosts included, shape (cells,).
        surfaces: (cell, local facet) pairs owned by this rank, shape (n, 2), by surface name.
        original_cell: number of every local cell in the mesh as given, shape (cells,).
    """

    def __init__(self, mesh: Any, region: Array, facets: Mapping[str, Array], original_cell: Array) -> None:
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
        points: Array,
        cells: Array,
        region: Array,
        facets: Array,
        facet_tag: Array,
        surfaces: Mapping[str, int],
        numbers: Array | None = None,
    ) -> Domain:
        """Distribute a mesh that every rank holds as arrays.

        Args:
            comm: communicator.
            points: coordinates [m], shape (n, 2) or (n, 3).
            cells: nodes of the cells in the order of dolfinx: tetrahedra (m, 4) or triangles (m, 3), curved ones of
                second order (m, 10) or (m, 6).
            region: tag per cell, shape (m,).
            facets: nodes of tagged facets, of the cells' own order, shape (f, 3), or (f, 2), (f, 6), (f, 3).
            facet_tag: tag per facet, shape (f,).
            surfaces: tag by surface name.
            numbers: what ``original_cell`` calls each cell, shape (m,); its index by default.

        Raises:
            ModelError: cells of another kind.
        """
        dim, nodes_per_cell = points.shape[1], cells.shape[1]
        if (dim, nodes_per_cell) not in CELLS:
            raise ModelError(f"cells of {nodes_per_cell} nodes in {dim} dimensions: only triangles and tetrahedra")
        shape, degree = CELLS[dim, nodes_per_cell]
        element = ufl.Mesh(basix.ufl.element("Lagrange", shape, degree, shape=(dim,)))
        root = comm.rank == 0
        mesh = compat.create_mesh(
            comm,
            cells.astype(np.int64) if root else np.empty((0, nodes_per_cell), dtype=np.int64),
            points if root else np.empty((0, dim)),
            element,
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
        return cls(mesh, np.asarray(region)[original], local, original if numbers is None else numbers[original])

    @classmethod
    def from_mesh(
        cls,
        mesh: Any,
        surfaces: Mapping[str, Callable[[Array], Array]],
        regions: Mapping[int, Callable[[Array], Array]] | None = None,
    ) -> Domain:
        """Name the surfaces and regions of a dolfinx mesh by where they are.

        Args:
            mesh: made with ghost cells (``GhostMode.shared_facet``) where surfaces between regions are named.
            surfaces: by name, a function of coordinates, shape (3, n), that is true at the vertices of its facets.
            regions: by tag, the same for cells; a cell that none has claimed is of region 1.
        """
        tdim = mesh.topology.dim
        mesh.topology.create_connectivity(tdim - 1, tdim)
        mesh.topology.create_connectivity(tdim, tdim - 1)
        index_map = mesh.topology.index_map(tdim)
        region = np.ones(index_map.size_local + index_map.num_ghosts, dtype=np.int32)
        for tag, inside in (regions or {}).items():
            region[dmesh.locate_entities(mesh, tdim, inside)] = tag
        facets = {name: dmesh.locate_entities(mesh, tdim - 1, on) for name, on in surfaces.items()}
        return cls(mesh, region, facets, np.asarray(mesh.topology.original_cell_index))

    @classmethod
    def from_gmsh(cls, comm: MPI.Comm, model: Any, dim: int = 3) -> Domain:
        """Take the mesh of a Gmsh model, first or second order.

        Physical groups of dimension ``dim`` are regions by their tag, those below are surfaces by their name.

        Args:
            comm: communicator.
            model: ``gmsh.model`` on rank 0; not looked at elsewhere.
            dim: 2 for a plane mesh.

        Raises:
            ModelError: no mesh in it, or none with physical groups; on every rank.
        """
        found: Any = None
        reason, cause = "", None
        if comm.rank == 0:
            try:
                found = _gmsh_arrays(model, dim)
            except Exception as error:  # Gmsh has one kind for all; raised here alone, the other ranks would wait
                reason, cause = str(error), error
        found, reason = comm.bcast((found, reason))
        if found is None:
            raise ModelError(f"the Gmsh model gives no mesh: {reason}") from cause
        return cls.from_arrays(comm, *found)

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

    def facet_indices(self, names: Sequence[str]) -> Array:
        """Local facet indices of named surfaces, for Dirichlet conditions (one-sided owners only)."""
        connectivity = self.mesh.topology.connectivity(self.mesh.topology.dim, self.mesh.topology.dim - 1)
        found = [connectivity.links(cell)[local] for name in names for cell, local in self.surfaces[name]]
        return np.unique(np.asarray(found, dtype=np.int32))

    def _cell_entities(self) -> list[tuple[int, Array]]:
        owned = self.region[: self.owned_cells]
        tags = joined(self.comm, np.unique(owned))
        return [(tag, np.flatnonzero(owned == tag).astype(np.int32)) for tag in sorted(tags)]

    def _one_sided(self, facets: Array) -> Array:
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


CELLS = {
    (2, 3): ("triangle", 1),
    (2, 6): ("triangle", 2),
    (3, 4): ("tetrahedron", 1),
    (3, 10): ("tetrahedron", 2),
}
"""Shape and degree of the cells by dimension and number of nodes."""


def _look_up(known: Array, value: Array, wanted: Array) -> Array:
    """Value of each wanted row among known rows, 0 where it is not there."""
    kind = np.dtype([(f"n{column}", np.int64) for column in range(wanted.shape[1])])
    keys = np.ascontiguousarray(known, dtype=np.int64).view(kind).reshape(-1)
    order = np.argsort(keys)
    rows = np.ascontiguousarray(wanted, dtype=np.int64).view(kind).reshape(-1)
    place = np.minimum(np.searchsorted(keys[order], rows), max(len(keys) - 1, 0))
    hit = keys[order][place] == rows if len(keys) else np.zeros(len(rows), dtype=bool)
    return np.where(hit, np.asarray(value)[order][place] if len(keys) else 0, 0)


def _gmsh_arrays(model: Any, dim: int) -> tuple[Any, ...]:
    """Arguments of ``Domain.from_arrays`` from the physical groups of a Gmsh model.

    Raises:
        ModelError: it has no physical groups for regions or for surfaces.
    """
    for at, what in ((dim, "regions"), (dim - 1, "surfaces")):
        if not model.getPhysicalGroups(at):
            raise ModelError(f"it has no physical groups of dimension {at}, which say its {what}")
    tags, coordinates, _ = model.mesh.getNodes()
    place = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    place[tags.astype(np.int64)] = np.arange(len(tags))

    def group(at: int, number: int) -> Array:
        found = []
        for entity in model.getEntitiesForPhysicalGroup(at, number):
            for kind, nodes in zip(*model.mesh.getElements(at, entity)[::2], strict=True):
                found.append(np.asarray(nodes, dtype=np.int64).reshape(-1, model.mesh.getElementProperties(kind)[3]))
        return place[np.concatenate(found)]

    regions = {number: group(dim, number) for _, number in model.getPhysicalGroups(dim)}
    below = [number for _, number in model.getPhysicalGroups(dim - 1)]
    facets = [group(dim - 1, number) for number in below]
    cells = np.concatenate(list(regions.values()))
    used, cells = np.unique(cells, return_inverse=True)  # nodes without a cell (centres of arcs) are left out
    cells = cells.reshape(-1, len(next(iter(regions.values()))[0]))
    if cells.shape[1] == 10:
        cells = cells[:, GMSH_TETRAHEDRON]
    elif cells.shape[1] == 6:
        cells = cells[:, GMSH_TRIANGLE]
    return (
        coordinates.reshape(-1, 3)[used, :dim],
        cells,
        np.repeat(list(regions), [len(part) for part in regions.values()]),
        np.searchsorted(used, np.concatenate(facets)),
        np.repeat(below, [len(part) for part in facets]),
        {model.getPhysicalName(dim - 1, number): number for number in below},
    )


GMSH_TETRAHEDRON = [0, 1, 2, 3, 8, 9, 5, 7, 6, 4]
GMSH_TRIANGLE = [0, 1, 2, 4, 5, 3]
"""Nodes of Gmsh's second-order cells in the order of dolfinx."""

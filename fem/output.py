"""Fields of a state as VTK unstructured grids, one binary compressed file per region, displacement kept quadratic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import meshio
import numpy as np
from dolfinx.cpp.io import perm_vtk
from dolfinx.mesh import CellType

from fem.arrays import Array
from geometry import Region as Part
from geometry.mesh import mirror_subregions

if TYPE_CHECKING:
    from fem.simulation import Simulation


class FieldSnapshot:
    """Fields at one time, ready to be written; gathering them is collective.

    Attributes:
        time: [s].
    """

    def __init__(self, simulation: Simulation) -> None:
        self.time = simulation.state.time
        model = simulation.model
        self.comm = model.comm
        spine, domain, poro = model.spine, model.domain, model.poro
        owned = domain.owned_cells
        cells = domain.original_cell[:owned]
        space = poro.vector_space
        order = np.argsort(perm_vtk(CellType.tetrahedron, 10))  # from dolfinx to VTK
        dofs = space.dofmap.list[:owned][:, order]
        u = poro.state.x.array[poro.dofs["u"]].reshape(-1, 3)
        base = model.baseline[poro.dofs["u"]].reshape(-1, 3)
        content = simulation.observer.injected_content()
        corner = space.tabulate_dof_coordinates()
        pressure = {}
        for name in poro.pressures:
            values = np.zeros(len(poro.collapsed[name][0].tabulate_dof_coordinates()))
            values[:] = poro.state.x.array[poro.dofs[name]]
            pressure[name] = _edge_means(values[poro.collapsed[name][0].dofmap.list[:owned]])
        volume = simulation.observer.cell_volumes() / simulation.observer.reference_volume
        part = {
            "points": corner[dofs],
            "displacement": (u - base)[dofs],
            "from_table": base[dofs],
            "pressure_e": pressure["e"],
            "pressure_s": pressure["s"],
            "region": spine.region[cells],
            "subregion": spine.subregion[cells],
            "level": spine.level[cells],
            "content": content,
            "J": volume,
        }
        if model.copies > 1:
            part = _with_image(part)
        gathered = self.comm.gather(part, root=0)
        self._data = (
            {key: np.concatenate([piece[key] for piece in gathered]) for key in part} if gathered is not None else None
        )

    def write(self, folder: Path, stem: str) -> list[Path]:
        """Write ``<stem>_<region>.vtu`` for each region (rank 0; others return an empty list).

        Points are the anatomy at the patient's baseline; ``displacement_m`` counts from there.
        """
        if self._data is None:
            return []
        data, paths = self._data, []
        for part in Part:
            chosen = data["region"] == part
            if not chosen.any():
                continue
            corners = (data["points"] + data["from_table"])[chosen].reshape(-1, 3)
            points, first, inverse = np.unique(np.round(corners, 10), axis=0, return_index=True, return_inverse=True)
            name = "e" if part == Part.EPIDURAL else "s"

            def nodal(values: Array, first: Array = first) -> Array:
                return values.reshape(-1, *values.shape[2:])[first]

            grid = meshio.Mesh(
                points,
                [("tetra10", inverse.reshape(-1, 10))],
                point_data={
                    "displacement_m": nodal(data["displacement"][chosen]),
                    "pressure_Pa": nodal(data[f"pressure_{name}"][chosen]),
                },
                cell_data={
                    "volume_ratio": [data["J"][chosen]],
                    "injected_content": [data["content"][chosen]],
                    "subregion": [data["subregion"][chosen].astype(np.int32)],
                    "level": [data["level"][chosen].astype(np.int32)],
                },
            )
            path = folder / f"{stem}_{part.name.lower()}.vtu"
            meshio.write(path, grid, binary=True, compression="zlib")
            paths.append(path)
        return paths


def _with_image(part: dict[str, Array]) -> dict[str, Array]:
    """The cells of the left half and their mirror images."""
    image = {key: values.copy() for key, values in part.items()}
    for key in ("points", "displacement", "from_table"):
        image[key][..., 0] *= -1.0
    image["subregion"] = mirror_subregions()[part["subregion"]].astype(part["subregion"].dtype)
    for key in ("points", "displacement", "from_table", "pressure_e", "pressure_s"):
        image[key] = image[key][:, MIRRORED_NODES]
    return {key: np.concatenate([part[key], image[key]]) for key in part}


MIRRORED_NODES = [0, 2, 1, 3, 6, 5, 4, 7, 9, 8]
"""Nodes of a VTK quadratic tetrahedron in the order that turns its mirror image right side out."""

EDGES = ((0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3))
"""Edges of a VTK quadratic tetrahedron in the order of its mid-side nodes."""


def _edge_means(corner: Array) -> Array:
    """Values at the ten nodes of a VTK quadratic tetrahedron from its four corners, shape (cells, 10)."""
    return np.concatenate([corner, np.stack([corner[:, list(edge)].mean(axis=1) for edge in EDGES], axis=1)], axis=1)

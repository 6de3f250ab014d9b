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
        model, observer = simulation.model, simulation.observer
        self.comm = model.comm
        spine, domain, poro = model.spine, model.domain, model.poro
        owned = domain.owned_cells
        cells = domain.original_cell[:owned]
        space = poro.vector_space
        order = np.argsort(perm_vtk(CellType.tetrahedron, 10))  # from dolfinx to VTK
        dofs = space.dofmap.list[:owned][:, order]
        u = poro.state.x.array[poro.dofs["u"]].reshape(-1, 3)
        base = model.baseline[poro.dofs["u"]].reshape(-1, 3)
        points = space.tabulate_dof_coordinates()
        numbering = space.dofmap.index_map
        part = {
            "points": points[dofs],
            "node": numbering.local_to_global(dofs.reshape(-1)).reshape(dofs.shape),
            "displacement": (u - base)[dofs],
            "from_table": base[dofs],
            "region": spine.region[cells],
            "subregion": spine.subregion[cells],
            "level": spine.level[cells],
            "stress": observer.cauchy_stress(),
            "J": observer.cell_volumes() / observer.reference_volume,
        }
        for name in poro.pressures:
            values = poro.state.x.array[poro.dofs[name]]
            part[f"pressure_{name}"] = _edge_means(values[poro.collapsed[name][0].dofmap.list[:owned]])
        contents = observer.contents()
        self._contents = tuple(contents)
        part |= contents
        if model.copies > 1:
            part = _with_image(part, numbering.size_global)
        gathered = self.comm.gather(part, root=0)
        self._data = (
            {key: np.concatenate([piece[key] for piece in gathered]) for key in part} if gathered is not None else None
        )

    def write(self, folder: Path, stem: str) -> list[Path]:
        """Write ``<stem>_<region>.vtu`` for each region (rank 0; others return an empty list).

        Points are the anatomy at the patient's baseline; ``displacement_m`` counts from there. ``volume_ratio`` and
        contents are per volume of the tabulated anatomy. Numbers are of single precision, points of double.
        """
        if self._data is None:
            return []
        data, paths = self._data, []
        for part in Part:
            chosen = data["region"] == part
            if not chosen.any():
                continue
            _, first, inverse = np.unique(data["node"][chosen], return_index=True, return_inverse=True)
            pressure = "pressure_e" if part == Part.EPIDURAL else "pressure_s"

            def nodal(values: Array, chosen: Array = chosen, first: Array = first) -> Array:
                return values[chosen].reshape(-1, *values.shape[2:])[first]

            def cellwise(values: Array, kind: type = np.float32, chosen: Array = chosen) -> list[Array]:
                return [values[chosen].astype(kind)]

            grid = meshio.Mesh(
                nodal(data["points"] + data["from_table"]),
                [("tetra10", inverse.reshape(-1, 10))],
                point_data={
                    "displacement_m": nodal(data["displacement"]).astype(np.float32),
                    "pressure_Pa": nodal(data[pressure]).astype(np.float32),
                },
                cell_data={
                    "volume_ratio": cellwise(data["J"]),
                    **{name: cellwise(data[name]) for name in self._contents},
                    "cauchy_stress_Pa": cellwise(data["stress"]),
                    "subregion": cellwise(data["subregion"], np.int32),
                    "level": cellwise(data["level"], np.int32),
                },
            )
            path = folder / f"{stem}_{part.name.lower()}.vtu"
            meshio.write(path, grid, binary=True, compression="zlib")
            paths.append(path)
        return paths


def _with_image(part: dict[str, Array], nodes: int) -> dict[str, Array]:
    """The cells of the left half and their mirror images; ``nodes`` is the number of nodes of the half."""
    image = {key: values.copy() for key, values in part.items()}
    for key in ("points", "displacement", "from_table"):
        image[key][..., 0] *= -1.0
    image["stress"][:, [3, 5]] *= -1.0  # xy and xz
    image["subregion"] = mirror_subregions()[part["subregion"]].astype(part["subregion"].dtype)
    image["node"] += nodes * (np.abs(part["points"][..., 0]) > ON_MIDLINE)
    for key in ("points", "node", "displacement", "from_table", "pressure_e", "pressure_s"):
        image[key] = image[key][:, MIRRORED_NODES]
    return {key: np.concatenate([part[key], image[key]]) for key in part}


ON_MIDLINE = 1e-9
"""A node nearer to the midsagittal plane than this [m] is its own image."""

MIRRORED_NODES = [0, 2, 1, 3, 6, 5, 4, 7, 9, 8]
"""Nodes of a VTK quadratic tetrahedron in the order that turns its mirror image right side out."""

EDGES = ((0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3))
"""Edges of a VTK quadratic tetrahedron in the order of its mid-side nodes."""


def _edge_means(corner: Array) -> Array:
    """Values at the ten nodes of a VTK quadratic tetrahedron from its four corners, shape (cells, 10)."""
    return np.concatenate([corner, np.stack([corner[:, list(edge)].mean(axis=1) for edge in EDGES], axis=1)], axis=1)

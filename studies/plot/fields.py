"""The fields of a run as pictures need them: deformed grids in millimetres, cuts, and outlines of cuts."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from studies.errors import InputError

PVD: Final = "fields.pvd"
REGIONS: Final = ("epidural", "subarachnoid", "cord")
DISPLACEMENT: Final = "displacement_m"
PRESSURE: Final = "pressure_Pa"
CONTENT: Final = "injected_content"
CLOT: Final = "clot_content"
SUBREGION: Final = "subregion"
"""Names of the arrays in the `.vtu` files; the clot is absent where clotting is not modelled."""

MM: Final = 1e3
SAME: Final = 1e-5
"""Points of a cut nearer than this [mm] are one."""

KEPT_GRIDS: Final = 12
"""Grids kept in memory; one moment has three."""

Array = npt.NDArray[Any]
Axis = Literal["x", "y", "z"]


@dataclass(frozen=True)
class Moment:
    """Fields at one output time [s], a file per region."""

    time: float
    files: Mapping[str, Path]

    def grid(self, region: str) -> Any | None:
        """Deformed grid of a region [mm], cell arrays but the subregion averaged to points; None where there is none.

        Raises:
            InputError: the file is missing or damaged.
        """
        return _grid(self.files[region]) if region in self.files else None


@dataclass(frozen=True)
class Fields:
    """Output times of a run; empty where fields were not written."""

    moments: tuple[Moment, ...]

    @property
    def times(self) -> list[float]:
        """Output times [s]."""
        return [moment.time for moment in self.moments]

    def nearest(self, time: float, slack: float = float("inf")) -> Moment | None:
        """The moment nearest to a time [s]; None where none is within `slack` times that time."""
        if not self.moments:
            return None
        moment = min(self.moments, key=lambda item: abs(item.time - time))
        return moment if abs(moment.time - time) <= slack * max(time, 1.0) else None


def read_fields(folder: Path) -> Fields:
    """What `fields.pvd` of a run folder names; empty where it is missing.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / PVD
    if not path.is_file():
        return Fields(())
    moments: dict[float, dict[str, Path]] = {}
    try:
        for item in ElementTree.parse(path).iter("DataSet"):
            file = folder / item.attrib["file"]
            region = next((name for name in REGIONS if file.stem.endswith(name)), None)
            if region is not None:
                moments.setdefault(float(item.attrib["timestep"]), {})[region] = file
    except (ElementTree.ParseError, KeyError, ValueError, OSError) as error:
        raise InputError(str(path), "a damaged file", "allowed is the collection that the run wrote") from error
    return Fields(tuple(Moment(time, files) for time, files in sorted(moments.items())))


@lru_cache(maxsize=KEPT_GRIDS)
def _grid(path: Path) -> Any:
    import pyvista

    damaged = InputError(str(path), "a missing or damaged file", "allowed are the fields that the run wrote")
    with pyvista.vtk_verbosity("off"):
        try:
            grid = pyvista.read(path)
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            raise damaged from error
    if not getattr(grid, "n_cells", 0) or DISPLACEMENT not in grid.point_data:
        raise damaged
    grid.points = (np.asarray(grid.points, float) + np.asarray(grid.point_data[DISPLACEMENT], float)) * MM
    smooth = grid.cell_data_to_point_data(pass_cell_data=False)
    if SUBREGION in grid.cell_data:  # arrays of one name at cells and at points would be confused
        del smooth.point_data[SUBREGION]
        smooth.cell_data[SUBREGION] = grid.cell_data[SUBREGION]
    return smooth


@dataclass(frozen=True)
class Cut:
    """A plane cut: points (n, 2) [mm], triangles (m, 3), arrays by name (n,), and closed outlines."""

    points: Array
    triangles: Array
    arrays: Mapping[str, Array]
    outlines: tuple[Array, ...]

    @property
    def empty(self) -> bool:
        """Whether the plane misses the region."""
        return len(self.triangles) == 0

    @property
    def area(self) -> float:
        """Area of the cut [mm^2]."""
        a, b, c = (self.points[self.triangles[:, k]] for k in range(3))
        u, v = b - a, c - a
        return float(0.5 * np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).sum())


NOTHING: Final = Cut(np.zeros((0, 2)), np.zeros((0, 3), dtype=int), {}, ())


def cut(grid: Any | None, axis: Axis, at: float) -> Cut:
    """Cut of a grid by a plane normal to an axis.

    Args:
        grid: as from `Moment.grid`; None gives an empty cut.
        axis: "z" gives points (x, y), "x" gives (y, z), "y" gives (x, z).
        at: coordinate of the plane [mm].
    """
    if grid is None:
        return NOTHING
    number = "xyz".index(axis)
    origin = [0.0, 0.0, 0.0]
    origin[number] = at
    surface = grid.slice(normal=axis, origin=origin)
    if surface.n_cells == 0:
        return NOTHING
    surface = surface.triangulate()
    keep = [index for index in range(3) if index != number]
    rounded = np.round(np.asarray(surface.points, float)[:, keep] / SAME).astype(np.int64)
    _, first, inverse = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
    triangles = inverse.ravel()[np.asarray(surface.regular_faces, int)]
    whole = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    points, triangles = np.asarray(surface.points, float)[first][:, keep], triangles[whole]
    arrays = {name: np.asarray(surface.point_data[name])[first] for name in surface.point_data}
    return Cut(points, triangles, arrays, tuple(points[loop] for loop in border_lines(triangles)))


def border_lines(triangles: Array) -> list[list[int]]:
    """Lines of vertices along the edges that belong to one triangle (m, 3) only, the longest first."""
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    pairs, count = np.unique(edges, axis=0, return_counts=True)
    following: dict[int, set[int]] = {}
    for a, b in pairs[count == 1].tolist():
        following.setdefault(a, set()).add(b)
        following.setdefault(b, set()).add(a)
    lines = []
    while following:
        ends = [vertex for vertex, others in following.items() if len(others) == 1]
        line = [ends[0] if ends else next(iter(following))]
        while line[-1] in following:
            here = line[-1]
            there = following[here].pop()
            following[there].discard(here)
            for vertex in (here, there):
                if not following[vertex]:
                    del following[vertex]
            line.append(there)
        lines.append(line)
    return sorted(lines, key=len, reverse=True)


def without(grid: Any | None, subregion: int) -> Any | None:
    """The cells of a grid that do not belong to a subregion."""
    if grid is None or SUBREGION not in grid.cell_data:
        return grid
    kept = grid.extract_cells(np.asarray(grid.cell_data[SUBREGION]) != subregion)
    return kept if kept.n_cells else None


def joined(grids: list[Any]) -> Any | None:
    """Several regions as one, so that their common border is no outline."""
    import pyvista

    there = [grid for grid in grids if grid is not None]
    if not there:
        return None
    return pyvista.merge(there, merge_points=True) if len(there) > 1 else there[0]

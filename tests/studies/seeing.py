"""A run folder with fields, made without the solver: a round canal with sac and cord, and blood on its dorsal side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import meshio
import numpy as np

from studies.inputs import build_anatomy, end_of_injection
from studies.provenance import provenance
from studies.reading import case_toml, validate_case
from studies.resolve import resolve
from studies.runfolder import RunFolder
from tests.studies.fake import FakeMesh, row

CASE = {"injection": [{"level": "T11/T12", "volume": "6 mL"}], "anatomy": {"span": ["T10", "L1"]}}
CORD_RADIUS, SAC_RADIUS, WALL_RADIUS = 3e-3, 6e-3, 9e-3
SQUEEZE = 1.5e-3
"""The dura moves inwards by this much [m] at the injected level at the peak."""

SLICES, SECTORS = 25, 16
KINDS = ("run", "sweep", "comparison")
"""Of pages."""


def rings(levels: tuple[float, ...], heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and tetrahedra of the tube between radii; the first radius 0 is an axis."""
    angle = np.arange(SECTORS) * 2 * math.pi / SECTORS
    points = np.array([[r * math.cos(a), r * math.sin(a), z] for z in heights for r in levels for a in angle])
    index = np.arange(len(points)).reshape(len(heights), len(levels), SECTORS)
    cells = []
    for k in range(len(heights) - 1):
        for ring in range(len(levels) - 1):
            for s in range(SECTORS):
                t = (s + 1) % SECTORS
                a, b, c, d = (index[k, ring, s], index[k, ring + 1, s], index[k, ring + 1, t], index[k, ring, t])
                e, f, g, h = (
                    index[k + 1, ring, s], index[k + 1, ring + 1, s], index[k + 1, ring + 1, t], index[k + 1, ring, t],
                )  # fmt: skip
                cells += [(a, b, c, g), (a, c, d, g), (a, d, h, g), (a, h, e, g), (a, e, f, g), (a, f, b, g)]
    return points, np.array(cells)


class Drawing:
    """Fields at one time: what `fem.output.FieldSnapshot` writes, for a tube."""

    def __init__(self, moment: float, strength: float, heights: np.ndarray, focus: float) -> None:
        self.time, self.strength, self.heights, self.focus = moment, strength, heights, focus

    def write(self, folder: Path, stem: str) -> list[Path]:
        """One file per region."""
        paths = []
        radii = {
            "epidural": (SAC_RADIUS, 0.5 * (SAC_RADIUS + WALL_RADIUS), WALL_RADIUS),
            "subarachnoid": (CORD_RADIUS, SAC_RADIUS),
            "cord": (1e-5, CORD_RADIUS),
        }
        for number, (region, levels) in enumerate(radii.items()):
            points, cells = rings(levels, self.heights)
            radius = np.hypot(points[:, 0], points[:, 1])
            near = np.exp(-(((points[:, 2] - self.focus) / 0.02) ** 2))
            inward = -SQUEEZE * self.strength * near * np.clip(1 - abs(radius - SAC_RADIUS) / 3e-3, 0, 1)
            moved = np.zeros_like(points)
            moved[:, :2] = points[:, :2] / np.maximum(radius, 1e-9)[:, None] * inward[:, None]
            middle = points[cells].mean(axis=1)
            close = np.exp(-(((middle[:, 2] - self.focus) / 0.02) ** 2))
            content = self.strength * close * (middle[:, 1] < 0)
            pressure = (600.0 + 1200.0 * self.strength * near) if region == "epidural" else np.full(len(points), 700.0)
            subregion = {"epidural": 2, "subarachnoid": 6, "cord": 8}[region]
            grid = meshio.Mesh(
                points,
                [("tetra", cells)],
                point_data={"displacement_m": moved, "pressure_Pa": pressure},
                cell_data={
                    "volume_ratio": [np.ones(len(cells))],
                    "injected_content": [content if number == 0 else np.zeros(len(cells))],
                    "subregion": [np.full(len(cells), subregion, np.int32)],
                    "level": [np.zeros(len(cells), np.int32)],
                },
            )
            path = folder / f"{stem}_{region}.vtu"
            meshio.write(path, grid, binary=True, compression="zlib")
            paths.append(path)
        return paths


def strength(moment: float, end: float) -> float:
    """Grows with the injection and fades after it."""
    return min(moment / end, 1.0) * math.exp(-max(moment - end, 0.0) / 600.0)


def profile(moment: float, force: float, heights: np.ndarray, focus: float) -> list[dict[str, float]]:
    """A row per slice, with the columns of `fem.observe`."""
    rows = []
    for z in 0.5 * (heights[1:] + heights[:-1]):
        near = force * math.exp(-(((z - focus) / 0.02) ** 2))
        sac = math.pi * (SAC_RADIUS - SQUEEZE * near) ** 2 * 1e6
        rows.append(
            {
                "time_s": moment, "z_mm": z * 1e3, "segment": 0.0, "sac_area_mm2": sac,
                "sac_area_baseline_mm2": math.pi * SAC_RADIUS**2 * 1e6, "cord_area_mm2": 28.0,
                "cord_area_baseline_mm2": 28.0, "cord_ap_mm": 6.0, "canal_occupancy": 0.5 * near,
                "canal_injected": 0.4 * near, "patch_area_mm2": 100 * near, "csf_pressure_mmHg": 5.0,
                "epidural_pressure_mmHg": 6.0,
            }
        )  # fmt: skip
    return rows


def make_run(path: Path, times: tuple[float, ...] = (0.0, 9.0, 18.0, 300.0, 618.0), **changes: Any) -> Path:
    """A finished run folder with fields at `times` [s]."""
    case = resolve(validate_case(CASE | changes))
    anatomy = build_anatomy(case)
    low, high = anatomy.span_bounds(case.anatomy.span)
    focus = anatomy.interspace_z(case.injection[-1].level)
    heights = np.linspace(low, high, SLICES)
    end = end_of_injection(case)
    folder = RunFolder(
        path, case_toml(case), provenance(case, FakeMesh(), 1), "key", injection_end=end, fields=True,
        mesh_note="draft; discretisation error not yet measured",
    )  # fmt: skip
    last = max((*times, end + case.time.follow_up))
    before = 0.0
    for moment in sorted({*times, 0.0, end, end + 20.0, 60.0, 300.0, last}):
        folder.row(row(case, moment, moment - before))
        before = moment
    for moment in times:
        force = strength(moment, end)
        folder.profile(profile(moment, force, heights, focus))
        folder.fields(Drawing(moment, force, heights, focus))
    folder.finished({"degrees_of_freedom": 1.0, "newton_iterations": 1.0, "wall_time_s": 1.0, "mesh_quality_min": 0.3})
    return path

"""The patch, the sac and the cord in three dimensions, drawn off screen."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from studies.errors import InputError
from studies.plot.axial import moments
from studies.plot.fields import CONTENT, Moment, joined
from studies.plot.run import Run
from studies.plot.style import COVERED, PATCH, legend_row, level_axis

SAC: Final = "#7fb7dd"
CORD_COLOUR: Final = "#e6c229"
WALL: Final = "#8c8672"
THROUGH: Final = 0.6
"""Opacity of the patch where it is not cut open: the sac is seen through it."""

PIXELS_PER_MM: Final = 7.0
LARGEST: Final = 2200
"""Largest height of a picture [pixels]."""

AROUND: Final = 6.0
"""Margin around the canal [mm]."""

VIEWS: Final = (
    ("from behind\nand left", (-0.75, -1.0), False),
    ("from the left,\nopened in the midline", (-1.0, 0.0), True),
)
"""Directions (right, anterior) from which it is seen, and whether the left half of patch and sac is taken away.

All are horizontal, so that heights stay true."""

TALL: Final = 6.4
"""Height of the pictures [inch]."""


def space_figure(run: Run) -> tuple[Figure, str] | None:
    """Two views at the peak; None where there are no fields.

    Raises:
        InputError: pictures cannot be drawn off screen on this machine.
    """
    chosen, _ = moments(run)
    if not chosen:
        return None
    title, moment = next(((t, m) for t, m in chosen if t.startswith("at the peak")), chosen[-1])
    wall = joined([moment.grid(region) for region in ("epidural", "subarachnoid", "cord")])
    assert wall is not None
    bounds = np.asarray(wall.bounds, float)
    bounds[:2] = -bounds[1], -bounds[0]
    pictures = [(name, *_render(moment, wall, bounds, direction, opened)) for name, direction, opened in VIEWS]
    high = bounds[5] - bounds[4] + 2 * AROUND
    width = sum(extent[1] - extent[0] for _, _, extent in pictures)
    figure = Figure(figsize=(max(TALL * width / high, 3.8) + 0.8, TALL + 1.3), layout="compressed")
    cells = figure.add_gridspec(2, 2, height_ratios=[TALL, 0.5], width_ratios=[e[1] - e[0] for _, _, e in pictures])
    row = [figure.add_subplot(cells[0, index]) for index in range(2)]
    for axes, (name, image, extent) in zip(row, pictures, strict=True):
        axes.imshow(image, extent=extent, interpolation="lanczos")
        axes.set_title(name, fontsize=8.5, loc="center")
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
    level_axis(row[0], run.places.ticks, [], along="y")
    handles = [
        Patch(facecolor=PATCH, label="patch, content 10 % or more"),
        Patch(facecolor=SAC, label="thecal sac"),
        Patch(facecolor=WALL, alpha=0.3, label="wall of the canal"),
    ]
    if moment.grid("cord") is not None:
        handles.insert(2, Patch(facecolor=CORD_COLOUR, label="cord"))
    legend_row(figure.add_subplot(cells[1, :]), handles, 2)
    figure.suptitle(f"{run.title}\n{title}", fontsize=9.5)
    return figure, (
        "Patch, thecal sac and cord in three dimensions, deformed shape, drawn to scale. The patch is where "
        "the injected content is at least 10 % of the reference volume. Right: cut open in the midline."
    )


def _render(
    moment: Moment, wall: Any, bounds: npt.NDArray[Any], direction: tuple[float, float], opened: bool
) -> tuple[npt.NDArray[Any], tuple[float, float, float, float]]:
    """Picture and its extent [mm] across and along the canal, in a parallel projection from the side."""
    import pyvista

    middle = 0.5 * (bounds[::2] + bounds[1::2])
    towards = np.array([*direction, 0.0]) / np.hypot(*direction)
    across = np.array([-towards[1], towards[0], 0.0])
    reach = max(abs(float(np.array([x, y, 0.0]) @ across - middle @ across)) for x in bounds[:2] for y in bounds[2:4])
    half_width, half_height = reach + AROUND, 0.5 * (bounds[5] - bounds[4]) + AROUND
    scale = min(PIXELS_PER_MM, LARGEST / (2 * half_height))
    size = (round(2 * half_width * scale), round(2 * half_height * scale))
    try:
        plotter = pyvista.Plotter(off_screen=True, window_size=list(size), lighting="light kit")
        plotter.set_background("white")
        sac, cord = joined([moment.grid("subarachnoid"), moment.grid("cord")]), moment.grid("cord")
        through = 1.0 if opened else THROUGH
        parts = [(wall, WALL, 0.12), (sac, SAC, 1.0), (cord, CORD_COLOUR, 1.0), (covered(moment), PATCH, through)]
        for grid, colour, opacity in parts:
            shown = _right_half(grid) if opened and grid is not cord and grid is not wall else grid
            if shown is not None:
                plotter.add_mesh(
                    _surface(shown), color=colour, opacity=opacity, smooth_shading=True, specular=0.1, ambient=0.35
                )
        plotter.enable_parallel_projection()
        # No depth peeling: where VTK draws in software, it loses what is translucent.
        plotter.camera.focal_point = middle
        plotter.camera.position = middle + towards * 4 * half_height
        plotter.camera.up = (0.0, 0.0, 1.0)
        plotter.camera.parallel_scale = half_height
        plotter.camera.clipping_range = (0.1, 10 * half_height)
        image = np.asarray(plotter.screenshot(return_img=True))
        plotter.close()
    except RuntimeError as error:
        raise InputError("3D view", str(error), "allowed is a machine on which VTK draws off screen") from error
    return image, (-half_width, half_width, float(middle[2] - half_height), float(middle[2] + half_height))


def covered(moment: Moment) -> Any | None:
    """The part of the epidural space that the patch covers; None where there is none."""
    grid = moment.grid("epidural")
    if grid is None or CONTENT not in grid.point_data or grid.point_data[CONTENT].max() < COVERED:
        return None
    patch = grid.clip_scalar(scalars=CONTENT, value=COVERED, invert=False)
    return patch if patch.n_cells else None


def _right_half(grid: Any | None) -> Any | None:
    """The part of a grid on the patient's right."""
    if grid is None:
        return None
    half = grid.clip(normal="x", origin=(0.0, 0.0, 0.0), invert=True)
    return half if half.n_cells else None


def _surface(grid: Any) -> Any:
    """Smooth surface, x to the right: x to the left, y anterior, z cranial is left-handed, and a screen is not."""
    surface = grid.extract_surface(algorithm="dataset_surface", nonlinear_subdivision=1)
    surface.points[:, 0] *= -1.0
    return surface.triangulate().compute_normals(split_vertices=True, feature_angle=50.0, auto_orient_normals=True)

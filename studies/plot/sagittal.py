"""The sagittal cut in the midline: pressure and spread."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from studies.plot.axial import moments
from studies.plot.fields import CONTENT, PRESSURE, Cut, Moment, cut, joined
from studies.plot.run import Run, mmhg
from studies.plot.style import (
    CORD_LINE,
    FULL,
    GREY,
    LEAK_LINE,
    LEAK_WORDS,
    PRESSURE_MAP,
    SAC_LINE,
    SPREAD_MAP,
    content_bar,
    edge_of_patch,
    level_axis,
    shaded,
)

BESIDE: Final = 0.01
"""The cut is this far beside the midline [mm], where mirrored meshes have faces."""

WIDER: Final = 3.0
"""The canal is drawn this many times as wide as it is long."""

PER_COLUMN: Final = 1.15
"""Width of a column [inch]."""

AROUND: Final = 1.0
"""Margin around the canal [mm]."""

LEAST_HEIGHT: Final = 2.6
MOST_HEIGHT: Final = 8.5
"""Heights of the columns [inch]."""


def midline(moment: Moment) -> dict[str, Cut]:
    """Sagittal cuts of the regions and of the sac as a whole; points are (y, z)."""
    grids = {region: moment.grid(region) for region in ("epidural", "subarachnoid", "cord")}
    made = {region: cut(grid, "x", BESIDE) for region, grid in grids.items()}
    made["sac"] = cut(joined([grids["subarachnoid"], grids["cord"]]), "x", BESIDE)
    return made


def sagittal_figure(run: Run) -> tuple[Figure, str] | None:
    """Pressure and spread along the canal; None where there are no fields."""
    chosen, missing = moments(run)
    if not chosen:
        return None
    made = [(title, midline(moment)) for title, moment in chosen]
    if all(part["epidural"].empty for _, part in made):
        return None
    pressures = np.concatenate(
        [mmhg(part.arrays[PRESSURE]) for _, parts in made for part in parts.values() if PRESSURE in part.arrays]
    )
    low, high = float(pressures.min()), float(pressures.max())
    norm = Normalize(low, high if high > low else low + 1.0)
    columns = len(made)
    spread = made[1:] if chosen[0][1].time == 0.0 and columns > 1 else made
    length, depth = np.ptp(made[0][1]["epidural"].points, axis=0)[::-1]
    tall = min(max(PER_COLUMN * length / (WIDER * depth), LEAST_HEIGHT), MOST_HEIGHT)
    total = columns + len(spread)
    wide = total * min(PER_COLUMN, tall * WIDER * depth / length) + 2.6
    figure = Figure(layout="compressed", figsize=(wide, tall + 0.9))
    cells = figure.add_gridspec(1, total + 2, width_ratios=[*[1.0] * columns, 0.1, *[1.0] * len(spread), 0.1])
    row = [figure.add_subplot(cells[0])]
    row += [figure.add_subplot(cells[index], sharey=row[0]) for index in range(1, total + 1) if index != columns]
    for axes, (title, parts) in zip(row[:columns], made, strict=True):
        draw_midline(axes, parts, PRESSURE, norm, PRESSURE_MAP)
        axes.set_title(title.replace(", ", "\n"), fontsize=8)
    for axes, (title, parts) in zip(row[columns:], spread, strict=True):
        draw_midline(axes, parts, CONTENT, Normalize(0, FULL), SPREAD_MAP)
        axes.set_title(title.replace(", ", "\n"), fontsize=8)
    around = frame(made[0][1]["epidural"])
    for axes in row:
        axes.set(**around)
    level_axis(row[0], run.places.ticks, run.places.borders, along="y")
    for axes in row[1:]:
        axes.tick_params(length=0, labelleft=False)
        for border in run.places.borders:
            axes.axhline(border, color="#d0d0d0", lw=0.5, zorder=0)
    marks = [(z, "black") for z in run.injected_heights.values()] + [(z, LEAK_LINE) for z in run.leak_heights.values()]
    for z, colour in marks:
        low, high = row[0].get_xlim()
        row[0].annotate(
            "", (low + 0.05 * (high - low), z), (low - 0.25 * (high - low), z), annotation_clip=False,
            arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.2},
        )  # fmt: skip
    figure.colorbar(
        ScalarMappable(norm, PRESSURE_MAP), cax=figure.add_subplot(cells[columns]), label="pore pressure [mmHg]"
    )
    content_bar(figure, figure.add_subplot(cells[total + 1]), SPREAD_MAP, "vertical")
    figure.suptitle(f"Midline: {run.title}", fontsize=10)
    caption = (
        f"Sagittal cut in the midline, seen from the left (anterior to the left), drawn {WIDER:g} times as wide as it "
        "is. Left: pore pressure, which jumps across the dura (blue line). Right: injected content per reference "
        "volume; dark line: "
        f"10 %. Arrow: injected interspace{LEAK_WORDS if run.leak_heights else ''}. {missing}"
    )
    return figure, caption.strip()


def frame(canal: Cut) -> dict[str, tuple[float, float]]:
    """Limits of the axes around a midline cut: alike in every picture of a run, so that levels lie side by side."""
    low, high = canal.points.min(axis=0) - AROUND, canal.points.max(axis=0) + AROUND
    return {"xlim": (float(high[0]), float(low[0])), "ylim": (float(low[1]), float(high[1]))}


def draw_midline(axes: Axes, parts: dict[str, Cut], name: str, norm: Any, colours: Any) -> None:
    """One quantity on the midline cut, seen from the left."""
    for region in ("epidural", "subarachnoid", "cord"):
        part = parts[region]
        if part.empty:
            continue
        values = part.arrays.get(name)
        if name == CONTENT and region != "epidural":
            values = np.zeros(len(part.points))
        if values is None:
            continue
        shown = mmhg(values) if name == PRESSURE else np.clip(values, 0, FULL)
        shaded(axes, part, shown, norm, colours)
        if name == CONTENT and region == "epidural":
            edge_of_patch(axes, part, shown, "#5b2100")
    axes.add_collection(LineCollection(list(parts["sac"].outlines), colors=SAC_LINE, lw=0.9))
    cord = CORD_LINE if name == PRESSURE else GREY
    axes.add_collection(LineCollection(list(parts["cord"].outlines), colors=cord, lw=0.9))
    axes.set_aspect(1 / WIDER)
    axes.set_xticks([])
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)

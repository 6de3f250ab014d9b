"""The axial cut at the injected level, grey as on CT, with the patch in colour."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from geometry import Subregion
from studies.plot.fields import CLOT, CONTENT, Cut, Moment, cut, joined, without
from studies.plot.run import DAY, HOUR, Run, duration
from studies.plot.style import (
    BONE,
    CLOT_LINE,
    CORD,
    CORD_LINE,
    CSF,
    FAT,
    FULL,
    GREY,
    PATCH,
    PATCH_MAP,
    SAC_LINE,
    content_bar,
    edge_of_patch,
    legend_row,
    shaded,
)

LATER: Final = (("at 3 h", 3 * HOUR), ("on day 3", 3 * DAY))
SLACK: Final = 0.1
"""An output time stands for a wanted one if it is within this share of it."""

MARGIN: Final = 4.0
"""Bone drawn around the canal [mm]; the model has none, its wall is the edge of the picture's canal."""


def moments(run: Run) -> tuple[list[tuple[str, Moment]], str]:
    """The moments that are shown, with their titles, and what could not be shown in words."""
    if not run.fields.moments:
        return [], ""
    first = run.fields.moments[0]
    peak = run.fields.nearest(run.peak_time)
    assert peak is not None
    chosen: dict[float, tuple[str, Moment]] = {}
    if first.time == 0.0:
        chosen[first.time] = ("before", first)
    chosen.setdefault(peak.time, (f"at the peak, {duration(peak.time)}", peak))
    missing = []
    for title, time in LATER:
        moment = run.fields.nearest(time, SLACK)
        if moment is None:
            missing.append(" ".join(title.split()[-2:]))
        else:
            chosen.setdefault(moment.time, (title, moment))
    last = run.fields.moments[-1]
    if missing:
        name = "at the end" if last.time >= (1 - SLACK) * run.end else "last fields"
        chosen.setdefault(last.time, (f"{name}, {duration(last.time)}", last))
    words = f"Not shown, no fields at those times: {' and '.join(missing)}." if missing else ""
    return [chosen[time] for time in sorted(chosen)], words


def height(run: Run) -> tuple[str, float]:
    """Name and height [mm] of the axial cut: the interspace of the last injection, else the middle of the patch."""
    name = run.case.injection[-1].level
    if name in run.injected_heights:
        return name, run.injected_heights[name]
    moment = run.fields.nearest(run.peak_time)
    assert moment is not None
    grid = moment.grid("epidural")
    assert grid is not None
    weight = np.asarray(grid.point_data[CONTENT], float) if CONTENT in grid.point_data else np.ones(grid.n_points)
    weight = weight if weight.sum() > 0 else np.ones_like(weight)
    return "middle of the patch", float(np.average(np.asarray(grid.points)[:, 2], weights=weight))


def cuts(moment: Moment, z: float) -> dict[str, Cut]:
    """Cuts of every region, of the sac as a whole and without its root sleeves, and of the canal as a whole."""
    grids = {region: moment.grid(region) for region in ("epidural", "subarachnoid", "cord")}
    made = {region: cut(grid, "z", z) for region, grid in grids.items()}
    sac = joined([grids["subarachnoid"], grids["cord"]])
    made["sac"] = cut(sac, "z", z)
    made["thecal"] = cut(without(sac, Subregion.SLEEVE), "z", z)
    made["canal"] = cut(joined(list(grids.values())), "z", z)
    return made


def draw_axial(axes: Axes, parts: dict[str, Cut], before: dict[str, Cut] | None, limits: tuple[Any, Any]) -> None:
    """One axial picture; anterior up, the patient's left on the right, as radiologists look at it."""
    axes.set_facecolor(BONE)
    for name, colour in (("epidural", FAT), ("subarachnoid", CSF), ("cord", CORD)):
        part = parts[name]
        if part.empty:
            continue
        content = part.arrays.get(CONTENT)
        if name == "epidural" and content is not None:
            shaded(axes, part, np.clip(content, 0.0, FULL), Normalize(0.0, FULL), PATCH_MAP)
            edge_of_patch(axes, part, content, "white")
            if CLOT in part.arrays:
                edge_of_patch(axes, part, part.arrays[CLOT], CLOT_LINE)
        else:
            faces = part.points[part.triangles]
            axes.add_collection(PolyCollection(list(faces), facecolor=colour, edgecolor=colour, lw=0.3))
    for name, colour in (("sac", SAC_LINE), ("cord", CORD_LINE)):
        axes.add_collection(LineCollection(list(parts[name].outlines), colors=colour, lw=1.1))
        if before is not None:
            axes.add_collection(
                LineCollection(list(before[name].outlines), colors=colour, lw=0.9, linestyles=(0, (2, 2)))
            )
    axes.set(xlim=limits[0], ylim=limits[1], aspect="equal", xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    for x, y, text in ((0.5, 0.985, "A"), (0.5, 0.015, "P"), (0.985, 0.5, "L"), (0.015, 0.5, "R")):
        axes.text(
            x, y, text, transform=axes.transAxes, fontsize=7, color=GREY,
            ha="left" if x < 0.1 else "right" if x > 0.9 else "center",
            va="bottom" if y < 0.1 else "top" if y > 0.9 else "center",
        )  # fmt: skip


def view(canal: Cut) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of the picture around the canal [mm]."""
    low, high = canal.points.min(axis=0) - MARGIN, canal.points.max(axis=0) + MARGIN
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def scale_bar(axes: Axes, length: float = 10.0) -> None:
    """A bar of `length` [mm] in the lower left corner."""
    x0, y0 = axes.get_xlim()[0] + 1.5, axes.get_ylim()[0] + 1.2
    axes.plot([x0, x0 + length], [y0, y0], color="black", lw=2, solid_capstyle="butt")
    axes.text(x0 + length / 2, y0 + 0.4, f"{length:g} mm", ha="center", va="bottom", fontsize=7)


LEGEND: Final = (
    Patch(facecolor=PATCH, edgecolor="white", label="patch (white line: its edge, content 10 %)"),
    Patch(facecolor=FAT, label="epidural fat"),
    Patch(facecolor=CSF, edgecolor=SAC_LINE, label="thecal sac, CSF"),
    Patch(facecolor=CORD, edgecolor=CORD_LINE, label="cord"),
    Patch(facecolor=BONE, edgecolor="#b5ad9a", label="bone (not modelled)"),
    Line2D([], [], color=SAC_LINE, lw=1, ls=(0, (2, 2)), label="outline before"),
)


def _change(area: float, before: float) -> str:
    """What a title says of an area against that before."""
    if not before > 0:
        return ""
    percent = round(100 * (area / before - 1))
    return f", {percent:+d} %".replace("-", "−") if percent else ", as before"


def axial_figure(run: Run) -> tuple[Figure, str] | None:
    """Axial cuts before, at the peak and later; None where there are no fields."""
    chosen, missing = moments(run)
    if not chosen:
        return None
    name, z = height(run)
    made = [(title, cuts(moment, z)) for title, moment in chosen]
    limits = view(made[0][1]["canal"])
    ratio = (limits[1][1] - limits[1][0]) / (limits[0][1] - limits[0][0])
    width = 2.9
    columns = len(made)
    figure = Figure(figsize=(max(width * columns, 5.8), width * ratio + 1.5), layout="compressed")
    cells = figure.add_gridspec(
        2, columns + 1, height_ratios=[width * ratio, 0.5], width_ratios=[width] * columns + [0.1]
    )
    row = [figure.add_subplot(cells[0, index]) for index in range(columns)]
    before = made[0][1] if chosen[0][1].time == 0.0 else None
    for index, (axes, (title, parts)) in enumerate(zip(row, made, strict=True)):
        draw_axial(axes, parts, before if index else None, limits)
        sac, base = parts["thecal"].area, before["thecal"].area if before else math.nan
        axes.set_title(f"{title}\nsac {sac:.0f} mm²{_change(sac, base) if index else ''}", fontsize=9)
    scale_bar(row[0])
    legend = [item for item in LEGEND if "cord" not in str(item.get_label()) or not made[0][1]["cord"].empty]
    if any(CLOT in parts["epidural"].arrays for _, parts in made):
        legend.append(Line2D([], [], color=CLOT_LINE, lw=1, label="edge of the clot (content 10 %)"))
    legend_row(figure.add_subplot(cells[1, :]), legend, 3)
    content_bar(figure, figure.add_subplot(cells[0, columns]), PATCH_MAP, "vertical")
    figure.suptitle(f"Axial cut at {name}: {run.title}", fontsize=10)
    caption = (
        f"Axial cut at {name} through the deformed model, seen as on CT: anterior is up, the patient's left is on the "
        "right. Grey tones are those of a CT scan, except that the injected fluid is drawn in colour as if it carried "
        f"contrast. Bone is the edge of the canal, not a model of the vertebra. The area of the sac is that without "
        f"root sleeves. {missing}"
    )
    return figure, caption.strip()

"""The injection as a moving picture: axial cut, midline and pressure, a frame per output time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from studies.plot.axial import cuts, draw_axial, height, scale_bar, view
from studies.plot.curves import on_axis, set_time_axis, time_unit
from studies.plot.fields import CONTENT, Moment
from studies.plot.run import Run, duration
from studies.plot.sagittal import draw_midline, frame, midline
from studies.plot.style import FULL, PATCH_MAP, SPREAD_MAP, content_bar, level_axis

FRAMES_PER_SECOND: Final = 2
LAST_FRAME: Final = 4
"""How many times the last frame is repeated, so that the end can be seen."""

MOST_FRAMES: Final = 60
DPI: Final = 110
PLACES: Final = ((0.01, 0.28, 0.45, 0.60), (0.53, 0.05, 0.11, 0.80), (0.73, 0.14, 0.25, 0.71), (0.08, 0.17, 0.31, 0.03))
"""Axial cut, midline, curves and colour bar, in shares of the figure: alike in every frame."""


def animate(run: Run, folder: Path) -> tuple[Path, str] | None:
    """Write `injection.gif`; None where there are fewer than two output times."""
    moments = run.fields.moments
    if len(moments) < 2:
        return None
    if len(moments) > MOST_FRAMES:
        moments = tuple(moments[i] for i in np.unique(np.linspace(0, len(moments) - 1, MOST_FRAMES).astype(int)))
    name, z = height(run)
    limits = view(cuts(moments[0], z)["canal"])
    figure = Figure(figsize=(8.4, 4.2))
    FigureCanvasAgg(figure)
    path = folder / "injection.gif"
    writer = PillowWriter(fps=FRAMES_PER_SECOND)
    with writer.saving(figure, str(path), DPI):
        before = cuts(moments[0], z)
        around = frame(midline(moments[0])["epidural"])
        for index, moment in enumerate(moments):
            _frame(figure, run, moment, before, around, name, z, limits)
            for _ in range(LAST_FRAME if index == len(moments) - 1 else 1):
                writer.grab_frame()
    caption = (
        f"The injection, a frame per output time ({len(moments)}: "
        f"{', '.join(duration(moment.time) for moment in moments[:8])}{', …' if len(moments) > 8 else ''}); frames are "
        "not evenly spaced in time. More frames come with more [output] times."
    )
    return path, caption


def _frame(
    figure: Figure, run: Run, moment: Moment, before: Any, around: Any, name: str, z: float, limits: Any
) -> None:
    figure.clear()
    figure.set_layout_engine("none")
    left, middle, right, bar = (figure.add_axes(place) for place in PLACES)
    draw_axial(left, cuts(moment, z), before if moment.time > 0 else None, limits)
    scale_bar(left)
    left.set_title(f"axial cut at {name}", fontsize=8.5)
    content_bar(figure, bar, PATCH_MAP, "horizontal")
    draw_midline(middle, midline(moment), CONTENT, Normalize(0, FULL), SPREAD_MAP)
    middle.set(**around)
    level_axis(middle, run.places.ticks, run.places.borders, along="y")
    middle.set_title("midline", fontsize=8.5)
    time = run.series["time_s"].to_numpy(float)
    shown = on_axis(run, time)
    past = time <= moment.time * (1 + 1e-9)
    for index, (column, words) in enumerate(
        (("csf_pressure_mmHg", "CSF, cranial"), ("epidural_pressure_needle_mmHg", "at the needle"))
    ):
        if column in run.series:
            values, style = run.series[column].to_numpy(float), ("-", "--")[index]
            right.plot(shown, values, color=f"C{index}", ls=style, alpha=0.25)
            right.plot(shown[past], values[past], color=f"C{index}", ls=style, label=words)
    right.axvline(float(on_axis(run, moment.time)), color="black", lw=1)
    right.set(xlabel=time_unit(run)[1], ylabel="pressure [mmHg]")
    set_time_axis(right, run)
    right.tick_params(axis="x", labelsize=6.5)
    right.legend(loc="upper right", fontsize=7.5)
    figure.suptitle(f"{run.title}: {duration(moment.time)}", fontsize=10)

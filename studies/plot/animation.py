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
from studies.plot.fields import CONTENT, Moment
from studies.plot.run import Run, duration
from studies.plot.sagittal import draw_midline, midline
from studies.plot.style import FULL, SPREAD_MAP, level_axis

FRAMES_PER_SECOND: Final = 2
LAST_FRAME: Final = 4
"""How many times the last frame is repeated, so that the end can be seen."""

MOST_FRAMES: Final = 60
DPI: Final = 110


def animate(run: Run, folder: Path) -> tuple[Path, str] | None:
    """Write `injection.gif`; None where there are fewer than two output times."""
    moments = run.fields.moments
    if len(moments) < 2:
        return None
    if len(moments) > MOST_FRAMES:
        moments = tuple(moments[i] for i in np.unique(np.linspace(0, len(moments) - 1, MOST_FRAMES).astype(int)))
    name, z = height(run)
    limits = view(cuts(moments[0], z)["canal"])
    figure = Figure(figsize=(7.6, 4.2))
    FigureCanvasAgg(figure)
    path = folder / "injection.gif"
    writer = PillowWriter(fps=FRAMES_PER_SECOND)
    with writer.saving(figure, str(path), DPI):
        before = cuts(moments[0], z)
        for index, moment in enumerate(moments):
            _frame(figure, run, moment, before, name, z, limits)
            for _ in range(LAST_FRAME if index == len(moments) - 1 else 1):
                writer.grab_frame()
    caption = (
        f"The injection, a frame per output time ({len(moments)}: "
        f"{', '.join(duration(moment.time) for moment in moments[:8])}{', …' if len(moments) > 8 else ''}); frames are "
        "not evenly spaced in time. More frames come with more [output] times."
    )
    return path, caption


def _frame(figure: Figure, run: Run, moment: Moment, before: Any, name: str, z: float, limits: Any) -> None:
    figure.clear()
    left, middle, right = figure.subplots(1, 3, width_ratios=[2.4, 0.8, 2.0])
    draw_axial(left, cuts(moment, z), before if moment.time > 0 else None, limits)
    scale_bar(left)
    left.set_title(f"axial cut at {name}", fontsize=8.5)
    draw_midline(middle, midline(moment), CONTENT, Normalize(0, FULL), SPREAD_MAP)
    level_axis(middle, run.places.ticks, run.places.borders, along="y")
    middle.set_title("midline", fontsize=8.5)
    time = run.series["time_s"].to_numpy(float)
    unit, label = (60.0, "time [min]") if run.end > 120.0 else (1.0, "time [s]")
    for index, (column, words) in enumerate(
        (("csf_pressure_mmHg", "CSF, cranial"), ("epidural_pressure_needle_mmHg", "at the needle"))
    ):
        if column in run.series:
            right.plot(time / unit, run.series[column], color=f"C{index}", ls=("-", "--")[index], label=words)
    right.axvline(moment.time / unit, color="black", lw=1)
    right.set(xlabel=label, ylabel="pressure [mmHg]", xlim=(0, None))
    right.legend(loc="best", fontsize=7.5)
    figure.suptitle(f"{run.title}: {duration(moment.time)}", fontsize=10)

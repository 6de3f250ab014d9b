"""Volume against interspace, a map for every headline figure and whatever else varies: what a study of both shows."""

from __future__ import annotations

from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from studies.values import INTERSPACES

LEVEL: Final = "injection.0.level"
VOLUME: Final = "injection.0.volume"
VOLUME_ML: Final = "injection.0.volume_mL"
SHOWN: Final = (
    ("csf_pressure_rise_mmHg", "peak CSF rise [mmHg]"),
    ("epidural_pressure_static_rise_mmHg", "static epidural rise [mmHg]"),
    ("sac_area_min_ratio", "smallest sac area / baseline [1]"),
    ("leak_coverage", "leak covered [1]"),
)
COLOURS: Final = "cividis"
NOT_REACHED: Final = "#e4e4e4"
FAILED: Final = ("failed", "invalid")
CROSS: Final[dict[str, Any]] = {"ha": "center", "va": "center", "fontsize": 9, "color": "#777777"}
LEAST_LEVELS: Final = 3
MOST_COLUMNS: Final = 4
CELL: Final = (0.36, 0.24)
"""Width and height of a cell [inch]."""

DARK: Final = 0.5
"""Share of the colour range below which figures are written in white."""


def map_figure(frame: pd.DataFrame, keys: list[str]) -> tuple[Figure, str] | None:
    """Maps of a sweep over volume and interspace; None where it does not vary both.

    Args:
        frame: a row per case, with its state.
        keys: that vary.
    """
    if not {LEVEL, VOLUME} <= set(keys) or VOLUME_ML not in frame or frame[LEVEL].nunique() < LEAST_LEVELS:
        return None
    named = [(name, label) for name, label in SHOWN if name in frame and frame[name].notna().any()]
    others = [key for key in keys if key not in (LEVEL, VOLUME)]
    columns = frame[others].astype(str).agg(", ".join, axis=1) if others else pd.Series("", index=frame.index)
    titles = list(dict.fromkeys(columns))[:MOST_COLUMNS]
    levels = sorted(frame[LEVEL].unique(), key=INTERSPACES.index)
    volumes = sorted(frame[VOLUME_ML].unique())
    wide, high = CELL[0] * len(volumes) + 0.3, CELL[1] * len(levels) + 0.6
    figure = Figure(figsize=(wide * len(titles) + 1.8, high * len(named) + 0.7))
    grid = figure.subplots(len(named), len(titles), sharex=True, sharey=True, squeeze=False)
    finished = frame.where(frame["state"] == "done")
    for row, (name, label) in zip(grid, named, strict=True):
        values = pd.to_numeric(finished[name], errors="coerce")
        norm = Normalize(float(values.min()), float(values.max()))
        for axes, title in zip(row, titles, strict=True):
            part = frame[columns == title].assign(shown=values)
            table = part.pivot_table(index=LEVEL, columns=VOLUME_ML, values="shown", dropna=False)
            _map(axes, table.reindex(index=levels, columns=volumes).to_numpy(float), norm)
            for _, case in part[part["state"].isin(FAILED)].iterrows():
                axes.text(volumes.index(case[VOLUME_ML]), levels.index(case[LEVEL]), "\u00d7", **CROSS)
        figure.colorbar(ScalarMappable(norm, COLOURS), ax=list(row), label=label, shrink=0.9)
        row[0].set_yticks(range(len(levels)), levels)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xticks(range(len(volumes)), [f"{volume:g}" for volume in volumes])
        axes.set_xlabel("volume [mL]")
    left = columns.nunique() - len(titles)
    named_others = ", ".join(key.rpartition(".")[2] for key in others) or "study"
    return figure, (
        "Volume injected against interspace, a column per "
        f"{named_others}{f' (first {MOST_COLUMNS}; {left} more in the table)' if left else ''}. "
        "Grey: not finished, or not reported; a cross: failed."
    )


def _map(axes: Axes, values: np.ndarray[Any, np.dtype[np.float64]], norm: Normalize) -> None:
    colours = mpl.colormaps[COLOURS].with_extremes(bad=NOT_REACHED)
    axes.imshow(values, norm=norm, cmap=colours, aspect="auto")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = "white" if norm(value) < DARK else "black"
            axes.text(j, i, f"{value:.2g}", ha="center", va="center", fontsize=6.5, color=ink)

"""Pictures of a sweep: its headline figures against whatever varies."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from studies.errors import InputError
from studies.plot.maps import map_figure
from studies.plot.style import GREY, LINES, Picture, colours, overfull, save, styled
from studies.recorded import BETWEEN, mesh_notes, recorded_of
from studies.results import case_states, read_plan, table
from studies.values import INTERSPACES

OCCUPANCY: Final = "canal_occupancy_max"
HEADLINES: Final = (
    ("csf_pressure_rise_mmHg", "peak rise of the CSF pressure [mmHg]"),
    ("csf_pressure_half_decay_s", "half decay of the CSF rise [s]"),
    ("sac_compression_half_decay_s", "half decay of the sac's compression [s]"),
    ("epidural_pressure_static_rise_mmHg", "static epidural rise [mmHg]"),
    ("csf_displaced_peak_mL", "CSF displaced, peak [mL]"),
    ("sac_area_min_ratio", "smallest sac area over baseline [1]"),
    (OCCUPANCY, "canal occupied, worst slice [1]"),
    ("cord_displacement_max_mm", "cord displaced at most [mm]"),
    ("leak_coverage", "leak covered [1]"),
)
MARKERS: Final = ("o", "s", "^", "D", "v")
MOST_HUES: Final = 10
MOST_LOOKS: Final = len(LINES)
"""Colours and line styles of a panel at most; more are left to the table."""

LEGEND_LETTERS: Final = 115
KEY_LETTERS: Final = 8
MOST_COLUMNS: Final = 6
"""Letters that a row of the legend holds, those that a key takes, and entries of a row at most."""


def varied_keys(folder: Path) -> list[str]:
    """Keys that vary in a sweep, those with the most values first."""
    plan = read_plan(folder)
    values: dict[str, set[str]] = {}
    for entry in plan["cases"]:
        for key, value in entry["varied"].items():
            values.setdefault(key, set()).add(str(value))
    return sorted(values, key=lambda key: -len(values[key]))


def numbers_of(frame: pd.DataFrame, key: str) -> tuple[str, pd.Series] | None:
    """The numeric column of a varied key with its label; None where its values are no numbers."""
    for name in frame.columns:
        if name.startswith(f"{key}_"):
            return f"{key} [{name.removeprefix(f'{key}_').replace('_per_', '/')}]", frame[name].astype(float)
    if key in frame and pd.api.types.is_numeric_dtype(frame[key]):
        return f"{key} [1]", frame[key].astype(float)
    return None


def order_of(values: list[str]) -> list[str]:
    """Values of a key in the order of a reader: interspaces from cranial to caudal, the rest as they come."""
    places = {
        value: tuple(INTERSPACES.index(word) for word in value.split(", ") if word in INTERSPACES) for value in values
    }
    return sorted(values, key=places.__getitem__) if all(places.values()) else values


def draw_sweep(folder: Path, out: Path) -> list[Picture]:
    """Write the figures of a sweep: curves, and maps where volume and interspace vary.

    Raises:
        InputError: no case has finished, or nothing varies.
    """
    frame, states = table(folder), case_states(folder)
    done = frame[frame["state"] == "done"]
    keys = [key for key in varied_keys(folder) if key in frame]
    named = [(name, label) for name, label in HEADLINES if name in done and _says(done[name])]
    if done.empty or not keys or not named:
        raise InputError(str(folder), f"{len(done)} finished cases", "allowed is a sweep with a finished case")
    numeric = {key: numbers for key in keys if (numbers := numbers_of(frame, key)) is not None}
    across = next(iter(numeric), None) or keys[0]
    others = [key for key in keys if key != across]
    out.mkdir(parents=True, exist_ok=True)
    with styled():
        figure = _figure(done, named, across, numeric.get(across), others)
        counted = ", ".join(f"{n} {s}" for s, n in frame["state"].value_counts().items())
        title = f"Sweep: {len(frame)} cases ({counted})"
        if figure.legends:
            legend = figure.legends[0]
            legend.set_title(f"{title}; lines: {legend.get_title().get_text()}")
        else:
            figure.suptitle(title, fontsize=10)
        note = f"Mesh: {BETWEEN.join(mesh_notes(recorded_of(s for s in states if s.state == 'done')))}."
        caption = f"Headline figures of every finished case against {across}; a line per " + (
            ", ".join(others) or "sweep"
        )
        note += " Research use only."
        caption += f".{overfull(done.get(OCCUPANCY, ()))}"
        drawn = [save(figure, out, "sweep", caption, note)]
        maps = map_figure(frame, keys)
        if maps is not None:
            drawn.append(save(maps[0], out, "maps", maps[1], note))
        return drawn


def _says(values: pd.Series) -> bool:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(float)
    return bool(np.isfinite(numbers).any() and np.nanmax(np.abs(numbers)) > 0)


def _figure(
    done: pd.DataFrame,
    named: list[tuple[str, str]],
    across: str,
    numbers: tuple[str, pd.Series] | None,
    others: list[str],
) -> Figure:
    """A panel for each headline figure; colours tell the key with the most values apart, styles the rest."""
    hues, looks = others[:1], others[1:]
    if _words(done, looks).nunique() > MOST_LOOKS:  # sampled keys do not cross: a line is a member
        hues, looks = others, []
    of_hue, of_look = _words(done, hues), _words(done, looks)
    names, ways = (order_of(list(dict.fromkeys(words))) for words in (of_hue, of_look))
    shown = [
        (name, colour, place % MOST_LOOKS)  # colours alone do not serve every eye
        for place, (name, colour) in enumerate(zip(names, colours(len(names)), strict=True))
    ][:MOST_HUES]
    rows = (len(named) + 1) // 2
    figure = Figure(figsize=(7.6, 2.8 * rows + 0.6))
    grid = np.atleast_1d(figure.subplots(rows, 2)).ravel()
    for axes, (name, label) in zip(grid, named, strict=False):
        for (hue, colour, own), (index, look) in product(shown, enumerate(ways)):
            part = done[(of_hue == hue) & (of_look == look)]
            y = pd.to_numeric(part[name], errors="coerce")
            if numbers is not None:
                x = numbers[1].loc[part.index]
                order = np.argsort(x.to_numpy(), kind="stable")
                places, values = x.to_numpy()[order], y.to_numpy()[order]
            else:
                places, values = np.arange(len(part)), y.to_numpy()
                axes.set_xticks(places, part[across].astype(str))
            axes.plot(places, values, color=colour, **_look(index if looks else own, joined=numbers is not None))
        axes.set(xlabel=numbers[0] if numbers else across, ylabel=label)
    for axes in grid[len(named) :]:
        axes.set_visible(False)
    if others:
        plain: dict[str, Any] = {"ls": "-"}
        handles = [
            Line2D([], [], color=colour, label=name, **(plain if looks else _look(own))) for name, colour, own in shown
        ]
        if looks:
            handles += [Line2D([], [], color=GREY, label=way, **_look(index)) for index, way in enumerate(ways)]
        title = ", ".join(hues) + (f" (first {MOST_HUES} of {len(names)})" if len(names) > MOST_HUES else "")
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(MOST_COLUMNS, LEGEND_LETTERS // (KEY_LETTERS + longest)))
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=columns,
            fontsize=7.5,
            title="; ".join([title, *([", ".join(looks)] if looks else [])]),
            handlelength=3,
        )
    return figure


def _words(frame: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Values of some keys of every case, as one text; empty without keys."""
    return frame[keys].astype(str).agg(", ".join, axis=1) if keys else pd.Series("", index=frame.index)


def _look(index: int, joined: bool = True) -> dict[str, Any]:
    """Line and marker of a line style's place."""
    return {"ls": LINES[index] if joined else "none", "marker": MARKERS[index], "ms": 4}

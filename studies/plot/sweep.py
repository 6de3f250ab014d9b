"""Pictures of a sweep: its headline figures against whatever varies."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from studies.case import INTERSPACES
from studies.errors import InputError
from studies.plot.maps import map_figure
from studies.plot.style import LINES, Picture, save, styled
from studies.results import case_states, read_plan, table

HEADLINES: Final = (
    ("csf_pressure_rise_mmHg", "peak rise of the CSF pressure [mmHg]"),
    ("csf_pressure_half_decay_s", "half decay of the CSF rise [s]"),
    ("sac_compression_half_decay_s", "half decay of the sac's compression [s]"),
    ("epidural_pressure_static_rise_mmHg", "static epidural rise [mmHg]"),
    ("csf_displaced_peak_mL", "CSF displaced, peak [mL]"),
    ("sac_area_min_ratio", "smallest sac area over baseline [1]"),
    ("canal_occupancy_max", "canal occupied, worst slice [1]"),
    ("cord_displacement_max_mm", "cord displaced at most [mm]"),
    ("leak_coverage", "leak covered [1]"),
)
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST_LINES: Final = 10
"""Lines of a panel at most; more are left to the table."""


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
    frame = table(folder)
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
        states = ", ".join(f"{n} {s}" for s, n in frame["state"].value_counts().items())
        title = f"Sweep: {len(case_states(folder))} cases ({states})"
        if figure.legends:
            legend = figure.legends[0]
            legend.set_title(f"{title}; lines: {legend.get_title().get_text()}")
        else:
            figure.suptitle(title, fontsize=10)
        note = f"mesh: {'; '.join(sorted({str(m) for m in done.get('mesh', pd.Series(['not said']))}))}."
        caption = f"Headline figures of every finished case against {across}; a line per " + (
            ", ".join(others) or "sweep"
        )
        note += " Research use only."
        drawn = [save(figure, out, "sweep", f"{caption}.", note)]
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
    groups: dict[str, pd.DataFrame] = {"all": done}
    if others:
        words = done[others].astype(str).agg(", ".join, axis=1)
        groups = {name: done[words == name] for name in order_of(list(dict.fromkeys(words)))}
    rows = (len(named) + 1) // 2
    figure = Figure(figsize=(7.6, 2.8 * rows + 0.6))
    grid = np.atleast_1d(figure.subplots(rows, 2)).ravel()
    for axes, (name, label) in zip(grid, named, strict=False):
        for index, (group, part) in enumerate(list(groups.items())[:MOST_LINES]):
            y = pd.to_numeric(part[name], errors="coerce")
            if numbers is not None:
                x = numbers[1].loc[part.index]
                order = np.argsort(x.to_numpy(), kind="stable")
                places, values = x.to_numpy()[order], y.to_numpy()[order]
            else:
                places, values = np.arange(len(part)), y.to_numpy()
                axes.set_xticks(places, part[across].astype(str))
            style = LINES[index % len(LINES)] if numbers is not None else ""
            axes.plot(places, values, ls=style or "none", marker=MARKERS[index % len(MARKERS)], ms=4, label=group)
        axes.set(xlabel=numbers[0] if numbers else across, ylabel=label)
    for axes in grid[len(named) :]:
        axes.set_visible(False)
    if others:
        handles, labels = grid[0].get_legend_handles_labels()
        title = ", ".join(others)
        if len(groups) > MOST_LINES:
            title += f" (first {MOST_LINES} of {len(groups)})"
        figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=7.5, title=title)
    return figure

"""Over time, and along the canal."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.plot.axial import moments
from studies.plot.fields import Array, Moment
from studies.plot.run import DAY, HOUR, Run, duration
from studies.plot.style import GREY, LEAK_LINE, LEAK_WORDS, LINES, level_axis, overfull

LONG: Final = 2 * HOUR
"""A run longer than this is drawn on a logarithmic axis of time."""

TIME_TICKS: Final = (10.0, 60.0, 600.0, 3 * HOUR, 3 * DAY)
"""Named on a logarithmic axis: their names stand clear of each other in a panel."""

MINOR_TICKS: Final = (HOUR, 12 * HOUR, DAY)

PRESSURES: Final = (
    ("csf_pressure_mmHg", "CSF, cranial"),
    ("csf_pressure_lumbar_mmHg", "CSF, lumbar"),
    ("epidural_pressure_mmHg", "epidural, where injected"),
    ("epidural_pressure_needle_mmHg", "at the needle"),
)
DISPLACED: Final = (("csf_displaced_mL", "from the window"), ("csf_displaced_lumbosacral_mL", "below T11/T12"))
VOLUMES: Final = (
    ("injected_mL", "injected"),
    ("epidural_swelling_mL", "swelling of the epidural space"),
    ("venous_displaced_mL", "out of the veins"),
    ("foraminal_outflow_mL", "out by the foramina"),
    ("end_outflow_mL", "out by the ends"),
    ("clot_volume_mL", "clotted"),
    ("lysed_mL", "lysed"),
    ("resorbed_mL", "resorbed"),
    ("leaked_csf_mL", "leaked CSF"),
)
OCCUPANCY: Final = (("canal_occupancy_max", "occupied by the patch"), ("canal_injected_max", "filled by injectate"))
SHAPE: Final = (
    ("sac_area_min_ratio", "sac area"),
    ("cord_area_min_ratio", "cord area"),
    ("cord_ap_min_ratio", "cord depth"),
)
LEAK: Final = (("leak_flow_mL_per_min", "out of the leak"),)
COVERAGE: Final = (("leak_coverage", "leak"), ("sleeve_coverage", "root sleeve"))
MECHANISMS: Final = (("rise_from_pressure_mmHg", "by pressure"), ("rise_from_plug_mmHg", "by the plug"))
CORD: Final = (("cord_displacement_max_mm", "cord, at most"),)
PANELS: Final = (
    (PRESSURES, "pressure [mmHg]"),
    (DISPLACED, "CSF displaced [mL]"),
    (OCCUPANCY, "share of the canal, worst slice [1]"),
    (SHAPE, "smallest over baseline [1]"),
    (VOLUMES, "volume so far [mL]"),
    (CORD, "displacement [mm]"),
    (LEAK, "flow [mL/min]"),
    (MECHANISMS, "rise of the CSF pressure [mmHg]"),
    (COVERAGE, "share covered by injectate [1]"),
)


def time_figure(run: Run) -> tuple[Figure, str]:
    """Pressures, displaced CSF, occupancy, shape and volumes over time."""
    panels = [
        (names, label)
        for names, label in PANELS
        if any(run.shows(name) for name, _ in names) and (names is not MECHANISMS or run.case.leak)
    ]
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(7.6, 2.9 * rows + 0.5))
    grid = np.atleast_1d(figure.subplots(rows, 2)).ravel()
    for axes, (names, label) in zip(grid, panels, strict=False):
        _panel(axes, run, names, label)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[: len(panels)]:
        axes.set_xlabel(time_unit(run)[1])
    figure.suptitle(f"Over time: {run.title} (grey: while injecting)", fontsize=10)
    words = "Quantities over time; grey: while fluid is injected; dotted: baseline."
    return figure, words + overfull(run.series.get("canal_occupancy_max", ()))


def time_unit(run: Run) -> tuple[float, str]:
    """Divisor of seconds and the label of the axis."""
    if run.end > LONG:
        return 1.0, "time (logarithmic)"
    return (60.0, "time [min]") if run.end > 120.0 else (1.0, "time [s]")


def on_axis(run: Run, seconds: Array | float) -> Any:
    """Times [s] as they lie on the axis; on a logarithmic one nothing is before a second."""
    shown = np.asarray(seconds, float) / time_unit(run)[0]
    return np.maximum(shown, 1.0) if run.end > LONG else shown


def injecting(run: Run) -> list[tuple[float, float]]:
    """Spans of time in which fluid went in [s], as it was done: a limit ends an injection early."""
    times = run.series["time_s"].to_numpy(float)
    on = np.concatenate([[0], (run.series["injection_rate_mL_per_min"].to_numpy(float) > 0).astype(int), [0]])
    begins, ends = np.flatnonzero(np.diff(on) > 0), np.flatnonzero(np.diff(on) < 0)
    return [(float(times[a]), float(times[min(b, len(times) - 1)])) for a, b in zip(begins, ends, strict=True)]


def set_time_axis(axes: Axes, run: Run) -> None:
    """Scale and ticks of an axis of time."""
    if run.end > LONG:
        axes.set_xscale("log")
        ticks = [tick for tick in TIME_TICKS if tick <= run.end]
        axes.set_xticks(ticks, [duration(tick) for tick in ticks])
        axes.set_xticks([tick for tick in MINOR_TICKS if tick <= run.end], minor=True)
    else:
        axes.set_xlim(0, None)


def _panel(axes: Axes, run: Run, names: tuple[tuple[str, str], ...], label: str) -> None:
    shown = on_axis(run, run.series["time_s"].to_numpy(float))
    for index, (name, words) in enumerate((n, w) for n, w in names if run.shows(n)):
        axes.plot(shown, run.series[name], ls=LINES[index % len(LINES)], color=f"C{index}", label=words)
    for span in injecting(run):
        axes.axvspan(*on_axis(run, np.array(span)), color="#ececec", zorder=0, lw=0)
    if label.startswith("pressure"):
        axes.axhline(float(run.series[names[0][0]].iloc[0]), color=GREY, ls=":", lw=0.8)
    if label.startswith("smallest"):
        axes.axhline(1.0, color=GREY, ls=":", lw=0.8)
    set_time_axis(axes, run)
    axes.set_ylabel(label)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, fontsize=7, borderpad=0.0, borderaxespad=0.1)


ALONG: Final = (
    ("sac_area_mm2", "sac area [mm²]"),
    ("cord_area_mm2", "cord area [mm²]"),
    ("cord_displacement_mm", "cord displaced [mm]"),
    ("patch_area_mm2", "patch area [mm²]"),
)


def canal_figure(run: Run) -> tuple[Figure, str] | None:
    """Sac, cord and patch per axial slice, levels on the axis; None where no profile was written."""
    if run.profile.empty or "z_mm" not in run.profile:
        return None
    profile = with_cord_displacement(run)
    names = [(name, label) for name, label in ALONG if name in profile and _says(profile[name])]
    if not names:
        return None
    times = _profile_times(run, profile)
    figure = Figure(figsize=(7.6, 1.75 * len(names) + 0.9))
    column = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    for axes, (name, label) in zip(column, names, strict=True):
        for index, (title, time) in enumerate(times):
            rows = profile[np.isclose(profile["time_s"], time)].drop_duplicates("z_mm").sort_values("z_mm")
            if name.startswith("cord"):
                rows = rows[rows["cord_area_baseline_mm2"] > 0]
            axes.plot(rows["z_mm"], rows[name], ls=LINES[index % len(LINES)], color=f"C{index}", label=title)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        level_axis(axes, run.places.ticks, run.places.borders)
        for z in run.injected_heights.values():
            axes.axvline(z, color="black", lw=0.8, ls=(0, (1, 1.5)))
        for z in run.leak_heights.values():
            axes.axvline(z, color=LEAK_LINE, lw=1.2, ls="-.")
    column[0].invert_xaxis()  # shared: cranial on the left everywhere
    column[0].legend(loc="best", fontsize=7.5, ncols=2)
    column[-1].set_xlabel("level, cranial to caudal" if run.places.ticks else "height [mm], cranial to caudal")
    figure.suptitle(f"Along the canal: {run.title}", fontsize=10)
    return figure, (
        "Per axial slice: area of the thecal sac and of the cord, largest displacement of the cord since baseline, and "
        "area of the patch (deformed epidural area with an injected content of at least 10 %). Dotted: injected "
        f"interspace{LEAK_WORDS if run.leak_heights else ''}; thin lines: borders of the levels."
    )


def _says(values: pd.Series) -> bool:
    numbers = values.to_numpy(float)
    return bool(np.isfinite(numbers).any() and np.nanmax(np.abs(numbers)) > 0)


def _profile_times(run: Run, profile: pd.DataFrame) -> list[tuple[str, float]]:
    """Times of the profile that are shown, with their titles: those of the axial cuts where there are fields."""
    there = np.unique(profile["time_s"].to_numpy(float))
    chosen, _ = moments(run)
    if chosen:
        return [(title, float(there[np.argmin(np.abs(there - moment.time))])) for title, moment in chosen]
    peak = float(there[np.argmin(np.abs(there - run.peak_time))])
    wanted = {float(there[0]): "before" if there[0] == 0 else duration(float(there[0]))}
    wanted.setdefault(peak, f"at the peak, {duration(peak)}")
    wanted.setdefault(float(there[-1]), f"at the end, {duration(float(there[-1]))}")
    return [(wanted[time], time) for time in sorted(wanted)]


def with_cord_displacement(run: Run) -> pd.DataFrame:
    """The profile with `cord_displacement_mm`, read off the fields where the run did not write it."""
    profile = run.profile.copy()
    if "cord_displacement_mm" in profile or not run.fields.moments:
        return profile
    profile["cord_displacement_mm"] = np.nan
    for time in np.unique(profile["time_s"]):
        moment = run.fields.nearest(float(time))
        if moment is None or abs(moment.time - time) > 1e-6 * max(time, 1.0) or "cord" not in moment.files:
            continue
        rows = np.isclose(profile["time_s"], time)
        profile.loc[rows, "cord_displacement_mm"] = _cord_displacement(moment, profile.loc[rows, "z_mm"].to_numpy())
    return profile


def _cord_displacement(moment: Moment, heights: Array) -> Array:
    """Largest displacement [mm] of the cord nearest to each height [mm]; NaN where there is no cord."""
    grid = moment.grid("cord")
    assert grid is not None
    moved = 1e3 * np.asarray(grid.point_data["displacement_m"], float)
    z = np.asarray(grid.points, float)[:, 2] - moved[:, 2]
    order = np.sort(np.unique(heights))
    edges = np.concatenate([[-np.inf], 0.5 * (order[1:] + order[:-1]), [np.inf]])
    size = np.linalg.norm(moved, axis=1)
    largest = np.full(len(order), np.nan)
    for index in range(len(order)):
        inside = (z >= edges[index]) & (z < edges[index + 1])
        if inside.any():
            largest[index] = size[inside].max()
    seen = np.isfinite(largest)
    filled = np.interp(order, order[seen], largest[seen])  # slices thinner than the cord's cells have no node
    filled[(order < z.min()) | (order > z.max())] = np.nan
    return filled[np.searchsorted(order, heights)]

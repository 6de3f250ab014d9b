"""Figures of the comparison. Measurements are markers, the model is lines; units stand on the axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mode
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from studies import networkband
from studies.calibrate.outcome import uncertainty_note
from studies.clinical import measurements, null_displaced, null_pressure, pratt
from studies.compare import Comparison, Line
from studies.inputs import end_of_injection
from studies.plot.style import GREY, LINES, NOTE_SIZE, colours, in_lines, styled
from studies.protocols import DISPLACED, STATIC_RISE, Outcome
from studies.recorded import BETWEEN, Recorded, mesh_notes, step_notes, versions
from studies.relief.data import relief_rows
from studies.relief.figure import COVERAGE, relief_figures
from studies.relief.predicted import RISE
from studies.spinalshare import applies, at_shares, ratios, version_note

MOST_COLUMNS: Final = 4
STOPPED: Final[dict[str, Any]] = {"ls": "none", "marker": "x", "ms": 6.0, "mew": 1.8, "zorder": 4}
"""The mark at the end of a run that did not finish."""


@dataclass(frozen=True)
class Drawn:
    """A figure that was written."""

    name: str
    caption: str
    svg: Path
    png: Path


def draw(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Write every figure that the comparison has data for, as SVG and PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with styled():
        made: list[tuple[str, str, Figure, Sequence[Recorded], str]] = []
        if comparison.displaced:
            made.append(("displaced_csf", _DISPLACED, _displaced(comparison), comparison.higuchi, ""))
        if comparison.static:
            bands = static_bands(comparison)
            made.append(("static_pressure", f"{_STATIC} {bands}", _static(comparison), comparison.pratt, bands))
        if comparison.study:
            study = [item.recorded for item in comparison.study]
            words = f"{_STUDY}{share_words(study)}"
            finished = [item.recorded for item in comparison.study if item.state == "done"]
            made.append(("volume_and_level", words, _study(comparison), finished, ""))
            stopped = _STOPPED if len(finished) < len(study) else ""
            made.append(("time_course", f"{_TIME}{stopped}", _time_course(comparison), study, ""))
        if comparison.relief:
            ran = comparison.relief_runs
            for name, (figure, words) in relief_figures(comparison.relief, relief_rows()).items():
                shifted = "Markers of one place stand beside each other, to its left." if name == COVERAGE.name else ""
                made.append((name, f"{words}{share_words(ran) if name == 'relief' else ''}", figure, ran, shifted))
        for name, caption, figure, runs, more in made:
            how = {"Mesh": mesh_notes(runs), "steps in time": step_notes(runs)}
            told = (
                "; ".join(f"{name}: {BETWEEN.join(notes)}" for name, notes in how.items()) if runs else "No prediction"
            )
            note = in_lines(f"{more} {told}. Research use only.".strip(), figure)
            figure.supxlabel(note, fontsize=NOTE_SIZE, color=GREY, x=0.01, ha="left")
            svg, png = folder / f"{name}.svg", folder / f"{name}.png"
            figure.savefig(svg, metadata={"Date": None})
            figure.savefig(png)
            drawn.append(Drawn(name, caption, svg, png))
    return drawn


_DISPLACED = (
    "CSF displaced from the lumbosacral sac by saline in healthy adults. Markers: Higuchi 2005, mean and one "
    "standard deviation (filled: calibration is allowed there; hollow: validation). Line: model, 5 min after "
    "the end of the injection; band: from 1 to 15 min. Dotted: null model, 44 % of the volume."
)
_STATIC = (
    "Static rise of the epidural pressure, blood in steps of 5 mL with pauses. Markers: points of Pratt's fit "
    "(2014) with the standard deviation of its residuals (filled: calibration is allowed there), and the mean "
    "final pressure of his 18 patches with its standard deviation (square). Line: model at the needle, 20 s "
    "after each step. Dotted: null model, square of the volume."
)
_STUDY = (
    "Volume and interspace, blood in a patient with headache after dural puncture. Lines: model, finished cases. "
    "Hollow markers: Pratt's lumbar fit (2014), for scale."
)
_TIME = "Cranial CSF pressure over time for each volume, by interspace. Lines: model."
_STOPPED = (
    " Cross: the run stopped there, before its volume was in or its follow-up was over; what follows is not known."
)


def share_words(runs: Sequence[Recorded]) -> str:
    """What rises would be at other spinal shares of the compliance; empty where no run measures its own."""
    if not any(applies([run.case]) for run in runs):
        return ""
    told = (f"{words} times {' and '.join(f'{ratio:.2f}' for ratio in ratios()[name])}" for name, words in _RISES)
    return (
        " At spinal share .32 and .69 of the compliance, by the ratios of one case"
        f"{version_note(versions(runs))}: {', '.join(told)}."
    )


_RISES: Final = ((RISE, "CSF rise"), (STATIC_RISE, "static epidural rise"))


def static_bands(comparison: Comparison) -> str:
    """What is known of the uncertainty of Pratt's predictions, and what of it is drawn; in sentences."""
    ran = versions(comparison.pratt)
    factors = " to ".join(f"{ratio:.2f}" for ratio in ratios().get(STATIC_RISE, ()))
    if not comparison.static_banded:
        said = ["No band of the spinal share: these runs have one of their own."]
    elif not factors:
        said = ["No band of the spinal share: its ratios are not known."]
    else:
        ratio = f"ratios {factors}, measured in one case (20 mL at once), carried over"
        said = [f"Pale: spinal share .32 to .69; {ratio}{version_note(ran)}."]
    if _left_open(comparison):
        said.append(f"Dashed: what the fit leaves open, one SD{uncertainty_note(ran)}.")
    else:
        said.append("What the fit leaves open is not known for these runs.")
    if networkband.applies(run.case for run in comparison.pratt) and (change := networkband.change(STATIC_RISE)):
        settings = f"network {networkband.settings()}"
        said.append(f"Not drawn: {settings}, {change}, from the same case{networkband.version_note(ran)}.")
    return " ".join(said)


def _left_open(comparison: Comparison) -> list[Line]:
    """Static rises of which it is known what the fit leaves open, by volume."""
    return [item for item in comparison.lines if item.quantity == STATIC_RISE and not math.isnan(item.predicted_sd)]


def _displaced(comparison: Comparison) -> Figure:
    figure = Figure(figsize=(5.2, 3.6))
    axes = figure.add_subplot()
    volume = [reading.volume_mL for reading in comparison.displaced]
    axes.fill_between(
        volume,
        [r.low for r in comparison.displaced],
        [r.high for r in comparison.displaced],
        color="C0",
        alpha=0.2,
        lw=0,
    )
    axes.plot(volume, [r.value for r in comparison.displaced], "C0-", label="model, 5 min (band 1 to 15 min)")
    span = np.linspace(0, 1.08 * max(*volume, 15.0), 50)
    axes.plot(span, [null_displaced(v) for v in span], ":", color=GREY, label="null model")
    _points(axes, DISPLACED, "Higuchi 2005, mean and SD")
    axes.set(xlabel="volume injected [mL]", ylabel="lumbosacral CSF displaced [mL]", xlim=(0, None), ylim=(0, None))
    axes.legend(loc="upper left")
    return figure


def _static(comparison: Comparison) -> Figure:
    figure = Figure(figsize=(5.2, 4.4))
    axes = figure.add_subplot()
    volume = [reading.volume_mL for reading in comparison.static]
    axes.plot(volume, [r.value for r in comparison.static], "C0-", label="model, 20 s after each step")
    if comparison.static_banded and STATIC_RISE in ratios():
        low, high = zip(*(at_shares(STATIC_RISE, r.value) for r in comparison.static), strict=True)
        axes.fill_between(volume, low, high, color="C0", alpha=0.18, lw=0, label="model, spinal share .32 to .69")
    known = _left_open(comparison)
    for sign in (-1.0, 1.0) if known else ():
        axes.plot(
            [line.volume_mL for line in known],
            [line.predicted + sign * line.predicted_sd for line in known],
            "C0--",
            lw=0.9,
            label="model, ± SD that the fit leaves open" if sign > 0 else None,
        )
    span = np.linspace(0, 1.05 * max(volume), 100)
    axes.plot(span, [null_pressure(v) for v in span], ":", color=GREY, label="null model")
    _points(axes, STATIC_RISE, "Pratt 2014, fit and SD of residuals", special="pratt-final")
    axes.set(xlabel="volume injected [mL]", ylabel="static epidural rise [mmHg]", xlim=(0, None), ylim=(0, None))
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _points(axes: Axes, quantity: str, label: str, special: str = "") -> None:
    """Measurements as markers with error bars: filled where calibration is allowed, hollow for validation."""
    told = False
    for use in ("calibration", "validation"):
        for row in measurements(use, quantity):
            square = row.id == special
            axes.errorbar(
                row.volume_mL,
                row.value,
                yerr=[[row.value - row.low], [row.sd]],
                fmt="s" if square else "o",
                color="C1" if not square else "C2",
                mfc=None if use == "calibration" else "white",
                capsize=3,
                lw=1.0,
                label="Pratt 2014, mean final pressure and SD" if square else None if told else label,
                zorder=3,
            )
            told = told or not square


def _by_level(study: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    levels: dict[str, list[Outcome]] = {}
    for item in sorted(study, key=lambda item: item.volume_mL):
        levels.setdefault(item.level, []).append(item)
    return levels


_PANELS: Final = (
    ("csf_pressure_rise_mmHg", "peak CSF rise [mmHg]"),
    (STATIC_RISE, "static epidural rise [mmHg]"),
    ("csf_displaced_peak_mL", "CSF displaced, peak [mL]"),
    ("sac_area_min_ratio", "smallest sac area over baseline [1]"),
)


def _study(comparison: Comparison) -> Figure:
    figure = Figure(figsize=(7.2, 6.2))
    grid = figure.subplots(2, 2)
    whole = [item for item in comparison.study if item.state == "done"]  # the others have not received their volume
    levels = _by_level(whole)
    for axes, (name, label) in zip(grid.flat, _PANELS, strict=True):
        for index, ((level, items), colour) in enumerate(zip(levels.items(), colours(len(levels)), strict=True)):
            axes.plot(
                [item.volume_mL for item in items],
                [item.number(name) for item in items],
                ls=LINES[index % len(LINES)],
                color=colour,
                marker=".",
                label=f"model, {level}",
            )
        if name == STATIC_RISE:
            volumes = sorted({item.volume_mL for item in whole if 6 <= item.volume_mL <= 38})
            axes.plot(
                volumes, [pratt(v) for v in volumes], "o", color=GREY, mfc="white", label="Pratt 2014, fit (lumbar)"
            )
        axes.set(xlabel="volume injected [mL]", ylabel=label, xlim=(0, None))
        if name.endswith("ratio"):
            axes.set_ylim(top=1.0)
        else:
            axes.set_ylim(bottom=0)
    handles, labels = grid.flat[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    return figure


def _time_course(comparison: Comparison) -> Figure:
    levels = _by_level(comparison.study)
    # One look per volume in all panels, which need not hold the same volumes.
    volumes = sorted({item.volume_mL for item in comparison.study})
    looks: dict[float, dict[str, Any]] = {
        volume: {"color": colour, "ls": LINES[index % len(LINES)]}
        for index, (volume, colour) in enumerate(zip(volumes, colours(len(volumes)), strict=True))
    }
    columns = min(len(levels), MOST_COLUMNS)
    rows = math.ceil(len(levels) / columns)
    figure = Figure(figsize=(max(7.2 / 2 * min(columns, 2), 2.4 * columns, 5.0), 3.0 * rows + 0.4))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(levels) :]:
        axes.set_visible(False)
    for axes, (level, items) in zip(grid.flat, levels.items(), strict=False):
        for item in items:
            look = looks[item.volume_mL]
            time, pressure = (item.series[name].to_numpy(float) for name in ("time_s", "csf_pressure_mmHg"))
            axes.plot(time / 60, pressure, **look)
            end = end_of_injection(item.case)
            if time[-1] >= end - 1e-6:
                axes.axvline(end / 60, color=look["color"], lw=0.5)
            if item.state != "done":
                axes.plot(time[-1] / 60, pressure[-1], color=look["color"], **STOPPED)
        axes.set_title(level)
    # As long as most are followed: a run of days would leave the others no width.
    usual = mode(item.case.time.follow_up for item in comparison.study)
    ends = [end_of_injection(i.case) + usual for i in comparison.study if i.case.time.follow_up == usual]
    grid.flat[0].set_xlim(0, 1.02 * max(ends) / 60)
    for axes in grid[-1]:
        axes.set_xlabel("time [min]")
    for axes in grid[:, 0]:
        axes.set_ylabel("CSF, cranial [mmHg]")
    handles = [Line2D([], [], label=f"{volume:g} mL", **look) for volume, look in looks.items()]
    states = sorted({item.state for item in comparison.study} - {"done"})
    if states:
        handles.append(Line2D([], [], color=GREY, label=f"stopped there: {', '.join(states)}", **STOPPED))
    figure.legend(handles=handles, loc="outside upper center", ncols=5, title="volume; thin: end of injection")
    return figure

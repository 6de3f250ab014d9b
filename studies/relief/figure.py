"""The headline figure: relief rates against the predicted rise, and against the volume where nothing is predicted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from studies.relief.data import WINDOWS, ReliefRow
from studies.relief.predicted import Band, Held, Prediction, stated_range, volume_range
from studies.relief.statistics import LEAST_SETS
from studies.relief.table import POOLED, intervals, strata
from studies.spinalshare import SHARES

SHAPES: Final = {"complete": "o", "any": "^", "no_repeat": "s"}
SHAPE_WORDS: Final = {"complete": "complete relief", "any": "any improvement", "no_repeat": "no further patch"}
COLOURS: Final = {"blind": "#0072B2", "targeted": "#D55E00", "unknown": "#777777", "none": "#000000"}
COLOUR_WORDS: Final = {"blind": "blind", "targeted": "targeted", "unknown": "blind or targeted not stated"}
TITLES: Final = {
    "early": "early (up to 48 h)",
    "lasting": "lasting (3 days or more)",
    "unclear": "time not stated or between",
}
SHOWN: Final = ("PDPH", "SIH")
SYNDROME_WORDS: Final = {"PDPH": "headache after dural puncture", "SIH": "spontaneous hypotension"}
KEY_COLUMNS: Final = 4
BESIDE: Final = 0.05
"""Distance of markers that share a place [share of their bar]."""

TURNS: Final = (0, 1, -1)
POINT: Final = 0.025
"""Distance of markers that share a place without a bar [share of the axis]."""

POINT_TURNS: Final = (0, -1, -2)
SIDES: Final = ((4, 3), (4, -9), (-11, 3), (-11, -9), (4, 9), (-11, 9), (4, -15), (-11, -15))
"""Where a marker's number may stand from it [points], the best first."""

APART: Final = (9.0, 6.5)
"""Distance at which numbers and markers do not touch [points]."""

NO_PREDICTION: Final = "no prediction"
IN_PART: Final = "computed in part"

ROOM: Final = 0.035
"""Share of an axis left of 0, where controls stand: a marker is not cut in half."""

ARROW: Final = 10.0
"""Length of the arrow at an end of a bar that is open [points]."""

SHARE_BAR: Final[dict[str, Any]] = {"lw": 5.0, "alpha": 0.22, "solid_capstyle": "butt", "zorder": 1}
"""The pale bar from the rise at the smaller to that at the larger spinal share of the compliance."""

PANEL: Final = (2.7, 2.5)
"""Width and height of a panel, roughly [inch]."""


@dataclass(frozen=True)
class Axis:
    """What relief is drawn against.

    Attributes:
        name: of the figure.
        label: of the axis.
        words: for the caption.
        band: of a prediction, in the unit of the label; None where it says nothing.
        right: where it ends; None for behind the last marker.
        control: where controls stand; None where nothing can be said of them.
        lacking: said of rows whose prediction lacks just this.
        open_ends: whether the left and the right end of a bar are only as far as was computed.
        open_words: why, for the caption.
    """

    name: str
    label: str
    words: str
    band: Callable[[Prediction], Band | None]
    right: float | None
    control: float | None
    lacking: str
    open_ends: Callable[[Prediction], tuple[bool, bool]]
    open_words: str


def _scaled(band: Band | None, factor: float) -> Band | None:
    return Band(factor * band.value, factor * band.low, factor * band.high) if band else None


RISE: Final = Axis(
    "relief", "predicted peak CSF rise [mmHg]", "the predicted peak rise of the CSF pressure",
    lambda found: found.rise, right=None, control=0.0, lacking=NO_PREDICTION,
    open_ends=lambda found: (False, found.cut),
    open_words="larger volumes of the row were not computed, and the rise grows with the volume",
)  # fmt: skip
DURATION: Final = Axis(
    "relief_duration", "predicted half decay [min]", "the predicted time to half of the rise of the CSF pressure",
    lambda found: _scaled(found.half_decay, 1 / 60), right=None, control=None, lacking="half not reached",
    open_ends=lambda found: (found.cut, found.half_decay_open),
    open_words="to the right, some runs ended before half of their rise was gone; to the left, larger volumes of the "
    "row were not computed, and more volume decays faster",
)  # fmt: skip
COVERAGE: Final = Axis(
    "relief_coverage", "predicted leak coverage [%]", "the predicted share of the leak that is covered at the end",
    lambda found: _scaled(found.coverage, 100.0), right=104.0, control=0.0, lacking="not computed",
    open_ends=lambda found: (False, False), open_words="",
)  # fmt: skip


def relief_figures(held: Sequence[Held], rows: Sequence[ReliefRow]) -> dict[str, tuple[Figure, str]]:
    """Figures by name with captions: against rise (or volume), and against duration and coverage where predicted."""
    drawn = {RISE.name: relief_figure(held, rows)}
    for axis in (DURATION, COVERAGE):
        if any(item.prediction and axis.band(item.prediction) for item in held):
            drawn[axis.name] = relief_figure(held, rows, axis)
    return drawn


def relief_figure(held: Sequence[Held], rows: Sequence[ReliefRow], axis: Axis = RISE) -> tuple[Figure, str]:
    """Relief against a prediction; against the volume where nothing is predicted."""
    treated = any(item.prediction and not item.row.control_kind for item in held)
    predicted = axis if treated else None
    figure = Figure(figsize=(9.6, 8.6), layout="constrained")
    cells = figure.add_gridspec(3, len(WINDOWS), height_ratios=[3.0, 3.0, 1.75])
    panels: list[tuple[Axes, list[tuple[int, float, float]]]] = []
    for i, syndrome in enumerate(SHOWN):
        for j, window in enumerate(WINDOWS):
            axes = figure.add_subplot(cells[i, j], sharex=panels[0][0] if panels else None)
            members = [
                (n, item)
                for n, item in enumerate(held, 1)
                if (item.row.syndrome, item.row.window) == (syndrome, window)
            ]
            panels.append((axes, _panel(axes, members, rows, predicted)))
            axes.set_title(f"{syndrome}, {TITLES[window]}", fontsize=9)
            if j == 0:
                axes.set_ylabel(f"{SYNDROME_WORDS[syndrome]}\nrelieved [%]")
            if i == len(SHOWN) - 1:
                axes.set_xlabel(predicted.label if predicted else "volume [mL]")
    right = (predicted.right if predicted else None) or panels[0][0].get_xlim()[1]
    controls = predicted is None or predicted.control is not None
    panels[0][0].set_xlim(-ROOM * right if controls else 0.0, right)
    for axes, places in panels:  # once the common axis is known
        _numbers(axes, places)
    key = figure.add_subplot(cells[2, :])
    _key(key, held)
    figure.legend(handles=_legend(held, predicted), loc="outside upper center", ncols=4, fontsize=7.5)
    return figure, _caption(held, rows, predicted)


def _panel(
    axes: Axes, members: Sequence[tuple[int, Held]], rows: Sequence[ReliefRow], predicted: Axis | None
) -> list[tuple[int, float, float]]:
    """Draw the rows of one syndrome and window; gives the number and place of every marker."""
    axes.set(ylim=(-4, 108), yticks=[0, 25, 50, 75, 100])
    said: dict[str, list[int]] = {}
    places: list[tuple[int, float, float]] = []
    spread = _spread([item for _, item in members], rows, predicted)
    for number, item in members:
        where = _place(item, rows, predicted)
        if where is None:
            why = predicted.lacking if predicted and item.prediction else NO_PREDICTION
            said.setdefault("controls" if item.row.control_kind else why, []).append(number)
            continue
        if predicted is COVERAGE and _in_part(item):
            said.setdefault(IN_PART, []).append(number)
        middle, low, high, stated = where
        middle = spread.get(item.row.row_id, middle)
        row, y = item.row, item.row.relief_pct
        colour = COLOURS[row.targeting]
        line = "-" if stated else (0, (1, 1.6))
        axes.plot([low, high], [y, y], color=colour, lw=0.9, ls=line, alpha=0.75, zorder=2)
        if predicted is RISE and item.prediction and item.prediction.at_shares and not row.control_kind:
            axes.plot(item.prediction.at_shares, [y, y], color=colour, **SHARE_BAR)
        for way in _ways(item, predicted):
            _arrow(axes, high if way > 0 else low, y, way, colour)
        (bottom, top), _ = intervals(row)
        known = not math.isnan(bottom)
        if known:
            axes.plot([middle, middle], [bottom, top], color=colour, lw=0.9, alpha=0.75, zorder=2)
        marker = "X" if row.control_kind else SHAPES[row.endpoint_class]
        axes.plot(middle, y, marker, ms=6.5, color=colour, mfc=colour if known else "white", mew=1.1, zorder=3)
        places.append((number, middle, y))
    if said:
        text = "; ".join(f"{why}: {', '.join(map(str, sorted(numbers)))}" for why, numbers in sorted(said.items()))
        axes.text(0.99, 0.02, text, transform=axes.transAxes, fontsize=6.5, ha="right", va="bottom")
    if not members:
        axes.text(0.5, 0.5, "no primary row", transform=axes.transAxes, ha="center", fontsize=8, color="#777777")
    return places


def _ways(item: Held, predicted: Axis | None) -> list[int]:
    """Where the bar of a row goes on beyond what was computed: -1 to the left, 1 to the right."""
    if predicted is None or item.prediction is None or item.row.control_kind or predicted.band(item.prediction) is None:
        return []
    return [way for way, is_open in zip((-1, 1), predicted.open_ends(item.prediction), strict=True) if is_open]


def _in_part(item: Held) -> bool:
    """Whether the leak's coverage is of a part of the row's volumes and may go further beside it, at whichever end."""
    found = item.prediction.coverage if item.prediction and item.prediction.coverage_cut else None
    return found is not None and (found.low > 0.0 or found.high < 1.0)


def _arrow(axes: Axes, x: float, y: float, way: int, colour: str) -> None:
    """An arrow that goes on from the end of a bar."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    tip = axes.transData + ScaledTranslation(way * ARROW / 72, 0.0, figure.dpi_scale_trans)
    look = {"arrowstyle": "-|>,head_length=0.3,head_width=0.15", "color": colour, "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x, y), (x, y), xycoords=tip, textcoords="data", arrowprops=look, zorder=2)


def _numbers(axes: Axes, places: Sequence[tuple[int, float, float]]) -> None:
    """The number of every marker beside it, on the first side where it hides neither a marker nor a number."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    wide, high = (PANEL[0] * 72 / (right - left), PANEL[1] * 72 / (top - bottom))
    points = {number: (x * wide, y * high) for number, x, y in places}
    taken = [(number, x, y) for number, (x, y) in points.items()]
    for number, x, y in places:
        px, py = points[number]
        free = [
            (dx, dy)
            for dx, dy in SIDES
            if not any(
                other != number and abs(px + dx + 3 - ox) < APART[0] and abs(py + dy + 2 - oy) < APART[1]
                for other, ox, oy in taken
            )
        ]
        side = free[0] if free else SIDES[0]
        taken.append((-number, px + side[0] + 3, py + side[1] + 2))
        axes.annotate(str(number), (x, y), side, textcoords="offset points", fontsize=6.5, zorder=4)


def _spread(members: Sequence[Held], rows: Sequence[ReliefRow], predicted: Axis | None) -> dict[str, float]:
    """Places beside each other of rows that share one: about the middle of their bar where the volume is not reported.

    They take turns to the right and to the left, so that no trend with the relief can be seen that is not there. Rows
    whose bar has no width stand to the left of their place, reported or not.
    """
    bars: dict[tuple[float, float], list[tuple[str, float]]] = {}
    for item in sorted(members, key=lambda item: item.row.relief_pct):
        where = _place(item, rows, predicted)
        alike = where is not None and math.isclose(where[1], where[2]) and not item.row.control_kind
        if where is not None and (alike or not where[3]):
            bars.setdefault((round(where[1], 6), round(where[2], 6)), []).append((item.row.row_id, where[0]))
    point = POINT * (predicted.right or 0.0) if predicted else 0.0
    places: dict[str, float] = {}
    for (low, high), group in bars.items():
        apart, turns = (BESIDE * (high - low), TURNS) if high > low else (point, POINT_TURNS)
        places |= {name: middle + apart * turns[index % len(turns)] for index, (name, middle) in enumerate(group)}
    return places


def _place(item: Held, rows: Sequence[ReliefRow], predicted: Axis | None) -> tuple[float, float, float, bool] | None:
    """Middle, ends and whether the source states the volume; None where a prediction is wanted and missing."""
    if predicted:
        if item.row.control_kind:
            return None if predicted.control is None else (predicted.control,) * 3 + (True,)
        found = predicted.band(item.prediction) if item.prediction else None
        if item.prediction is None or found is None:
            return None
        return found.value, found.low, found.high, not item.prediction.assumed_volume
    if item.row.control_kind:
        return 0.0, 0.0, 0.0, True
    low, high = volume_range(item.row, rows)
    return 0.5 * (low + high), low, high, item.row.volume_basis == "reported"


def _key(axes: Axes, held: Sequence[Held]) -> None:
    axes.set_axis_off()
    lines = []
    for number, item in enumerate(held, 1):
        star = "*" if item.row.tag == "recalled" else ""
        lines.append(f"{number} {item.row.name}{_arm(item.row)}{star}")
    each = math.ceil(len(lines) / KEY_COLUMNS)
    for column in range(KEY_COLUMNS):
        axes.text(
            column / KEY_COLUMNS, 1.0, "\n".join(lines[column * each : (column + 1) * each]), fontsize=6.6, va="top",
            transform=axes.transAxes, linespacing=1.35,
        )  # fmt: skip


def _arm(row: ReliefRow) -> str:
    if row.control_kind:
        return f", {row.control_kind}"
    return "" if row.arm_key in ("all", "patch", row.syndrome) else f", {row.arm_key}"


def _legend(held: Sequence[Held], predicted: Axis | None) -> list[Any]:
    handles = [
        Line2D([], [], ls="none", marker=shape, color="#555555", ms=6, label=SHAPE_WORDS[name])
        for name, shape in SHAPES.items()
    ]
    handles.append(Line2D([], [], ls="none", marker="X", color="black", ms=6, label="control: no patch"))
    handles += [Line2D([], [], color=COLOURS[name], lw=3, label=words) for name, words in COLOUR_WORDS.items()]
    handles.append(Line2D([], [], ls="none", marker="o", mfc="white", color="#555555", ms=6, label="no count"))
    handles.append(Line2D([], [], ls="none", marker="|", color="#555555", ms=11, label="95 % interval (binomial)"))
    handles.append(Line2D([], [], color="#555555", lw=0.9, label="volume as reported"))
    handles.append(Line2D([], [], color="#555555", lw=0.9, ls=(0, (1, 1.6)), label="volume not reported"))
    if any(_ways(item, predicted) for item in held):
        look: dict[str, Any] = {"ls": "none", "marker": r"$\rightarrow$", "color": "#555555", "ms": 11}
        handles.append(Line2D([], [], label="goes on, not computed", **look))
    if predicted is RISE:
        label = "at spinal share {:.2f} to {:.2f}".format(*SHARES)
        handles.append(Line2D([], [], color="#555555", label=label, **SHARE_BAR))
    return handles


def _caption(held: Sequence[Held], rows: Sequence[ReliefRow], predicted: Axis | None) -> str:
    ranges = "; ".join("{}: {:g} to {:g} mL".format(name, *stated_range(rows, name)) for name in SHOWN)
    told = [item for item in strata(held) if item.association.coefficient is not None]
    words = "; ".join(
        f"{item.syndrome} {item.window} {item.targeting} {item.endpoint_class}: {item.association.verdict}"
        for item in told
    )
    if all(item.endpoint_class == POOLED for item in told):
        words = (
            f"No stratum has {LEAST_SETS} patient sets of one endpoint with a reported volume: whether relief goes "
            "with the predicted rise cannot be told from these data"
        ) + (f". Rank correlation of a mixture, {words}" if told else "")
    against = predicted.words if predicted else "the volume (no predictions in this folder)"
    stand_in = sorted({item.row.syndrome for item in held if item.prediction and item.prediction.stand_in})
    other = f" Some {' and '.join(stand_in)} rows are predicted with another patient (relief.csv)." if stand_in else ""
    band = (
        " Pale: the rise at spinal share {:.2f} to {:.2f} of the compliance, between which it is to be read.".format(
            *SHARES
        )
        if predicted is RISE
        else ""
    )
    goes_on = f" Arrow: {predicted.open_words}." if predicted and any(_ways(item, predicted) for item in held) else ""
    if predicted is COVERAGE and any(map(_in_part, held)):
        goes_on = f" {IN_PART.capitalize()}: for a part of the row's volumes only."
    to_the_left = " (without a bar: to the left of it)" if predicted is COVERAGE else ""
    return (
        f"Published relief against {against}, primary rows only. Vertical: Wilson's 95 % interval; hollow: n not "
        "known; *: figures recalled, weaker than read. Horizontal: over the reported volumes and what was computed of "
        "the row's interspaces and approaches (predicted_levels, predicted_approaches in relief.csv), or, dotted, over "
        f"the range of all reported volumes ({ranges}) where the source gives none; markers "
        f"that share a place stand beside each other{to_the_left}. Levels are assumed where the source names none "
        f"(level_basis in relief.csv).{goes_on}{band}{other} "
        f"{words}."
    )

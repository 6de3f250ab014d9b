"""Colours, line styles and small helpers that all pictures of a run share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.tri import Triangulation

from studies.plot.fields import Array, Cut

STYLE: Final = Path(__file__).parents[1] / "bloodpatch.mplstyle"

BONE: Final = "#e9e4d8"
FAT: Final = "#2b2b2b"
CSF: Final = "#6f7680"
CORD: Final = "#c9c9c9"
PATCH: Final = "#d55e00"
SAC_LINE: Final = "#56b4e9"
CORD_LINE: Final = "#f0e442"
CLOT_LINE: Final = "#3d0c00"
LEAK_LINE: Final = "#CC79A7"
LEAK_WORDS: Final = " (purple: leak)"
GREY: Final = "#444444"
PATCH_MAP: Final = LinearSegmentedColormap.from_list("patch", [FAT, "#7a3a08", PATCH, "#ffb066"])
PRESSURE_MAP: Final = "cividis"
SPREAD_MAP: Final = LinearSegmentedColormap.from_list("spread", ["#f4f4f4", "#f6c9a0", PATCH, "#5b2100"])
MANY: Final = "viridis"
LIGHTEST: Final = 0.9
"""Share of that map beyond which a line is too light on white."""

LINES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
COVERED: Final = 0.10
"""Injected content per reference volume that counts as covered [1]; as in the names of the contract."""

OVERFULL: Final = (
    "Canal occupancy can pass 1 by a few hundredths: it counts the tissue that a slice began with, over the canal of "
    "that slice, and tissue that the blood drives along the canal fills more than its own slice."
)
NOTE_MARGIN: Final = 0.1
NOTE_LINE: Final = 0.12
"""Room kept free at the edges of a figure for its note, and the height of each of its lines [inch]."""

NOTE_LETTERS: Final = 19
"""Letters of the note that an inch holds."""
NOTE_SIZE: Final = 7
"""Size of its letters [point]."""

FULL: Final = 1.0
"""Injected content at which the colour of the patch is full [1]."""


@dataclass(frozen=True)
class Picture:
    """A picture that was written."""

    name: str
    caption: str
    files: tuple[Path, ...]

    @property
    def svg(self) -> Path:
        """The vector file."""
        return next(path for path in self.files if path.suffix == ".svg")

    @property
    def png(self) -> Path:
        """The raster file."""
        return next(path for path in self.files if path.suffix == ".png")


@contextmanager
def styled() -> Iterator[None]:
    """The style of all figures, for as long as they are drawn."""
    mpl.use("Agg", force=False)
    with mpl.rc_context(fname=str(STYLE)):
        yield


def colours(count: int) -> list[Any]:
    """As many colours that are told apart: those of the style, or shades in order where they do not suffice."""
    own = [entry["color"] for entry in mpl.rcParams["axes.prop_cycle"]]
    if count <= len(own):
        return own[:count]
    return list(mpl.colormaps[MANY](np.linspace(0.0, LIGHTEST, count)))


def overfull(occupancy: Iterable[float]) -> str:
    """A sentence for where canal occupancies are explained; empty where none passes 1."""
    return f" {OVERFULL}" if any(value > 1.0 for value in occupancy) else ""


def in_lines(note: str, figure: Figure) -> str:
    """The note below a figure, in lines that it has room for; a number and its per cent sign stay on one."""
    kept = note.replace(" %", "\N{NO-BREAK SPACE}%")
    return fill(kept, int(NOTE_LETTERS * (figure.get_figwidth() - NOTE_MARGIN))).replace("\N{NO-BREAK SPACE}", " ")


def save(figure: Figure, folder: Path, name: str, caption: str, note: str) -> Picture:
    """Write a figure as SVG and PNG, with a small note below it."""
    below = in_lines(note, figure)
    share = (NOTE_MARGIN + NOTE_LINE * (below.count("\n") + 1)) / figure.get_figheight()
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0.0, share, 1.0, 1.0 - share))
    figure.text(0.01, 0.06 / figure.get_figheight(), below, fontsize=NOTE_SIZE, color=GREY, ha="left", va="bottom")
    svg, png = folder / f"{name}.svg", folder / f"{name}.png"
    figure.savefig(svg, metadata={"Date": None}, dpi=200)
    figure.savefig(png)
    return Picture(name, caption, (svg, png))


def shaded(axes: Axes, part: Cut, values: Array, norm: Normalize, colours: Any) -> None:
    """A field on a cut, smooth between its points; drawn as pixels, which keeps the vector file small."""
    net = Triangulation(part.points[:, 0], part.points[:, 1], part.triangles)
    axes.tripcolor(net, values, shading="gouraud", cmap=colours, norm=norm, rasterized=True)


def edge_of_patch(axes: Axes, part: Cut, content: Array, colour: str) -> None:
    """The line on which the injected content reaches the threshold."""
    if content.min() < COVERED < content.max():
        net = Triangulation(part.points[:, 0], part.points[:, 1], part.triangles)
        axes.tricontour(net, content, [COVERED], colors=colour, linewidths=0.7)


def content_bar(figure: Figure, axes: Axes, colours: Any, orientation: str) -> None:
    """The colour bar of the injected content in axes of its own."""
    norm = Normalize(0, FULL)
    figure.colorbar(
        ScalarMappable(norm, colours), cax=axes, orientation=orientation, extend="max", label="injected content [1]"
    )


def legend_row(axes: Axes, handles: Sequence[Any], columns: int) -> None:
    """A legend that fills a row of the figure of its own."""
    axes.set_axis_off()
    axes.legend(handles=list(handles), loc="center", ncols=columns, fontsize=7.5)


def level_axis(axes: Axes, ticks: list[tuple[float, str]], borders: list[float], along: str = "x") -> None:
    """Name the vertebral levels on an axis and mark their borders.

    Args:
        axes: coordinates along the canal in millimetres.
        ticks: middle of every level [mm] and its name.
        borders: heights between levels [mm].
        along: "x" or "y".
    """
    if not ticks:
        (axes.set_xlabel if along == "x" else axes.set_ylabel)("height [mm]")
        return
    places, names = [z for z, _ in ticks], [name for _, name in ticks]
    (axes.set_xticks if along == "x" else axes.set_yticks)(places, names)
    axes.grid(visible=False, axis="x" if along == "x" else "y")
    for border in borders:
        (axes.axvline if along == "x" else axes.axhline)(border, color="#d0d0d0", lw=0.5, zorder=0)
    axes.tick_params(axis="x" if along == "x" else "y", length=0)

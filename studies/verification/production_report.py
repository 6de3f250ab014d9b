"""Table, figure and files of the production case's own convergence, and the command that writes them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.table import Table

from geometry.size import NAMED_LENGTHS
from studies.console import complain, say, table_console
from studies.files import write_text
from studies.plot.style import LINES, styled
from studies.provenance import DEFAULT_STEPS, UNMEASURED
from studies.spinalshare import QUANTITIES, SHARES
from studies.verification.production import (
    CORD,
    HEADLINES,
    MESH,
    NETWORK,
    SHARE,
    STEPS,
    Part,
    Production,
    read_production,
)

STATED: Final = {
    "csf_pressure_rise_mmHg": "CSF pressure rise",
    "csf_pressure_half_decay_s": "its half decay",
    "csf_displaced_peak_mL": "displaced CSF",
    "epidural_pressure_static_rise_mmHg": "static epidural rise",
    "sac_area_min_ratio": "smallest sac area",
    "spread_cranial_segments": "spread up",
    "spread_caudal_segments": "spread down",
}
"""Quantities whose error every report states, and their names there."""

BAND_COLUMNS: Final = ("quantity", "ratio_low", "ratio_high", "softest", "reference", "stiffest", "model_version")
"""Of ``studies/data/network_band.csv``."""

MARKERS: Final = ("o", "s", "^", "D", "v", "<", ">", "P")


@dataclass(frozen=True)
class Line:
    """What one study says of one quantity; blank where it says nothing.

    Attributes:
        values: of the members, in their order.
        error: at the reference, over its value: the grid-convergence index of a series, the largest change of a band.
    """

    study: str
    quantity: str
    settings: tuple[str, ...]
    values: tuple[float, ...]
    reference: float
    order: float
    extrapolated: float
    error: float
    error_finest: float
    note: str


def lines(production: Production) -> list[Line]:
    """Every quantity of every study."""
    return [line(part, name) for part in production.parts for name in production.quantities]


def line(part: Part, name: str) -> Line:
    """One quantity of one study."""
    values, settings = part.values(name), tuple(member.label for member in part.members)
    found = part.convergence(name)
    order = extrapolated = finest = math.nan
    note = ""
    if found is not None:
        order, extrapolated, note = found.order, found.extrapolated, found.note
        error, finest = found.index_at(part.reference), found.index_at(0)
    elif part.kind.order is None:
        error = part.change(name)
        if part.kind is NETWORK:
            extrapolated, note = (
                part.at_zero(name),
                "extrapolated: to no stiffness, on the line through the two softest",
            )
    else:
        error, note = math.nan, "not reached by every case"
    base = values[part.reference]
    return Line(part.kind.name, name, settings, values, base, order, extrapolated, error, finest, note)


def _text(value: float, pattern: str = ".4g") -> str:
    return format(value, pattern) if math.isfinite(value) else ""


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if math.isfinite(share) else ""


def csv_text(production: Production) -> str:
    """All lines as CSV; a member's value stands beside its setting."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        "study quantity at_reference order extrapolated error_percent error_finest_percent note values".split()
    )
    for one in lines(production):
        pairs = "; ".join(f"{setting} = {value!r}" for setting, value in zip(one.settings, one.values, strict=True))
        numbers = (one.reference, one.order, one.extrapolated, 100 * one.error, 100 * one.error_finest)
        writer.writerow(
            [one.study, one.quantity, *(repr(n) if math.isfinite(n) else "" for n in numbers), one.note, pairs]
        )
    return stream.getvalue()


def markdown(production: Production) -> str:
    """A table per study, what has a limit, the band of the cord, and what is missing."""
    blocks = []
    for part in production.parts:
        settings = [member.label for member in part.members]
        settings[part.reference] += " (reference)"
        series = part.kind.order is not None
        zero = part.kind is NETWORK
        more = ["order", "extrapolated", "index %, reference", "index %, finest", ""] if series else ["change %"]
        head = ["quantity", *settings, *(["to zero"] if zero else []), *more]
        rows = [head, ["---", *["--:"] * (len(head) - 1)]]
        for name in production.quantities:
            one = line(part, name)
            cells = [f"`{name}`", *(_text(value) for value in one.values)]
            if zero:
                cells.append(_text(one.extrapolated))
            if series:
                cells += [_text(one.order, ".2f"), _text(one.extrapolated), _percent(one.error)]
                cells += [_percent(one.error_finest), one.note]
            else:
                cells.append(_percent(one.error))
            rows.append(cells)
        blocks.append(f"### {part.kind.title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    said = [f"* {text}: {'holds' if good else '**does not hold**'}" for text, good in production.verdicts()]
    said += [f"* {text}" for text in cord_band(production)]
    said += [f"* missing: {text}" for text in production.missing]
    return "\n\n".join([*blocks, "\n".join(said)]).rstrip() + "\n"


def cord_band(production: Production) -> list[str]:
    """The cord's displacement with the band of the network's stiffness, from none to the stiffest."""
    part = production.part(NETWORK.name)
    if part is None or CORD not in production.quantities:
        return []
    values = [value for value in (*part.values(CORD), part.at_zero(CORD)) if math.isfinite(value)]
    stiffest = part.members[-1].label
    return [
        f"cord displacement {part.values(CORD)[part.reference]:.3g} mm, {min(values):.3g} to {max(values):.3g} mm "
        f"for a network of no stiffness to {stiffest}"
    ]


def stated_errors(production: Production) -> list[tuple[str, str, str, str]]:
    """Rows of ``studies/data/mesh_error.csv``: size of the mesh, stated error, source, version of the model.

    A named size that the sweep does not have is not measured.
    """
    mesh, steps = production.part(MESH.name), production.part(STEPS.name)
    rows = []
    sizes = [member.label for member in mesh.members] if mesh is not None else []
    for size in (*NAMED_LENGTHS, *(size for size in sizes if size not in NAMED_LENGTHS)):
        at = sizes.index(size) if size in sizes else None
        source = "grid-convergence index; see docs/verification.md"
        error = UNMEASURED if mesh is None or at is None else _stated(mesh, at)
        rows.append((size, error, source, production.model_version))
    error = UNMEASURED if steps is None else _stated(steps, steps.reference)
    return [*rows, (DEFAULT_STEPS, error, "the same over steps in time", production.model_version)]


def share_ratios(production: Production) -> list[tuple[str, float, float, str]]:
    """Rows of ``studies/data/spinal_share.csv``: quantity, values at the shares over that as it is, model's version."""
    part = production.part(SHARE.name)
    labels = [] if part is None else [member.label for member in part.members]
    if part is None or not {str(share) for share in SHARES} <= set(labels):
        return []
    low, high = (labels.index(str(share)) for share in SHARES)
    values = {name: part.values(name) for name in QUANTITIES}
    ran = production.model_version
    return [(name, v[low] / v[part.reference], v[high] / v[part.reference], ran) for name, v in values.items()]


def network_band(production: Production) -> list[tuple[str, float, float, str, str, str, str]]:
    """Rows of ``studies/data/network_band.csv``.

    Quantity, smallest and largest value over the network's stiffnesses, each over that of the reference [1], softest,
    reference and stiffest setting, version of the model; no rows without that study.
    """
    part = production.part(NETWORK.name)
    if part is None:
        return []
    labels = [member.label for member in part.members]
    settings = (labels[0], labels[part.reference], labels[-1], production.model_version)
    rows: list[tuple[str, float, float, str, str, str, str]] = []
    for name in (name for name in HEADLINES if name in production.quantities):
        values = part.values(name)
        base = values[part.reference]
        if all(map(math.isfinite, values)):
            rows.append((name, min(values) / base, max(values) / base, *settings))
    return rows


def _stated(part: Part, at: int) -> str:
    found = {words: part.convergence(name) for name, words in STATED.items()}
    shares = [f"{words} {_percent(one.index_at(at))} %" for words, one in found.items() if one is not None]
    return "; ".join(shares) if shares else UNMEASURED


def figure(production: Production, path: Path) -> None:
    """Series as differences from the finest, the network's study, and the largest changes of all bands."""
    panels = [part for part in production.parts if part.kind in (MESH, STEPS, NETWORK)]
    bands = [part for part in production.parts if part.kind.order is None]
    named = [name for name in HEADLINES if name in production.quantities]
    with styled():
        drawing = Figure(figsize=(8.4, 7.0))
        grid = drawing.subplots(2, 2).ravel()
        for axes, part in zip(grid, panels, strict=False):
            for k, name in enumerate(named):
                _series(axes, part, name, k)
            axes.set(title=part.kind.title, ylabel=f"% from {part.members[0].label}")
            axes.set_xscale("log" if part.kind is NETWORK else "linear")
            axes.set_xticks([member.size for member in part.members], [member.label for member in part.members])
            axes.minorticks_off()
            axes.tick_params(axis="x", labelrotation=30)
        last = grid[len(panels)]
        for k, name in enumerate(named):
            changes = [100 * part.change(name) for part in bands]
            last.plot(changes, range(len(bands)), MARKERS[k % len(MARKERS)], mfc="none", ms=5)
        last.set_yticks(range(len(bands)), [part.kind.name for part in bands])
        last.set(title="Largest change from the reference", xlabel="%")
        for axes in grid[len(panels) + 1 :]:
            axes.set_visible(False)
        handles, words = grid[0].get_legend_handles_labels()
        drawing.legend(handles, words, loc="outside lower center", ncols=2, fontsize=7.5)
        drawing.savefig(path)


def _series(axes: Axes, part: Part, name: str, k: int) -> None:
    values = part.values(name)
    if not math.isfinite(values[0]) or values[0] == 0:
        return
    shift = [100 * (value / values[0] - 1) for value in values]
    style: dict[str, Any] = {"ls": LINES[k % len(LINES)], "marker": MARKERS[k % len(MARKERS)], "mfc": "none"}
    axes.plot([member.size for member in part.members], shift, label=name, **style)


def write(production: Production, out: Path) -> list[Path]:
    """Write ``production.csv``, ``.md``, ``.png`` and the tables of ``studies/data`` that come of it to a folder."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "production.csv", csv_text(production))
    write_text(out / "production.md", markdown(production))
    write_text(out / "mesh_error.csv", _table(("size", "error", "source", "model_version"), stated_errors(production)))
    shares = ("quantity", *(f"ratio_{x}" for x in SHARES), "model_version")
    write_text(out / "spinal_share.csv", _table(shares, share_ratios(production)))
    write_text(out / "network_band.csv", _table(BAND_COLUMNS, network_band(production)))
    figure(production, out / "production.png")
    return [out / f"production.{suffix}" for suffix in ("csv", "md", "png")] + [
        out / f"{name}.csv" for name in ("mesh_error", "spinal_share", "network_band")
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return stream.getvalue()


def tables(production: Production) -> Iterable[Table]:
    """Headlines of every study for the terminal."""
    for part in production.parts:
        series = part.kind.order is not None
        table = Table(title=part.kind.title, title_justify="left", box=SIMPLE)
        table.add_column("quantity", min_width=34)
        for index, member in enumerate(part.members):
            table.add_column(member.label + ("*" if index == part.reference else ""), justify="right")
        for heading in ("order", "extrapolated", "index* %") if series else ("change %",):
            table.add_column(heading, justify="right")
        for name in (name for name in HEADLINES if name in production.quantities):
            one = line(part, name)
            found = (
                [_text(one.order, ".2f"), _text(one.extrapolated), _percent(one.error)]
                if series
                else [_percent(one.error)]
            )
            table.add_row(name, *(_text(value) for value in one.values), *found)
        yield table


def command(folder: Path, out: Path) -> int:
    """What ``bloodpatch verify production`` does; return its exit status: 0 complete and within limits, 3 otherwise.

    Raises:
        InputError: the folder holds no sweep of the study, or its reference has not finished.
    """
    production = read_production(folder)
    written = write(production, out)
    console = table_console()
    for table in tables(production):
        console.print(table)
    say("* reference; a series goes from fine to coarse")
    verdicts = production.verdicts()
    for text, good in verdicts:
        say(f"{'pass' if good else 'FAIL'}: {text}")
    for text in cord_band(production):
        say(text)
    for text in production.missing:
        complain(f"verify production: missing: {text}")
    say(", ".join(str(path) for path in written))
    return 0 if not production.missing and all(good for _, good in verdicts) else 3

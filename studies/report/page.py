"""The pages: what was asked, what came out, how sure, calibrated on what, limits, provenance."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

import pandas as pd

from studies.console import HEADLINE
from studies.page import DRAFT, fill, render
from studies.plot import PICTURES, draw_run, note_of
from studies.plot.curves import LONG
from studies.plot.run import Run, duration, read_run
from studies.plot.style import Picture, overfull
from studies.plot.sweep import HEADLINES, OCCUPANCY, draw_sweep, numbers_of, order_of, varied_keys
from studies.recorded import recorded, recorded_of
from studies.report.chart import chart, script, thinned
from studies.report.record import (
    asked,
    asked_of_sweep,
    parameter_rows,
    provenance_lines,
    records_of,
    short,
    stood,
    why,
)
from studies.report.sure import bands, sure
from studies.results import case_states, shortfall, table

CHOOSE: Final = "Choose what to see (finished cases)"
SHOWN_CASES: Final = 60
"""Cases in the table of a sweep's page."""


def run_page(folder: Path, page: Path) -> None:
    """Page of a run."""
    run = read_run(folder)
    pictures = draw_run(run, folder / PICTURES)
    shown = {name for name, _ in HEADLINE}
    headline = [_quantity(name, run) for name, _ in HEADLINE if name in run.summary]
    more = [_quantity(name, run) for name in run.summary if name not in shown and name != "mesh"]
    series = run.series.assign(time_min=run.series["time_s"] / 60, time_log_min=run.series["time_s"] / 60)
    columns = [str(name) for name in run.series if str(name) not in ("time_s", "step_s") and run.shows(str(name))]
    labels = {"time_s": "time [s]", "time_min": "time [min]", "time_log_min": "time [min], logarithmic"}
    labels |= {name: _labelled(name) for name in columns}
    first = [name for name in ("csf_pressure_mmHg", "epidural_pressure_needle_mmHg") if name in columns]
    shown_first = list(dict.fromkeys([*first, *columns]))
    xs = ["time_min", "time_s"] if run.end > 120 else ["time_s", "time_min"]
    logs = ["time_log_min"] if run.end > LONG else []
    write(
        page,
        title=f"Epidural blood patch: {run.title}",
        warnings=_warnings(run),
        asked=asked([run.case]),
        headline=headline,
        more=more,
        charts=[chart("series", "Over time", thinned(series, columns), [*logs, *xs], shown_first, labels, logs=logs)]
        if columns
        else [],
        pictures=pictures,
        sure=[
            *sure([recorded(run.case, run.provenance)], {name: run.value(name) for name in run.summary}).items(),
            ("volume balance, largest error", short(run.value("volume_balance_error_max"))),
        ],
        provenance=[
            *provenance_lines([run.provenance]),
            ("state", f"{run.state}, {duration(run.end)} of model time"),
        ],
        parameters=parameter_rows([run.provenance]),
    )


def sweep_page(folder: Path, page: Path) -> None:
    """Page of a sweep."""
    pictures = draw_sweep(folder, folder / PICTURES)
    frame = table(folder)
    keys = [key for key in varied_keys(folder) if key in frame]
    numeric = {key: found for key in keys if (found := numbers_of(frame, key)) is not None}
    data = frame.assign(**{f"{key} (number)": values for key, (_, values) in numeric.items()})
    data = data[data["state"] == "done"]  # the others have not received their volume
    for key in keys:  # lines of a chart in the order and colours of the picture
        place = {value: index for index, value in enumerate(order_of(list(dict.fromkeys(frame[key].astype(str)))))}
        data = data.loc[data[key].astype(str).map(place).sort_values(kind="stable").index]
    labels = {f"{key} (number)": label for key, (label, _) in numeric.items()} | dict(HEADLINES)
    xs = [f"{key} (number)" for key in numeric] or ["order"]
    if not numeric:
        data = data.assign(order=range(1, len(data) + 1))
    quantities = [name for name, _ in HEADLINES if name in data and pd.to_numeric(data[name], errors="coerce").any()]
    states = case_states(folder)
    records = records_of(state.path for state in states)
    runs = recorded_of(states)
    known = sure(runs)
    injected = pd.to_numeric(frame["injected_mL"], errors="coerce")
    states_told = [stood(state, volume) for state, volume in zip(frame["state"], injected, strict=True)]
    shown = frame[["case", *quantities]].head(SHOWN_CASES)
    shown.insert(1, "state", states_told[:SHOWN_CASES])
    write(
        page,
        title=f"Epidural blood patch: sweep of {len(frame)} cases",
        warnings=[said] if (said := shortfall(frame)) else [],
        asked=asked_of_sweep(states, [run.case for run in runs]),
        cases={
            "names": ["case", "state", *(dict(HEADLINES)[name] for name in quantities)],
            "rows": [[short(value) for value in row] for row in shown.itertuples(index=False)],
            "left_out": max(len(frame) - SHOWN_CASES, 0),
            "stopped": any(told.endswith("mL") for told in states_told[:SHOWN_CASES]),
            "overfull": overfull(pd.to_numeric(frame.get(OCCUPANCY, pd.Series(dtype=float)), errors="coerce")),
            "why": why(zip(frame["case"], frame["state"], frame["reason"], strict=True)),
        },
        charts=[chart("sweep", CHOOSE, data, xs, quantities, labels, keys, keys)],
        pictures=pictures,
        sure=[
            *((words, known[words]) for words in ("mesh", "time steps")),
            *bands(frame, keys, known),
            ("parameters", known["parameters"]),
        ],
        provenance=provenance_lines(records),
        parameters=parameter_rows(records),
    )


def comparison_page(folder: Path, page: Path) -> None:
    """Page of several sweeps held against clinical data, with the study of volume and level to choose from."""
    from studies.compare import gather
    from studies.figures import draw

    comparison = gather(folder)
    figures = draw(comparison, folder / PICTURES)
    charts = []
    if comparison.study:
        rows = [
            {"case": item.path.name, "level": item.level, "volume_mL": item.volume_mL}
            | {name: item.number(name) for name, _ in HEADLINES}
            for item in comparison.study
            if item.state == "done"  # the others have not received their volume
        ]
        data = pd.DataFrame(rows, columns=["case", "level", "volume_mL", *dict(HEADLINES)])
        quantities = [name for name, _ in HEADLINES if data[name].notna().any()]
        labels = dict(HEADLINES) | {"volume_mL": "volume injected [mL]", "level": "interspace"}
        if quantities:
            charts = [chart("study", CHOOSE, data, ["volume_mL"], quantities, labels, ["level"], ["level"])]
    render(comparison, figures, page, charts, script())


def write(page: Path, pictures: list[Picture], **values: Any) -> None:
    """Fill in the page of a run or of a sweep."""
    fill(
        page,
        "report.html.jinja",
        **{"headline": [], "more": [], "cases": None, "script": script()}
        | values
        | {"pictures": [{"caption": item.caption, "data": embedded(item)} for item in pictures]},
    )


def embedded(picture: Picture) -> str:
    """The picture as it stands in the page: the moving one, else the smaller of vector and raster file."""
    path = min(picture.files, key=lambda file: file.stat().st_size)
    kind = {".svg": "svg+xml", ".png": "png", ".gif": "gif"}[path.suffix]
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _warnings(run: Run) -> list[str]:
    lines = [note_of(run)]
    if run.state != "done":
        reason = f": {run.status.reason}" if run.status and run.status.reason else ""
        lines.append(f"The run is {run.state}{reason}. What was reached is shown.")
    if run.case.mesh.size == "draft":
        lines.append(DRAFT)
    if not run.fields.moments:
        lines.append("No fields were written: there are no cuts and no 3D view.")
    return lines


def _quantity(name: str, run: Run) -> dict[str, str]:
    entry = run.summary[name]
    words = dict(HEADLINE).get(name, name)
    return {
        "name": words, "value": short(entry.get("value")), "unit": str(entry.get("unit", "")),
        "definition": str(entry.get("definition", "")),
    }  # fmt: skip


def _labelled(name: str) -> str:
    stem, _, unit = name.rpartition("_")
    if unit in ("mmHg", "mL", "mm", "mm2", "s", "segments"):
        return f"{stem.replace('_', ' ')} [{unit}]"
    if name.endswith("_mL_per_min"):
        return f"{name.removesuffix('_mL_per_min').replace('_', ' ')} [mL/min]"
    return f"{name.replace('_', ' ')} [1]"

"""Data of the charts that answer to the reader: JSON beside a few lines of script, no library, no network."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup

SCRIPT: Final = Path(__file__).parents[1] / "templates" / "chart.js.jinja"
MOST_POINTS: Final = 600
"""Rows of a series from which on it is thinned for a chart; its ends and every quantity's extremes are kept."""


def script() -> Markup:
    """The script of all charts, as it stands in the page."""
    return Markup(SCRIPT.read_text(encoding="utf-8"))


def chart(
    name: str,
    title: str,
    frame: pd.DataFrame,
    xs: Sequence[str],
    ys: Sequence[str],
    labels: dict[str, str],
    group: Sequence[str] = (),
    filters: Sequence[str] = (),
    logs: Sequence[str] = (),
) -> dict[str, Any]:
    """A chart of a table.

    Args:
        name: identifier in the page.
        title: above the chart.
        frame: the table.
        xs: columns that may lie along the axis; the first is shown first.
        ys: columns that may be shown; the first is shown first.
        labels: names of columns for a reader.
        group: columns whose values make lines of their own: the first tells colours apart, the others dashes.
        filters: columns that the reader may fix.
        logs: those of `xs` whose axis is logarithmic; what is not positive is left out there.
    """
    columns = [column for column in dict.fromkeys(["case", *xs, *ys, *group, *filters]) if column in frame]
    rows = [{key: _plain(value) for key, value in row.items()} for row in frame[columns].to_dict("records")]
    data = {
        "rows": rows, "xs": list(xs), "ys": list(ys), "x": xs[0], "y": ys[0], "labels": labels, "group": list(group),
        "filters": list(filters), "logs": list(logs), "line": True,
    }  # fmt: skip
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("</", "<\\/").replace("<!--", "<\\!--")
    return {"id": name, "title": title, "json": Markup(text)}


def thinned(series: pd.DataFrame, ys: Sequence[str]) -> pd.DataFrame:
    """A series with about `MOST_POINTS` rows, in their order: evenly spaced ones, the last, the extremes of `ys`."""
    if len(series) <= MOST_POINTS:
        return series
    kept = {*range(0, len(series), math.ceil(len(series) / MOST_POINTS)), len(series) - 1}
    for name in ys:
        values = series[name].to_numpy(float)
        if np.isfinite(values).any():
            kept |= {int(np.nanargmin(values)), int(np.nanargmax(values))}
    return series.iloc[sorted(kept)]


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if isinstance(value, int | str | bool) or value is None else str(value)

"""The twelve items of the procedure, each from its case file as written: does the fact hold in the model?

A fact is a row of `studies/data/procedure.csv`: case file, settings, quantity, when it is read, and the bounds within
which the fact holds. Bounds are of the fact, never of the model: a row that does not hold stays.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from studies.console import complain, counted, say
from studies.errors import InputError
from studies.files import read_json, write_text
from studies.quantities import TIME
from studies.runfolder import read_status
from studies.runner import run
from studies.series import read_series
from studies.standing import is_run, read_summary
from studies.worker import DONE, FAILED, INTERRUPTED

FACTS: Final = Path(__file__).parent / "data" / "procedure.csv"
CASES: Final = Path(__file__).parent / "cases"
TABLE: Final = "procedure.csv"
PAGE: Final = "procedure.md"
NARROWEST: Final = "narrowest"
"""When and where a quantity of the profile is read: at the output time, in the slice, where the sac has lost most."""
SAC_RATIO: Final = "sac_area_ratio"
"""Sac area of a slice over its baseline, read off the profile [1]."""
ROUND_OFF: Final = 1e-9
"""Difference by which a slice's ratio may fall short of the series' own, computed before it was written [1]."""


@dataclass(frozen=True)
class Fact:
    """A fact and what shows it.

    Attributes:
        item: of the clinical picture.
        case: case file without its suffix.
        settings: `KEY=VALUE` that the case differs in; empty for the case as written.
        quantity: column of the series, or name in the summary; for `narrowest` of the profile, or `sac_area_ratio`.
        at: when: `min`, `max`, `end` or a time; `narrowest`: where and when the sac has lost most of its area.
        over: when the value was read that it is given as a share of; empty for none.
        low, high: bounds of the fact, in the quantity's unit; infinite where there is none.
        words: the fact.
    """

    item: int
    case: str
    settings: str
    quantity: str
    at: str
    over: str
    low: float
    high: float
    words: str

    @property
    def run(self) -> str:
        """Name of the run that shows it."""
        return f"{self.case}--{self.settings.replace('/', '')}" if self.settings else self.case

    def read(self, folder: Path) -> float:
        """Its value in a finished run; NaN where the run has none."""
        series = read_series(folder)
        if self.at == NARROWEST:
            return math.nan if series is None else float(_narrowest(folder, series).get(self.quantity, math.nan))
        if series is None or self.quantity not in series:
            value = read_summary(folder).get(self.quantity) if self.at == "end" and not self.over else None
            return float(value) if isinstance(value, int | float) else math.nan
        value = _read(series, self.quantity, self.at)
        return value / _read(series, self.quantity, self.over) if self.over else value

    def holds(self, value: float) -> bool:
        """Whether a value lies within the bounds."""
        return self.low <= value <= self.high


def _read(series: pd.DataFrame, quantity: str, at: str) -> float:
    column = series[quantity]
    if at in ("min", "max"):
        return float(column.agg(at))
    if at == "end":
        return float(column.iloc[-1])
    time, times = TIME.parse(at), series["time_s"].to_numpy(float)
    return float(np.interp(time, times, column.to_numpy(float))) if time <= times[-1] + 1e-6 else math.nan


def _narrowest(folder: Path, series: pd.DataFrame) -> pd.Series:
    """The row of the profile that the smallest `sac_area_min_ratio` at an output time is of.

    Slices of the sac's tip count in no minimum and may have lost more: those below the series' value are left out.
    """
    profile = pd.read_csv(folder / "profile.csv")
    profile[SAC_RATIO] = profile["sac_area_mm2"] / profile["sac_area_baseline_mm2"]
    counted = np.interp(profile["time_s"], series["time_s"], series["sac_area_min_ratio"])
    whole = profile[profile[SAC_RATIO] >= counted - ROUND_OFF]
    return whole.loc[whole[SAC_RATIO].idxmin()]


def facts(path: Path = FACTS) -> list[Fact]:
    """The committed facts, by item."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            Fact(
                int(row["item"]),
                row["case"],
                row["set"],
                row["quantity"],
                row["at"],
                row["over"],
                float(row["low"] or "-inf"),
                float(row["high"] or "inf"),
                row["fact"],
            )
            for row in csv.DictReader(stream)
        ]


def procedure(out: Path, ranks: int, quiet: bool = False) -> int:
    """Run every case that a fact needs, unless it is finished, and write the table of all facts.

    Returns:
        Exit status: 3 if a case failed; the others are in the table.
    """
    shown = {fact.run: fact for fact in facts()}
    status = DONE
    for count, (name, fact) in enumerate(shown.items(), 1):
        if not quiet:
            say(f"{count} of {len(shown)}: {name}")
        settings = [fact.settings] if fact.settings else []
        ended = run(CASES / f"{fact.case}.toml", out / name, settings, ranks, quiet)
        if ended == INTERRUPTED:
            return ended
        if ended != DONE:
            complain(f"{name} failed; the others go on")
            status = FAILED
    verdicts = collect(out)["verdict"].value_counts()
    say(f"{out / PAGE}: {counted(len(facts()), 'fact')}, " + ", ".join(f"{word}: {n}" for word, n in verdicts.items()))
    return status


def collect(out: Path) -> pd.DataFrame:
    """Write `procedure.csv` and `procedure.md` from whatever has finished; return the table.

    Raises:
        InputError: the folder holds no run of any fact; a table that stands there without its runs stays.
    """
    if not any(is_run(out / fact.run) for fact in facts()):
        given = "none of the runs of the procedure" if out.is_dir() else "no such folder"
        raise InputError(str(out), given, "allowed is a folder that bloodpatch procedure computed to")
    frame = pd.DataFrame(_rows(out, facts()))
    write_text(out / TABLE, frame.to_csv(index=False))
    write_text(out / PAGE, _markdown(frame))
    return frame


def _rows(out: Path, all_facts: Iterable[Fact]) -> Iterable[dict[str, object]]:
    for fact in all_facts:
        status, record = read_status(out / fact.run), read_json(out / fact.run / "provenance.json")
        value = fact.read(out / fact.run) if status and status.state == "done" else math.nan
        yield {
            "item": fact.item,
            "fact": fact.words,
            "case": fact.case,
            "set": fact.settings,
            "quantity": fact.quantity,
            "at": fact.at,
            "over": fact.over,
            "value": value,
            "low": fact.low,
            "high": fact.high,
            "verdict": "not computed" if math.isnan(value) else "holds" if fact.holds(value) else "does not hold",
            "model_version": record.get("model_version", "") if isinstance(record, dict) else "",
        }


def _markdown(frame: pd.DataFrame) -> str:
    lines = ["| item | fact | case | read | value | holds | |", "| --: | --- | --- | --- | --: | --- | --- |"]
    for row in frame.to_dict("records"):
        case = f"`{row['case']}`" + (f", `{row['set']}`" if row["set"] else "")
        when = f"`{row['quantity']}`, {row['at']}" + (f" over that at {row['over']}" if row["over"] else "")
        value = "" if math.isnan(row["value"]) else f"{row['value']:.3g}"
        bounds = _bounds(row["low"], row["high"])
        lines.append(f"| {row['item']} | {row['fact']} | {case} | {when} | {value} | {bounds} | {row['verdict']} |")
    return "\n".join(lines) + "\n"


def _bounds(low: float, high: float) -> str:
    if math.isinf(high):
        return f"from {low:g}"
    return f"up to {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"

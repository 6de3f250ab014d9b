"""What was asked of cases and what their runs recorded, as every page tells it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from studies.case import Case
from studies.files import read_json
from studies.plot.run import duration
from studies.reading import Tree, case_tree
from studies.results import CaseState, counts

VARIES: Final = "varies"
MOST_VALUES: Final = 3
"""Different records of the runs of a page that are written out; more are counted."""

MOST_CASES: Final = 24
"""Cases that are named behind the reason that they share."""

GAVE_UP: Final = re.compile(r" at t = \S+ s(, step \S+ s)?$")
"""When a solve gave up, as `fem.errors.SolverError` tells it behind the reason: of one case each."""


def short(value: Any) -> str:
    """A value for a reader: numbers with four digits, a dash where there is none."""
    if isinstance(value, bool) or value is None:
        return "–" if value is None else str(value).lower()
    if isinstance(value, int | float) or hasattr(value, "item"):
        number = float(value)
        return "–" if math.isnan(number) else f"{number:.4g}"
    return str(value)


def stood(state: str, injected_mL: float) -> str:
    """The state of a case and, where it is not done, the volume that it reached, which no line break parts."""
    return state if state == "done" or math.isnan(injected_mL) else f"{state} at\u00a0{injected_mL:.3g}\u00a0mL"


def why(cases: Iterable[tuple[str, str, str]], most: int = MOST_CASES) -> list[str]:
    """Why cases have no result: a line for each distinct reason with the cases that share it.

    Args:
        cases: name, state and reason of each; those without a reason are left out.
        most: cases that a line names; more are counted.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for name, state, reason in cases:
        if state != "done" and reason:
            alike.setdefault((state, GAVE_UP.sub("", reason)), []).append(name)
    return [f"{len(names)} {state}, {reason}: {_listed(names, most)}" for (state, reason), names in alike.items()]


def _listed(names: Sequence[str], most: int) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more, which bloodpatch status names" if more > 0 else "")


def asked(cases: Sequence[Case]) -> list[tuple[str, str]]:
    """What cases have in common, in the words of a case file: patient, injections, leaks, window."""
    tree = _common_tree(cases)
    lines = [("patient", str(tree["patient"])), ("posture", str(tree["posture"]))]
    for kind in ("injection", "leak"):
        lines += [(kind, _pairs(item)) for item in ([VARIES] if tree.get(kind) == VARIES else tree.get(kind, []))]
    anatomy = tree.get("anatomy", {})
    span = anatomy.get("span", [])
    lines.append(("window", str(anatomy.get("mesh") or (span if span == VARIES else " to ".join(span)))))
    if anatomy.get("overrides"):
        lines.append(("anatomy", str(anatomy["overrides"])))
    lines.append(("CSF", _pairs(tree.get("csf", {}))))
    follow_ups = {duration(case.time.follow_up) for case in cases}
    lines.append(("follow-up", follow_ups.pop() if len(follow_ups) == 1 else VARIES))
    return lines


def asked_of_sweep(states: Sequence[CaseState], cases: Sequence[Case]) -> list[tuple[str, str]]:
    """How many cases, what varies with its values, and what they have in common."""
    return [("cases", _counted(states)), *_varied(states), *asked(cases)]


def asked_in_short(states: Sequence[CaseState], cases: Sequence[Case]) -> str:
    """The same in a line: number of cases, patient, injections, what varies."""
    tree = _common_tree(cases)
    words = ("volume", "material", "level", "approach")
    steps = [", ".join(_given(step, words)) for step in tree["injection"]] if tree["injection"] != VARIES else [VARIES]
    runs = [(step, len(list(alike))) for step, alike in groupby(steps)]
    course = "; then ".join(step if times == 1 else f"{times} times {step}" for step, times in runs)
    said = [_counted(states), f"patient {tree['patient']}", f"injection {course}"]
    return "; ".join([*said, *(f"{key}: {values}" for key, values in _varied(states))])


def _counted(states: Iterable[CaseState]) -> str:
    return ", ".join(f"{number} {state}" for state, number in counts(states).items())


def _varied(states: Sequence[CaseState]) -> list[tuple[str, str]]:
    """Every key that varies with its values, those with the most first."""
    values: dict[str, dict[str, None]] = {}
    for state in states:
        for key, value in state.entry["varied"].items():
            values.setdefault(key, {})[str(value)] = None
    return [(key, ", ".join(values[key])) for key in sorted(values, key=lambda key: -len(values[key]))]


def _common_tree(cases: Sequence[Case]) -> Tree:
    tree: Tree = _common([case_tree(case) for case in cases])
    return tree


def _common(values: Sequence[Any]) -> Any:
    """What all have, with `VARIES` in the place of what they do not."""
    first = values[0]
    if all(isinstance(value, dict) for value in values):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: _common([value.get(key) for value in values]) for key in keys}
    if all(isinstance(value, list) and len(value) == len(first) for value in values):
        return [_common(column) for column in zip(*values, strict=True)]
    return first if all(value == first for value in values) else VARIES


def _given(table: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    return [f"{key} {VARIES}" if table[key] == VARIES else str(table[key]) for key in keys if key in table]


def _pairs(table: Mapping[str, Any] | str) -> str:
    return table if isinstance(table, str) else ", ".join(f"{key} {value}" for key, value in table.items())


def records_of(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """`provenance.json` of every run that has one."""
    found = (read_json(folder / "provenance.json") for folder in folders)
    return [record for record in found if isinstance(record, dict)]


def provenance_lines(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What the runs were made with, a line per entry of their records; the parameters have a table of their own."""
    keys = dict.fromkeys(key for record in records for key in record if key != "parameters")
    return [(key.replace("_", " "), _merged(record.get(key) for record in records)) for key in keys]


def parameter_rows(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Every parameter with value, unit, tag and source, as the runs recorded them."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        for row in record.get("parameters", []):
            if isinstance(row, dict) and "key" in row:  # a record may be damaged
                found.setdefault(str(row["key"]), []).append(row)
    columns = ("value", "unit", "tag", "source")
    return [
        {"key": key} | {name: _merged(row.get(name, "") for row in rows) for name in columns}
        for key, rows in found.items()
    ]


def _merged(values: Iterable[Any]) -> str:
    """Values that differ, each once."""
    told = list(
        dict.fromkeys(
            ", ".join(f"{name} {item}" for name, item in value.items()) if isinstance(value, dict) else short(value)
            for value in values
        )
    )
    return "; ".join(told) if len(told) <= MOST_VALUES else f"{len(told)} different, the first: {told[0]}"

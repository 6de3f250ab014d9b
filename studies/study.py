"""Study files: a case and what varies in it, and the cases that follow from it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field

from studies.case import Case
from studies.design import SAMPLED, SweepSection, design
from studies.errors import InputError, shown
from studies.quantities import dimension_at
from studies.reading import (
    Tree,
    absolute_mesh,
    case_hash,
    case_tree,
    parse_value,
    read_toml,
    set_key,
    split_assignment,
    validate,
    validate_case,
)
from studies.resolve import resolve, window


class Study(Case):
    """A study file: a case file plus `[sweep]`."""

    sweep: SweepSection = Field(description="what varies, and how")


@dataclass(frozen=True)
class StudyCase:
    """One case of a study.

    Attributes:
        name: name of its run folder.
        varied: the keys that vary and their values, as text of the case file.
        case: the case as resolved.
        group: cases of one group differ in the volume of their last injection only, and share its path.
    """

    name: str
    varied: Mapping[str, Any]
    case: Case
    group: str


@dataclass(frozen=True)
class Plan:
    """All cases of a study, with the text it was made from and the settings of its sweep."""

    cases: tuple[StudyCase, ...]
    source: str
    sweep: SweepSection = field(default_factory=SweepSection)

    @property
    def identity(self) -> str:
        """Content hash of all cases: two studies with the same cases are the same study."""
        return case_hash(self.cases[0].case, *(case_hash(case.case) + case.name for case in self.cases))

    @property
    def groups(self) -> dict[str, list[StudyCase]]:
        """Cases by group, the largest volume first."""
        groups: dict[str, list[StudyCase]] = {}
        for case in self.cases:
            groups.setdefault(case.group, []).append(case)
        return {name: sorted(group, key=lambda item: -item.case.injection[-1].volume) for name, group in groups.items()}


def read_study(path: Path, vary: Sequence[str] = (), settings: Iterable[str] = ()) -> Plan:
    """The plan of a study file, or of a case file with `--vary`.

    Raises:
        InputError: something in the file or the options cannot be used; cases are named by their number.
    """
    tree = read_toml(path)
    for text in settings:
        key, value = split_assignment(text, "--set")
        set_key(tree, key, parse_value(value))
    for text in vary:
        key, values = split_assignment(text, "--vary")
        set_vary(tree, key, [parse_value(value) for value in split_list(values)])
    if "sweep" not in tree:
        raise InputError(
            str(path), "nothing that varies", "allowed is a study file with [sweep.vary], or --vary KEY=VALUE,VALUE"
        )
    return plan_study(tree, path)


def plan_study(tree: Tree, path: Path) -> Plan:
    """The plan of a study given as a tree; `path` is what a mesh file is named relative to."""
    sweep_tree = tree["sweep"]
    base = {key: value for key, value in tree.items() if key != "sweep"}
    sweep = validate(SweepSection, sweep_tree, table="sweep") if isinstance(sweep_tree, dict) else None
    if sweep is None:
        raise InputError("sweep", shown(sweep_tree), "allowed is a table")
    varied = design(sweep)
    read: list[tuple[Mapping[str, Any], Case]] = []
    for number, values in enumerate(varied, 1):
        where = f"case {number} of {len(varied)}" if len(varied) > 1 else ""
        case_data = copy.deepcopy(base)
        for key, value in values.items():
            set_key(case_data, key, copy.deepcopy(value))
        read.append((values, absolute_mesh(validate_case(case_data, where), path)))
    return _plan(read, tomli_w.dumps(tree), sweep)


def _plan(read: Sequence[tuple[Mapping[str, Any], Case]], source: str, sweep: SweepSection) -> Plan:
    span = (
        window(case for _, case in read if case.anatomy.mesh is None and case.anatomy.span is None)
        if any(case.anatomy.mesh is None and case.anatomy.span is None for _, case in read)
        else None
    )
    cases: list[StudyCase] = []
    seen: dict[str, str] = {}
    groups: dict[str, str] = {}
    for number, (values, case) in enumerate(read, 1):
        resolved = resolve(case, span, f"case {number} of {len(read)}" if len(read) > 1 else "")
        key = case_hash(resolved)
        if key in seen:
            raise InputError(
                f"case {number} of {len(read)}", "", f"it is the same as case {seen[key]}: every case is needed once"
            )
        seen[key] = str(number)
        path_key = _path_key(resolved)
        group = groups.setdefault(path_key, f"path-{len(groups) + 1:04d}")
        written = {name: written_value(resolved, name, value) for name, value in values.items()}
        name = f"case-{number:04d}" if sweep.mode in SAMPLED else _name(number, written)
        cases.append(StudyCase(name, written, resolved, group))
    return Plan(tuple(cases), source, sweep)


def _path_key(case: Case) -> str:
    """What cases along a path have in common: all but the volume of the last injection, unless a limit may stop it."""
    tree = case_tree(case)
    if case.injection[-1].stop_at is None:
        del tree["injection"][-1]["volume"]
    return repr(tree)


def _name(number: int, values: Mapping[str, Any]) -> str:
    text = "-".join(str(value).replace("/", "").replace(" ", "") for value in values.values())
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", f"{number:04d}-{text}").strip("-.")[:60]


def written_value(case: Case, key: str, value: Any) -> Any:
    """The value of a varied key as the resolved case writes it; `value` where the key is a whole table."""
    node: Any = case_tree(case)
    for part in key.split("."):
        if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return value
    return value if isinstance(node, dict | list) else node


def numeric_column(key: str, value: Any) -> tuple[str, float] | None:
    """Name with unit, and number, of a varied quantity: `injection.0.volume` "5 mL" gives `injection.0.volume_mL` 5."""
    if not isinstance(value, str):
        return None
    number, _, unit = value.partition(" ")
    try:
        amount = float(number)
    except ValueError:
        return None
    if not unit or dimension_at(unit) is None:
        return None
    suffix = unit.replace("/", "_per_").replace("(", "").replace(")", "").replace(" ", "_").replace("^", "")
    return f"{key}_{suffix}", amount


def set_vary(tree: Tree, key: str, values: list[Any]) -> None:
    """Add a varied key to a study tree."""
    sweep = tree.setdefault("sweep", {})
    if not isinstance(sweep, dict) or not isinstance(sweep.setdefault("vary", {}), dict):
        raise InputError("sweep", shown(sweep), "allowed is a table with a table [sweep.vary]")
    sweep["vary"][key] = values


def split_list(text: str) -> list[str]:
    """Parts of a comma-separated list; commas inside brackets or quotes do not count."""
    parts, depth, quote, start = [], 0, "", 0
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return [part.strip() for part in parts]

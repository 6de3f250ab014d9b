"""From a case as written to a case as run: presets, starts, window, and what this version cannot do."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from fem.errors import ModelError
from fem.materials import Materials, parameter_table
from fem.needle import HIGHEST_DROP, needle_table, pressure_drop
from fem.parameters import MMHG
from geometry import Anatomy
from studies.baseline import csf_and_leaks
from studies.case import Case, InjectionSection
from studies.errors import InputError
from studies.inputs import material_values, planned
from studies.posable import check_approaches, check_levels, check_stops, check_tips, interspaces_of
from studies.quantities import FOLDING_STIFFNESS, OFFSET, RATE, TIME, VOLUME, dimension_of
from studies.reading import Tree, case_tree, validate_case

PATIENTS: Final = Path(__file__).parent / "data" / "patients.csv"
WINDOW_SEGMENTS: Final = 6
"""Segments modelled to each side of the injections; eight change headline figures by less than 2 %."""
DAY: Final = 86400.0
"""Seconds in a day."""


@dataclass(frozen=True)
class PresetValue:
    """One figure of a patient preset, with where it comes from."""

    patient: str
    key: str
    value: str
    source: str
    tag: str


@cache
def presets() -> dict[str, dict[str, PresetValue]]:
    """Figures of every patient preset, by patient and key of `[csf]`."""
    table: dict[str, dict[str, PresetValue]] = {}
    with PATIENTS.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            table.setdefault(row["patient"], {})[row["key"]] = PresetValue(**row)
    return table


def resolve(case: Case, span: tuple[str, str] | None = None, where: str = "") -> Case:
    """The case with every value written out; resolving it again changes nothing.

    Args:
        case: as read.
        span: window for a case that names none; default six segments to each side of its injections.
        where: put before the key in messages.

    Raises:
        InputError: the case asks for what this version does not have, or contradicts itself.
    """
    try:
        tree = case_tree(case)
        preset = {key: value.value for key, value in presets()[case.patient].items()}
        tree["csf"], tree["leak"] = csf_and_leaks(case, preset, material_values(case))
        tree["injection"] = _injections(case)
        tree["materials"] = _materials(case)
        if case.anatomy.mesh is None:
            tree.setdefault("anatomy", {})["span"] = list(case.anatomy.span or span or window([case]))
        resolved = validate_case(tree)
        check_levels(resolved)
        check_approaches(resolved)
        if resolved.anatomy.mesh is None and not resolved.anatomy.overrides:
            check_tips(resolved, _adult())
        check_stops(resolved)
        _check_upright(resolved)
        _check_folding(resolved)
        _check_times(resolved)
    except InputError as error:
        if not where:
            raise
        raise InputError(f"{where}: {error.key}", error.given, error.allowed) from None
    return resolved


def _check_upright(case: Case) -> None:
    """Refuse to let a patient stand up who stands already, or who has no head."""
    if case.output.upright and case.posture != "supine":
        raise InputError("output.upright", f"true with posture {case.posture}", 'allowed with posture = "supine"')
    if case.output.upright and case.anatomy.mesh is not None:
        raise InputError("output.upright", "true with a mesh of one's own", "it needs the heights of head and heart")


def _check_folding(case: Case) -> None:
    """Refuse for sliding fat what keeps bonded fat from folding."""
    given = case.solver.folding_stiffness
    if given is not None and case.solver.contact != "bonded":
        allowed = 'allowed with contact = "bonded" (sliding fat has materials.fat.gradient_stiffness)'
        raise InputError("solver.folding_stiffness", f'"{FOLDING_STIFFNESS.format(given)}"', allowed)


def _check_times(case: Case) -> None:
    """Refuse an output time that the run does not come to."""
    end = max(end for _, end in planned(case)) + case.time.follow_up
    for index, time in enumerate(case.output.times):
        if time > end and not math.isclose(time, end):
            allowed = f"allowed is up to the end of the run, {TIME.format(end)} (time.follow_up makes it longer)"
            raise InputError(f"output.times.{index}", f'"{TIME.format(time)}"', allowed)


def window(cases: Iterable[Case]) -> tuple[str, str]:
    """The one window that holds the injections and leaks of all `cases`, six segments to each side."""
    interspaces = sorted({level for case in cases for level in interspaces_of(case)})
    return _adult().window(interspaces, segments=WINDOW_SEGMENTS)


@cache
def _adult() -> Anatomy:
    """The anatomy of the table."""
    return Anatomy.from_table()


def _check_needle(index: int, injection: InjectionSection, materials: Materials) -> None:
    """Refuse a needle that no hand presses the fluid through."""
    if injection.gauge is None:
        return
    needle = needle_table()[int(injection.gauge.removesuffix("G"))]
    try:
        drop = pressure_drop(needle, materials.rheology[injection.material.replace("-", "_")], injection.rate)
    except ModelError as error:
        raise InputError(f"materials.{injection.material}", "", str(error)) from None
    if drop > HIGHEST_DROP:
        raise InputError(
            f"injection.{index}.gauge",
            f'"{injection.gauge}"',
            f"{injection.material} at {RATE.format(injection.rate)} takes {drop / MMHG:.3g} mmHg in this needle; "
            f"allowed is what a hand can press, {HIGHEST_DROP / MMHG:.0f} mmHg",
        )


def _check_end(index: int, injection: InjectionSection, start: float, end: float) -> None:
    """Refuse an injection that is planned to go on beyond any time that a case file may name."""
    assert TIME.high is not None
    if end <= TIME.high or math.isclose(end, TIME.high):
        return
    late = injection.start is not None and end - start <= TIME.high
    key, given = ("start", TIME.format(start)) if late else ("rate", RATE.format(injection.rate))
    raise InputError(
        f"injection.{index}.{key}",
        f'"{given}"',
        f"{VOLUME.format(injection.volume)} from {start:.6g} s on would end at {end:.6g} s; "
        f"allowed is an end within {TIME.high:g} s, which is {TIME.high / DAY:g} days",
    )


def _placed(index: int, injection: InjectionSection) -> str:
    """Side of an injection, refused where its approach has none."""
    key = f"injection.{index}"
    if injection.approach == "interlaminar":
        side = injection.side or "midline"
        if side == "midline" and injection.offset != 0:
            allowed = "a tip beside the midline needs a side"
        elif injection.offset < 0:
            allowed = f'it is the distance from the midline on "{side}"; allowed is at least "0 mm"'
        else:
            return side
        raise InputError(f"{key}.offset", f'"{OFFSET.format(injection.offset)}"', allowed)
    if injection.side == "midline":
        raise InputError(
            f"{key}.side", '"midline"', f'allowed for the {injection.approach} approach is "left" or "right"'
        )
    return injection.side or "left"


def _injections(case: Case) -> list[Tree]:
    trees: list[Tree] = []
    materials = Materials.from_table(material_values(case))
    open_ended = False
    for index, (injection, (start, end)) in enumerate(zip(case.injection, planned(case), strict=True)):
        tree: Tree = injection.model_dump(mode="json", exclude_none=True)
        follows = injection.start is None and open_ended
        _check_end(index, injection, start, end)
        _check_needle(index, injection, materials)
        tree["start"] = TIME.format(start)
        if follows:  # when that is, a limit decides
            del tree["start"]
        tree["side"] = _placed(index, injection)
        trees.append(tree)
        open_ended = follows or injection.stop_at is not None
    return trees


def _materials(case: Case) -> Tree:
    given = material_values(case)
    tree: Tree = {}
    for key, row in parameter_table().items():
        material, _, name = key.partition(".")
        value = given.get(key, row.value)
        tree.setdefault(material, {})[name] = value if row.unit == "1" else dimension_of(row.unit).format(value)
    return tree

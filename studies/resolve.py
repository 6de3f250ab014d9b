"""From a case as written to a case as run: presets, starts, window, and what this version cannot do."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from fem.parameters import (
    MMHG,
    Csf,
    Injection,
    Materials,
    PatchParameters,
    SolverControl,
    TimeControl,
    parameter_table,
)
from geometry import Anatomy
from studies.case import LEVELS, Case, InjectionSection
from studies.errors import InputError
from studies.quantities import PRESSURE, TIME, dimension_of
from studies.reading import Tree, case_tree, validate_case

PATIENTS: Final = Path(__file__).parent / "data" / "patients.csv"
WINDOW_SEGMENTS: Final = 6
"""Segments modelled to each side of the injections; six or eight change a headline figure by less than 2 %."""


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
        _refuse_unavailable(case)
        tree = case_tree(case)
        tree["csf"] = _csf(case)
        tree["injection"] = _injections(case)
        tree["materials"] = _materials(case)
        if case.anatomy.mesh is None:
            tree.setdefault("anatomy", {})["span"] = list(case.anatomy.span or span or window([case]))
        resolved = validate_case(tree)
        _check_levels(resolved)
    except InputError as error:
        if not where:
            raise
        raise InputError(f"{where}: {error.key}", error.given, error.allowed) from None
    return resolved


def window(cases: Iterable[Case]) -> tuple[str, str]:
    """The one window that holds the injections of all `cases`, six segments to each side."""
    interspaces = sorted({injection.level for case in cases for injection in case.injection})
    return Anatomy.from_table().window(interspaces, segments=WINDOW_SEGMENTS)


def build_anatomy(case: Case) -> Anatomy:
    """The anatomy of a case.

    Raises:
        geometry.AnatomyError: the overrides are impossible.
    """
    overrides = {
        level: override.model_dump(exclude_none=True, mode="python")
        for level, override in case.anatomy.overrides.items()
    }
    return Anatomy.from_table(overrides=overrides)


def patch_parameters(case: Case) -> PatchParameters:
    """The parameters that the model takes, SI floats, of a resolved case."""
    csf = case.csf
    assert csf.baseline_pressure is not None
    assert csf.pvi is not None
    assert csf.reference_pressure is not None
    assert csf.outflow_resistance is not None
    assert csf.formation is not None
    return PatchParameters(
        materials=Materials.from_table(material_values(case)),
        csf=Csf(
            baseline_pressure=csf.baseline_pressure,
            pvi=csf.pvi,
            reference_pressure=csf.reference_pressure,
            outflow_resistance=csf.outflow_resistance,
            formation=csf.formation,
            spinal_share=csf.spinal_share,
        ),
        injections=tuple(
            Injection(
                interspace=injection.level,
                volume=injection.volume,
                rate=injection.rate,
                start=injection.start or 0.0,
                approach=injection.approach,
                side=injection.side or "midline",
                offset=injection.offset,
                material=injection.material,
            )
            for injection in case.injection
        ),
        time=TimeControl(
            follow_up=case.time.follow_up,
            first_step=case.time.first_step,
            injection_step=case.time.injection_step,
            max_step=case.time.max_step,
            output_times=tuple(case.output.times),
        ),
        solver=SolverControl(
            max_iterations=case.solver.max_iterations,
            smallest_step=case.solver.smallest_step,
            growth=case.solver.growth,
        ),
        source_radius=case.solver.source_radius,
        kinematics=case.solver.kinematics,
    )


def material_values(case: Case) -> dict[str, float]:
    """Material parameters of a case by dotted key, SI; only those that are set."""
    tables: dict[str, dict[str, float]] = case.materials.model_dump(mode="python", exclude_none=True)
    return {f"{material}.{key}": value for material, table in tables.items() for key, value in table.items()}


def end_of_injection(injection: InjectionSection) -> float:
    """Time at which an injection ends [s]."""
    return (injection.start or 0.0) + injection.volume / injection.rate


def _refuse_unavailable(case: Case) -> None:
    later = "not available in this version; see CHANGELOG"
    if case.leak:
        raise InputError("leak", "", later)
    if case.patient == "sih":
        raise InputError(
            "patient", '"sih"', f'its low pressure needs a leak, which is {later}; allowed is "pdph" or "healthy"'
        )
    if case.posture != "supine":
        raise InputError("posture", f'"{case.posture}"', f'{later}; allowed is "supine"')
    for name, active in (("pressure", case.mechanisms.pressure), ("plug", case.mechanisms.plug)):
        if not active:
            raise InputError(f"mechanisms.{name}", "false", f"switching it off is {later}")
    for index, injection in enumerate(case.injection):
        here = f"injection.{index}"
        if injection.approach != "interlaminar":
            raise InputError(f"{here}.approach", f'"{injection.approach}"', f'{later}; allowed is "interlaminar"')
        if injection.material == "fibrin-glue":
            raise InputError(f"{here}.material", '"fibrin-glue"', f'{later}; allowed is "blood" or "saline"')
        for key in ("gauge", "stop_at"):
            if getattr(injection, key) is not None:
                raise InputError(f"{here}.{key}", "", later)


def _csf(case: Case) -> Tree:
    given: Tree = case.csf.model_dump(mode="json", exclude_none=True)
    preset = {key: value.value for key, value in presets()[case.patient].items()}
    baseline = given.get("baseline_pressure", preset["baseline_pressure"])
    # Without a leak the patient's pressure is an equilibrium: absorption is shifted so that it is one.
    if "set_point" in given and PRESSURE.parse(given["set_point"]) != PRESSURE.parse(baseline):
        raise InputError(
            "csf.set_point",
            f'"{given["set_point"]}"',
            f'without a leak it is csf.baseline_pressure ("{baseline}"): leave it out or give both alike',
        )
    tree = {**preset, **given, "baseline_pressure": baseline, "set_point": baseline}
    reference = PRESSURE.parse(tree["reference_pressure"])
    if PRESSURE.parse(baseline) <= reference + 0.1 * MMHG:
        raise InputError(
            "csf.baseline_pressure",
            f'"{baseline}"',
            f'allowed is a pressure above csf.reference_pressure ("{tree["reference_pressure"]}")',
        )
    return tree


def _injections(case: Case) -> list[Tree]:
    trees: list[Tree] = []
    free = 0.0
    for index, injection in enumerate(case.injection):
        tree: Tree = injection.model_dump(mode="json", exclude_none=True)
        start = free if injection.start is None else injection.start
        if start < free - 1e-9:
            raise InputError(
                f"injection.{index}.start",
                f'"{TIME.format(start)}"',
                f"allowed is no earlier than the end of the one before, {TIME.format(round(free, 6))}",
            )
        # Written and read back, so that a computed start is the same number in the file and in the model.
        tree["start"] = TIME.format(start)
        start = TIME.parse(tree["start"])
        tree.setdefault("side", "midline")
        trees.append(tree)
        free = start + injection.volume / injection.rate
    return trees


def _materials(case: Case) -> Tree:
    given = material_values(case)
    tree: Tree = {}
    for key, row in parameter_table().items():
        material, _, name = key.partition(".")
        value = given.get(key, row.value)
        tree.setdefault(material, {})[name] = value if row.unit == "1" else dimension_of(row.unit).format(value)
    return tree


def _check_levels(case: Case) -> None:
    if case.anatomy.span is None:
        return
    first, last = (LEVELS.index(level) for level in case.anatomy.span)
    for index, injection in enumerate(case.injection):
        above = LEVELS.index(injection.level.split("/")[0])
        if not first <= above < last:
            span = "-".join(case.anatomy.span)
            raise InputError(
                f"injection.{index}.level",
                f'"{injection.level}"',
                f"allowed is an interspace within anatomy.span, {span}",
            )

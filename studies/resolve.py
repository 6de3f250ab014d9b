"""From a case as written to a case as run: presets, starts, window, and what this version cannot do."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pydantic_core import PydanticCustomError

from fem.needle import HIGHEST_DROP, needle_table, pressure_drop
from fem.parameters import (
    MMHG,
    Csf,
    Injection,
    Leak,
    Materials,
    Mechanisms,
    PatchParameters,
    SolverControl,
    Stop,
    TimeControl,
    parameter_table,
)
from fem.quantities import LIMITED_LEVELS, LUMBAR
from fem.tolerance import limits
from geometry import Anatomy
from studies.baseline import csf_and_leaks
from studies.case import LEVELS, Case, InjectionSection
from studies.errors import InputError
from studies.quantities import OFFSET, RATE, STOP_PRESSURE, TIME, dimension_of
from studies.reading import Tree, case_tree, validate_case

PATIENTS: Final = Path(__file__).parent / "data" / "patients.csv"
WINDOW_SEGMENTS: Final = 6
"""Segments modelled to each side of the injections; eight change headline figures by less than 2 %."""
FUSED: Final = ("S1/S2",)
"""Interspaces without a space between laminae: the sacrum is one bone."""
CORD: Final = LEVELS[: LEVELS.index("L1") + 1]
"""Levels that the cord reaches; the conus ends between L1 and L2."""
LEVELS_OF: Final = {
    "sac_area_lumbar_min_mm2": LUMBAR,
    **{f"sac_area_{level}_mm2": (level,) for level in LIMITED_LEVELS},
    **dict.fromkeys(("sac_width_min_ratio", "cord_area_min_ratio"), CORD),
}
"""Levels one of which a window must have for a quantity to exist."""


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
        _check_levels(resolved)
        _check_approaches(resolved)
        _check_stops(resolved)
        _check_upright(resolved)
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


def _check_times(case: Case) -> None:
    """Refuse an output time that the run does not come to."""
    end = max(end for _, end in planned(case)) + case.time.follow_up
    for index, time in enumerate(case.output.times):
        if time > end and not math.isclose(time, end):
            allowed = f"allowed is up to the end of the run, {TIME.format(end)} (time.follow_up makes it longer)"
            raise InputError(f"output.times.{index}", f'"{TIME.format(time)}"', allowed)


def window(cases: Iterable[Case]) -> tuple[str, str]:
    """The one window that holds the injections and leaks of all `cases`, six segments to each side."""
    interspaces = sorted({level for case in cases for level in _levels(case)})
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
            set_point=csf.set_point,
            epidural_pressure=csf.epidural_pressure,
        ),
        injections=tuple(
            Injection(
                interspace=injection.level,
                volume=injection.volume,
                rate=injection.rate,
                start=start,
                approach=injection.approach,
                side=injection.side or "midline",
                offset=injection.offset,
                material=injection.material.replace("-", "_"),
                gauge=int(injection.gauge.removesuffix("G")) if injection.gauge else None,
                stop=_stop(injection),
                follows=injection.start is None,
            )
            for injection, (start, _) in zip(case.injection, planned(case), strict=True)
        ),
        leaks=tuple(
            Leak(leak.level, leak.site, leak.side or "midline", leak.conductance or 0.0, leak.flap)
            for leak in case.leak
        ),
        posture=case.posture,
        stand_up=case.output.upright,
        mechanisms=Mechanisms(case.mechanisms.pressure, case.mechanisms.plug),
        time=TimeControl(
            follow_up=case.time.follow_up,
            first_step=case.time.first_step,
            injection_step=case.time.injection_step,
            max_step=case.time.max_step,
            late_step=case.time.late_step,
            output_times=tuple(case.output.times),
        ),
        solver=SolverControl(
            max_iterations=case.solver.max_iterations,
            smallest_step=case.solver.smallest_step,
            growth=case.solver.growth,
        ),
        source_radius=case.solver.source_radius,
        linear=case.solver.kinematics == "linear",
        contact=case.solver.contact,
    )


def material_values(case: Case) -> dict[str, float]:
    """Material parameters of a case by dotted key, SI; only those that are set."""
    tables: dict[str, dict[str, float]] = case.materials.model_dump(mode="python", exclude_none=True)
    return {f"{material}.{key}": value for material, table in tables.items() for key, value in table.items()}


def end_of_injection(case: Case, index: int = -1) -> float:
    """Time at which an injection, or the last one, ends if no limit ends it or one before it early [s]."""
    return planned(case)[index][1]


def planned(case: Case) -> list[tuple[float, float]]:
    """Times at which each injection begins and ends if no limit ends one early [s]."""
    spans: list[tuple[float, float]] = []
    for injection in case.injection:
        before = spans[-1][1] if spans else 0.0
        start = before if injection.start is None else injection.start
        spans.append((start, start + injection.volume / injection.rate))
    return spans


def _stop(injection: InjectionSection) -> Stop | None:
    """What ends an injection early."""
    if injection.stop_at is None:
        return None
    limit = limits().get(injection.stop_at)
    if limit is not None:
        return Stop(limit.quantity, limit.value, limit.falling)
    return Stop("epidural_pressure_needle_mmHg", STOP_PRESSURE.parse(injection.stop_at) / MMHG)


def _check_needle(index: int, injection: InjectionSection, materials: Materials) -> None:
    """Refuse a needle that no hand presses the fluid through."""
    if injection.gauge is None:
        return
    needle = needle_table()[int(injection.gauge.removesuffix("G"))]
    drop = pressure_drop(needle, materials.rheology[injection.material.replace("-", "_")], injection.rate)
    if drop > HIGHEST_DROP:
        raise InputError(
            f"injection.{index}.gauge",
            f'"{injection.gauge}"',
            f"{injection.material} at {RATE.format(injection.rate)} takes {drop / MMHG:.3g} mmHg in this needle; "
            f"allowed is what a hand can press, {HIGHEST_DROP / MMHG:.0f} mmHg",
        )


def _placed(index: int, injection: InjectionSection) -> str:
    """Side of an injection, refused where its approach has none."""
    key = f"injection.{index}"
    if injection.approach == "interlaminar":
        side = injection.side or "midline"
        if side == "midline" and injection.offset != 0:
            raise InputError(
                f"{key}.offset", f'"{OFFSET.format(injection.offset)}"', "a tip beside the midline needs a side"
            )
        return side
    if injection.side == "midline":
        raise InputError(
            f"{key}.side", '"midline"', f'allowed for the {injection.approach} approach is "left" or "right"'
        )
    return injection.side or "left"


def _injections(case: Case) -> list[Tree]:
    trees: list[Tree] = []
    materials = Materials.from_table(material_values(case))
    open_ended = False
    for index, (injection, (start, _)) in enumerate(zip(case.injection, planned(case), strict=True)):
        tree: Tree = injection.model_dump(mode="json", exclude_none=True)
        follows = injection.start is None and open_ended
        _check_needle(index, injection, materials)
        # Read back at once: a computed start may lie beyond what a file may hold.
        tree["start"] = TIME.format(start)
        try:
            TIME.parse(tree["start"])
        except PydanticCustomError as error:
            given = f'"{tree["start"]}", when the one before ends'
            raise InputError(f"injection.{index}.start", given, error.message()) from error
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


def _check_levels(case: Case) -> None:
    if case.anatomy.span is None:
        return
    first, last = (LEVELS.index(level) for level in case.anatomy.span)
    span = "-".join(case.anatomy.span)
    count = len(case.injection)
    for number, level in enumerate(_levels(case)):
        if not first <= LEVELS.index(level.split("/")[0]) < last:
            key = f"injection.{number}.level" if number < count else f"leak.{number - count}.level"
            raise InputError(key, f'"{level}"', f"allowed is an interspace within anatomy.span, {span}")


def _check_approaches(case: Case) -> None:
    """Refuse a needle between laminae where there are none."""
    for index, injection in enumerate(case.injection):
        if injection.approach == "interlaminar" and injection.level in FUSED:
            raise InputError(
                f"injection.{index}.approach",
                '"interlaminar"',
                f"{injection.level} is fused, and has no space between its laminae; "
                'allowed there is "transforaminal" or "foraminal"',
            )


def _check_stops(case: Case) -> None:
    """Refuse a limit whose quantity the window does not have: it would never stop the injection."""
    if case.anatomy.span is None:
        return
    first, last = (LEVELS.index(level) for level in case.anatomy.span)
    here = LEVELS[first : last + 1]
    for index, injection in enumerate(case.injection):
        limit = limits().get(injection.stop_at or "")
        needed = () if limit is None else LEVELS_OF.get(limit.quantity, ())
        if needed and not set(needed) & set(here):
            allowed = f"it is of {' or '.join(needed)}, and anatomy.span, {here[0]}-{here[-1]}, has none of them"
            raise InputError(f"injection.{index}.stop_at", f'"{injection.stop_at}"', allowed)


def _levels(case: Case) -> list[str]:
    """Interspaces of the injections, then of the leaks."""
    return [injection.level for injection in case.injection] + [leak.level for leak in case.leak]

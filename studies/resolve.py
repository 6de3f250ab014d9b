"""From a case as written to a case as run: presets, starts, window, and what this version cannot do."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from fem.errors import ModelError
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
from geometry import Anatomy, AnatomyError, SpineMesh
from studies.baseline import csf_and_leaks
from studies.case import Case, InjectionSection
from studies.errors import InputError
from studies.quantities import FOLDING_STIFFNESS, OFFSET, PRESSURE, RATE, STOP_PRESSURE, TIME, VOLUME, dimension_of
from studies.reading import Tree, case_tree, validate_case
from studies.values import LEVELS

PATIENTS: Final = Path(__file__).parent / "data" / "patients.csv"
WINDOW_SEGMENTS: Final = 6
"""Segments modelled to each side of the injections; eight change headline figures by less than 2 %."""
DAY: Final = 86400.0
"""Seconds in a day."""
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
EPIDURAL: Final = ("epidural_pressure_needle_mmHg", "root_pressure_max_mmHg")
"""Quantities that are the epidural pressure before anything is injected."""


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
        if resolved.anatomy.mesh is None and not resolved.anatomy.overrides:
            check_tips(resolved, _adult())
        _check_stops(resolved)
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
    interspaces = sorted({level for case in cases for level in _levels(case)})
    return _adult().window(interspaces, segments=WINDOW_SEGMENTS)


@cache
def _adult() -> Anatomy:
    """The anatomy of the table."""
    return Anatomy.from_table()


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
            folding_stiffness=case.solver.folding_stiffness or 0.0,
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


def check_tips(case: Case, body: Anatomy | SpineMesh) -> None:
    """Refuse a needle whose tip lies outside the space that its approach is to reach.

    Args:
        case: resolved.
        body: its anatomy, or its mesh.

    Raises:
        InputError: a tip lies outside.
    """
    for index, injection in enumerate(case.injection):
        key = f"injection.{index}"
        if isinstance(body, SpineMesh) and injection.level not in body.interspace_z:
            allowed = f"allowed is an interspace of anatomy.mesh, {', '.join(body.interspace_z)}"
            raise InputError(f"{key}.level", f'"{injection.level}"', allowed)
        try:
            body.needle_tip(injection.level, injection.approach, injection.side or "midline", injection.offset)
        except AnatomyError as error:
            raise InputError(f"{key}.offset", f'"{OFFSET.format(injection.offset)}"', str(error)) from None


def _check_stops(case: Case) -> None:
    """Refuse a limit that the resting patient is beyond, or whose quantity the window does not have.

    The one would stop the injection before it begins, the other never.
    """
    rest = case.csf.epidural_pressure
    assert rest is not None
    for index, injection in enumerate(case.injection):
        stop = _stop(injection)
        if stop is None or stop.quantity not in EPIDURAL:
            continue
        if stop.value * MMHG <= rest or math.isclose(stop.value * MMHG, rest):
            allowed = (
                f'allowed is a limit above the pressure at rest, csf.epidural_pressure ("{PRESSURE.format(rest)}")'
            )
            raise InputError(f"injection.{index}.stop_at", f'"{injection.stop_at}"', allowed)
    if case.anatomy.span is not None:
        first, last = (LEVELS.index(level) for level in case.anatomy.span)
        check_reached(case, LEVELS[first : last + 1], f"anatomy.span, {'-'.join(case.anatomy.span)}")


def check_reached(case: Case, levels: Sequence[str], where: str, missing: Sequence[str] = ()) -> None:
    """Refuse a limit whose quantity is not to be had: it would never stop the injection.

    Args:
        case: resolved.
        levels: that are modelled.
        where: what has these levels, for messages.
        missing: quantities that are not to be had, whatever the levels.

    Raises:
        InputError: there is such a limit.
    """
    for index, injection in enumerate(case.injection):
        limit = limits().get(injection.stop_at or "")
        if limit is None:
            continue
        needed = LEVELS_OF.get(limit.quantity, levels)
        if limit.quantity in missing or not set(needed) & set(levels):
            part = "the roots" if limit.quantity in EPIDURAL else "the cord" if needed == CORD else " or ".join(needed)
            allowed = f"it is of {part}, and {where}, has none; allowed is a limit of what is there, or a pressure"
            raise InputError(f"injection.{index}.stop_at", f'"{injection.stop_at}"', allowed)


def _levels(case: Case) -> list[str]:
    """Interspaces of the injections, then of the leaks."""
    return [injection.level for injection in case.injection] + [leak.level for leak in case.leak]

"""CSF and leaks of a case before the patch: presets filled in, and the leaking patient's rest computed."""

from __future__ import annotations

from fem.errors import ModelError
from fem.materials import Materials
from fem.parameters import MMHG
from fem.regulation import (
    LEAST_SHARE,
    ConductanceError,
    Regulation,
    Rest,
    conductance_of_pressure,
    conductance_text,
    epidural_of_both,
    pressure_of_leak,
    resting_epidural,
)
from studies.case import Case, LeakSection
from studies.errors import InputError
from studies.quantities import CONDUCTANCE, FORMATION, PRESSURE, RESISTANCE
from studies.reading import Tree

LEAST_HEIGHT = 0.1 * MMHG
"""Height of the baseline above the reference pressure of the compliance [Pa] below which there is no compliance."""

LEAST_FORMATION = FORMATION.parse("0.01 mL/min")
"""Formation below which it sustains no leak [m^3/s]: a thirtieth of the normal one. The least share of less is lost in
the round-off of the flow in the sac (`fem.settle.ROUND_OFF_LEFT`)."""


def csf_and_leaks(case: Case, preset: dict[str, str], materials: dict[str, float]) -> tuple[Tree, list[Tree]]:
    """The tables `[csf]` and `[[leak]]` with every value written out.

    Args:
        case: as read.
        preset: figures of the patient by key of `[csf]`, as text.
        materials: material parameters that are set, by dotted key, SI.

    Raises:
        InputError: the figures contradict each other, or formation does not sustain them.
    """
    given: Tree = case.csf.model_dump(mode="json", exclude_none=True)
    leaks: list[Tree] = [leak.model_dump(mode="json", exclude_none=True, exclude={"hole"}) for leak in case.leak]
    for index, (leak, tree) in enumerate(zip(case.leak, leaks, strict=True)):
        tree["side"] = _side(leak, index)
        if leak.hole is not None and leak.conductance is not None:
            allowed = "beside a conductance; allowed is one of the two"
            raise InputError(f"leak.{index}.hole", f'"{leak.hole}"', allowed)
        here = [(other["level"], other["site"], other["side"]) for other in leaks[: index + 1]]
        if here[-1] in here[:-1]:
            second = f"a second {leak.site} leak at {leak.level}, {tree['side']}, beside leak.{here.index(here[-1])}"
            raise InputError(f"leak.{index}", second, "allowed is one of a level, site and side, as wide as both")
    csf = _leaking(case, given, preset, leaks, materials) if case.leak else _tight(case, given, preset)
    reference, baseline = (PRESSURE.parse(csf[key]) for key in ("reference_pressure", "baseline_pressure"))
    if baseline <= reference + LEAST_HEIGHT:
        raise InputError(
            "csf.baseline_pressure",
            f'"{csf["baseline_pressure"]}"',
            f'allowed is a pressure above csf.reference_pressure ("{csf["reference_pressure"]}")',
        )
    return csf, leaks


def _tight(case: Case, given: Tree, preset: dict[str, str]) -> Tree:
    """Without a leak the patient's pressure is an equilibrium: absorption is shifted so that it is one."""
    if case.patient == "sih":
        raise InputError("patient", '"sih"', "its low pressure comes from a leak; allowed is a file with a [[leak]]")
    baseline = given.get("baseline_pressure", preset["baseline_pressure"])
    if "set_point" in given and PRESSURE.parse(given["set_point"]) != PRESSURE.parse(baseline):
        raise InputError(
            "csf.set_point",
            f'"{given["set_point"]}"',
            f'without a leak it is csf.baseline_pressure ("{baseline}"): leave it out or give both alike',
        )
    epidural = given.get("epidural_pressure", PRESSURE.format(resting_epidural(PRESSURE.parse(baseline))))
    if PRESSURE.parse(epidural) > PRESSURE.parse(baseline):
        raise InputError(
            "csf.epidural_pressure",
            f'"{epidural}"',
            f'allowed is a pressure up to csf.baseline_pressure ("{baseline}")',
        )
    return {**preset, **given, "baseline_pressure": baseline, "set_point": baseline, "epidural_pressure": epidural}


def _leaking(case: Case, given: Tree, preset: dict[str, str], leaks: list[Tree], materials: dict[str, float]) -> Tree:
    """The rest of formation, absorption and leaks; fills in the leaks' conductances."""
    csf: Tree = {**preset, **given}
    regulation = Regulation(
        PRESSURE.parse(csf["set_point"]), RESISTANCE.parse(csf["outflow_resistance"]), FORMATION.parse(csf["formation"])
    )
    if regulation.formation < LEAST_FORMATION:
        allowed = f'it sustains no leak; allowed with a [[leak]] is at least "{FORMATION.format(LEAST_FORMATION)}"'
        raise InputError("csf.formation", f'"{csf["formation"]}"', allowed)
    known = [_conductance(leak, materials) for leak in case.leak]
    total = sum(value for value in known if value is not None)
    epidural = case.csf.epidural_pressure
    stated = case.csf.baseline_pressure
    key = "csf.baseline_pressure"
    try:
        if None in known:
            pressure = PRESSURE.parse(csf["baseline_pressure"])
            rest = conductance_of_pressure(regulation, pressure, epidural)
            left = rest.conductance - total
            if left * (rest.pressure - rest.epidural) <= LEAST_SHARE * regulation.formation:
                raise ConductanceError(
                    "it leaves nothing of what formation sustains to the leaks without conductance; "
                    f"allowed is less than {conductance_text(rest.conductance)} in all"
                )
            known = [left / known.count(None) if value is None else value for value in known]
        elif stated is not None:
            rest = epidural_of_both(regulation, stated, total, epidural)
        else:
            key = "csf.set_point" if epidural is None else "csf.epidural_pressure"
            rest = pressure_of_leak(regulation, total, epidural)
    except ConductanceError as error:
        raise InputError(*_widest(case, known), str(error)) from None
    except ModelError as error:
        raise InputError(key, f'"{csf[key.removeprefix("csf.")]}"', str(error)) from None
    for tree, value in zip(leaks, known, strict=True):
        assert value is not None
        tree["conductance"] = CONDUCTANCE.format(value)
    return {**csf, **_written(rest)}


def _written(rest: Rest) -> Tree:
    return {
        "baseline_pressure": PRESSURE.format(rest.pressure),
        "epidural_pressure": PRESSURE.format(rest.epidural),
    }


def _conductance(leak: LeakSection, materials: dict[str, float]) -> float | None:
    """Conductance of a leak [m^3/(Pa s)], as given or of its hole; None where formation decides."""
    if leak.conductance is not None:
        return leak.conductance
    if leak.hole is not None:
        return Materials.from_table(materials).hole.of_gauge(int(leak.hole.removesuffix("G")))
    return None


def _widest(case: Case, known: list[float | None]) -> tuple[str, str]:
    """Key and value of what gives the widest of the leaks whose conductances are known."""
    index = max(range(len(known)), key=lambda k: known[k] or 0.0)
    leak = case.leak[index]
    if leak.conductance is not None:
        return f"leak.{index}.conductance", f'"{CONDUCTANCE.format(leak.conductance)}"'
    return f"leak.{index}.hole", f'"{leak.hole}"'


def _side(leak: LeakSection, index: int) -> str:
    if leak.site == "sleeve" and leak.side == "midline":
        raise InputError(
            f"leak.{index}.side", '"midline"', 'a nerve-root sleeve lies on a side: allowed is "left" or "right"'
        )
    return leak.side or ("left" if leak.site == "sleeve" else "midline")

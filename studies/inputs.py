"""What the model takes of a case: its anatomy, the times of its injections, and SI floats."""

from __future__ import annotations

from fem.materials import Materials
from fem.parameters import (
    MMHG,
    Csf,
    Injection,
    Leak,
    Mechanisms,
    PatchParameters,
    SolverControl,
    Stop,
    TimeControl,
)
from fem.tolerance import limits
from geometry import Anatomy
from studies.case import Case, InjectionSection
from studies.quantities import STOP_PRESSURE


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
                stop=stop_of(injection),
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


def stop_of(injection: InjectionSection) -> Stop | None:
    """What ends an injection early; None where nothing does."""
    if injection.stop_at is None:
        return None
    limit = limits().get(injection.stop_at)
    if limit is not None:
        return Stop(limit.quantity, limit.value, limit.falling)
    return Stop("epidural_pressure_needle_mmHg", STOP_PRESSURE.parse(injection.stop_at) / MMHG)

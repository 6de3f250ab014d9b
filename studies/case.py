"""The case file: one pydantic tree that the file, `--set`, the schema, the documentation and the run record come from.

Quantities are text with units in the file and SI floats in the tree. What a case file leaves out is filled in by
`studies.resolve`; nothing here knows of patients' figures or of the solver.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt

from fem.parameters import PatchParameters, SolverControl, TimeControl
from studies.materials import MaterialsSection
from studies.quantities import (
    AREA,
    CONDUCTANCE,
    FOLDING_STIFFNESS,
    FORMATION,
    LENGTH,
    OFFSET,
    POSITIVE_TIME,
    POSITIVE_VOLUME,
    PRESSURE,
    RATE,
    RESISTANCE,
    SOURCE_RADIUS,
    TIME,
    VOLUME,
)
from studies.values import (
    INTERSPACES,
    LEVELS,
    Gauge,
    Interspace,
    MeshFile,
    MeshSize,
    Section,
    Share,
    Span,
    Stop,
    nearest,
    number,
    refuse,
)


class AnatomyOverride(Section):
    """`[anatomy.overrides.L3]` or `[anatomy.overrides."L3/L4"]`: what differs from the table at one place."""

    canal_ap: Annotated[float, LENGTH] | None = Field(
        default=None, description="level: anteroposterior diameter of the canal at the pedicle"
    )
    canal_trans: Annotated[float, LENGTH] | None = Field(
        default=None, description="level: transverse diameter of the canal at the pedicle"
    )
    canal_area: Annotated[float, AREA] | None = Field(
        default=None, description="level: area of a trefoil canal, L2 to S1"
    )
    sac_ap: Annotated[float, LENGTH] | None = Field(
        default=None, description="level: anteroposterior diameter of the dural sac"
    )
    sac_trans: Annotated[float, LENGTH] | None = Field(
        default=None, description="level: transverse diameter of the dural sac"
    )
    cord_ap: Annotated[float, LENGTH] | None = Field(
        default=None, description="level: anteroposterior diameter of the cord"
    )
    cord_trans: Annotated[float, LENGTH] | None = Field(
        default=None, description="level: transverse diameter of the cord"
    )
    segment_length: Annotated[float, LENGTH] | None = Field(
        default=None, description="level: length of the segment, mid-disc to mid-disc"
    )
    recess_depth: Annotated[float, LENGTH] | None = Field(
        default=None, description="interspace: depth of the posterior recess"
    )
    foramen_height: Annotated[float, LENGTH] | None = Field(
        default=None, description="interspace: height of the foramina"
    )
    foramen_width: Annotated[float, LENGTH] | None = Field(
        default=None, description="interspace: width of the foramina"
    )
    root_diameter: Annotated[float, LENGTH] | None = Field(
        default=None, description="interspace: diameter of the nerve roots"
    )


_OF_INTERSPACE = {"recess_depth", "foramen_height", "foramen_width", "root_diameter"}


def _overrides(value: object) -> object:
    if isinstance(value, dict):
        for place in value:
            nearest(place, (*LEVELS, *INTERSPACES), 'a level or an interspace as key, such as "L3" or "L3/L4"')
    return value


def _right_place(value: dict[str, AnatomyOverride]) -> dict[str, AnatomyOverride]:
    for place, override in value.items():
        for key in override.model_fields_set:
            if (key in _OF_INTERSPACE) != (place in INTERSPACES):
                raise refuse(
                    f'{key} at {"an interspace" if key in _OF_INTERSPACE else "a level"}, which "{place}" is not'
                )
    return value


class AnatomySection(Section):
    """`[anatomy]`: which spine, and how much of it."""

    table: Literal["adult"] = Field(default="adult", description="table of levels the anatomy comes from")
    span: Span | None = Field(
        default=None,
        description="levels modelled, cranial to caudal; default six segments to each side of injections and leaks",
    )
    mesh: MeshFile | None = Field(
        default=None,
        description="a tetrahedral mesh of your own, in millimetres, in place of the table; "
        "edges within an injection's source are split to half its radius",
    )
    overrides: Annotated[dict[str, AnatomyOverride], BeforeValidator(_overrides), AfterValidator(_right_place)] = Field(
        default_factory=dict, description="by level: what differs from the table"
    )


class CsfSection(Section):
    """`[csf]`: cerebrospinal fluid; what is left out comes from the patient."""

    baseline_pressure: Annotated[float, PRESSURE] | None = Field(
        default=None, description="CSF pressure before the patch, supine"
    )
    set_point: Annotated[float, PRESSURE] | None = Field(
        default=None, description="pressure of the leak-free equilibrium of formation and absorption"
    )
    pvi: Annotated[float, POSITIVE_VOLUME] | None = Field(
        default=None, description="craniospinal pressure-volume index"
    )
    reference_pressure: Annotated[float, PRESSURE] | None = Field(
        default=None, description="reference pressure of the craniospinal compliance"
    )
    spinal_share: Share | None = Field(
        default=None, description="spinal share of the compliance; default measured in the window"
    )
    epidural_pressure: Annotated[float, PRESSURE] | None = Field(
        default=None,
        description="pressure of the epidural space before the patch; default 4.7 mmHg, at most the CSF's, with a leak "
        "at least 1 mmHg below it; solved for where a leak's conductance and baseline_pressure are given",
    )
    outflow_resistance: Annotated[float, RESISTANCE] | None = Field(
        default=None, description="resistance to absorption"
    )
    formation: Annotated[float, FORMATION] | None = Field(default=None, description="formation of CSF")


class InjectionSection(Section):
    """`[[injection]]`: one injection; several follow one another, or go on together where their starts say so."""

    level: Interspace = Field(description="interspace, such as L3/L4")
    volume: Annotated[float, VOLUME] = Field(description="volume injected")
    approach: Literal["interlaminar", "transforaminal", "foraminal"] = Field(
        default="interlaminar", description="way of the needle"
    )
    side: Literal["midline", "left", "right"] | None = Field(
        default=None, description="side; default midline, left for the other two approaches"
    )
    offset: Annotated[float, OFFSET] = Field(
        default=0.0,
        description="interlaminar: distance of the tip from the midline, 0 with a side for the usual paramedian one; "
        "else how far further out than its place, or less far where negative",
    )
    material: Literal["blood", "saline", "fibrin-glue"] = Field(default="blood", description="what is injected")
    rate: Annotated[float, RATE] = Field(default=RATE.parse("20 mL/min"), description="rate of injection")
    start: Annotated[float, TIME] | None = Field(
        default=None,
        description="start; default 0 s, or the end of the one before, early where a limit stops that one",
    )
    gauge: Gauge | None = Field(default=None, description="gauge of the needle")
    stop_at: Stop | None = Field(
        default=None, description="pressure at its own needle, or name of a limit of tolerance, at which it stops"
    )


class LeakSection(Section):
    """`[[leak]]`: a hole in the dura; without conductance and hole it carries what formation sustains."""

    level: Interspace = Field(description="interspace, such as L3/L4")
    site: Literal["dorsal", "ventral", "sleeve"] = Field(description="where the dura leaks")
    side: Literal["midline", "left", "right"] | None = Field(default=None, description="side")
    conductance: Annotated[float, CONDUCTANCE] | None = Field(default=None, description="total conductance of the leak")
    hole: Gauge | None = Field(default=None, description="gauge of the needle that made the hole")
    flap: StrictBool = Field(default=True, description="closes against flow into the sac")


class MechanismsSection(Section):
    """`[mechanisms]`: what acts; each can be switched off."""

    pressure: StrictBool = Field(default=True, description="CSF that the patch displaces raises the CSF pressure")
    plug: StrictBool = Field(default=True, description="clot closes the leak")


class TimeSection(Section):
    """`[time]`: how long, and in which steps."""

    follow_up: Annotated[float, TIME] = Field(
        default=TimeControl.follow_up, description="time after the end of the last injection"
    )
    first_step: Annotated[float, POSITIVE_TIME] = Field(
        default=TimeControl.first_step, description="step after each change of the injection"
    )
    injection_step: Annotated[float, POSITIVE_TIME] = Field(
        default=TimeControl.injection_step, description="largest step during an injection"
    )
    max_step: Annotated[float, POSITIVE_TIME] = Field(
        default=TimeControl.max_step, description="largest step without injection, or late_step where that is more"
    )
    late_step: Annotated[float, number(0.0, 1.0)] = Field(
        default=TimeControl.late_step, description="largest step over the time since the latest injection ended"
    )


class MeshSection(Section):
    """`[mesh]`: how fine."""

    size: MeshSize = Field(default="default", description='"draft", "default", "fine", or a length')


class SolverSection(Section):
    """`[solver]`: kinematics, contact with bone, and Newton's method."""

    kinematics: Literal["finite", "linear"] = Field(
        default="finite", description="finite strain, or small strain with linear laws for small volumes"
    )
    contact: Literal["bonded", "sliding"] = Field(
        default="bonded", description="contents of the canal at its bony wall: bonded, or sliding without friction"
    )
    folding_stiffness: Annotated[float, FOLDING_STIFFNESS] | None = Field(
        default=None, description="second-gradient stiffness that keeps cells of bonded fat from folding"
    )
    source_radius: Annotated[float, SOURCE_RADIUS] = Field(
        default=PatchParameters.source_radius, description="radius of the injection source"
    )
    max_iterations: Annotated[StrictInt, Field(ge=2, le=200)] = Field(
        default=SolverControl.max_iterations, description="Newton iterations before a step is halved"
    )
    smallest_step: Annotated[float, POSITIVE_TIME] = Field(
        default=SolverControl.smallest_step, description="step below which the solver gives up"
    )
    growth: Annotated[float, number(1.0, 4.0)] = Field(
        default=SolverControl.growth, description="growth of the step after an easy one"
    )


class OutputSection(Section):
    """`[output]`: what is written beside the tables."""

    fields: StrictBool = Field(default=True, description="write fields for ParaView")
    times: list[Annotated[float, TIME]] = Field(
        default_factory=list,
        description="times of profiles and fields; default some steps of the injection, its end, 20 s later, 3 h, 3 d "
        "and the end of the run",
    )
    upright: StrictBool = Field(
        default=False, description="let the supine patient stand up before the patch and at the end; summary only"
    )


class Case(Section):
    """A case: one patient, one course of injections."""

    patient: Literal["healthy", "pdph", "sih"] = Field(default="pdph", description="preset of the CSF figures")
    posture: Literal["supine", "lateral", "upright"] = Field(default="supine", description="posture")
    anatomy: AnatomySection = AnatomySection()
    csf: CsfSection = CsfSection()
    injection: list[InjectionSection] = Field(
        min_length=1, description="injections in the order in which they are given"
    )
    leak: list[LeakSection] = Field(default_factory=list, description="leaks")
    mechanisms: MechanismsSection = MechanismsSection()
    time: TimeSection = TimeSection()
    mesh: MeshSection = MeshSection()
    solver: SolverSection = SolverSection()
    materials: MaterialsSection = MaterialsSection()
    output: OutputSection = OutputSection()

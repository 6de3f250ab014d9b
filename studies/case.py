"""The case file: one pydantic tree that the file, `--set`, the schema, the documentation and the run record come from.

Quantities are text with units in the file and SI floats in the tree. What a case file leaves out is filled in by
`studies.resolve`; nothing here knows of patients' figures or of the solver.
"""

from __future__ import annotations

import difflib
import itertools
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from fem.parameters import ParameterRow, PatchParameters, SolverControl, TimeControl, parameter_table
from fem.tolerance import limits
from studies.quantities import (
    AREA,
    CONDUCTANCE,
    FOLDING_STIFFNESS,
    FORMATION,
    LENGTH,
    MESH_LENGTH,
    OFFSET,
    POSITIVE_TIME,
    POSITIVE_VOLUME,
    PRESSURE,
    RATE,
    RESISTANCE,
    SOURCE_RADIUS,
    STOP_PRESSURE,
    TIME,
    VOLUME,
    Dimension,
)

LEVELS: Final = (
    *(f"C{i}" for i in range(2, 8)),
    *(f"T{i}" for i in range(1, 13)),
    *(f"L{i}" for i in range(1, 6)),
    "S1",
    "S2",
)
INTERSPACES: Final = tuple(f"{above}/{below}" for above, below in itertools.pairwise(LEVELS))
MESH_SIZES: Final = ("draft", "default", "fine")


def _refuse(text: str) -> PydanticCustomError:
    return PydanticCustomError("allowed", "{allowed}", {"allowed": f"allowed is {text}"})


def _nearest(value: object, known: tuple[str, ...], what: str) -> str:
    if not isinstance(value, str):
        raise _refuse(what)
    if value in known:
        return value
    near = difflib.get_close_matches(value.upper(), known, n=1, cutoff=0.4)
    raise _refuse(f"{what}{f'; the nearest is {chr(34)}{near[0]}{chr(34)}' if near else ''}")


def _interspace(value: object) -> str:
    return _nearest(
        value, INTERSPACES, f'an interspace from "{INTERSPACES[0]}" to "{INTERSPACES[-1]}", such as "L3/L4"'
    )


def _level(value: object) -> str:
    return _nearest(value, LEVELS, f'a level from "{LEVELS[0]}" to "{LEVELS[-1]}", such as "T10"')


def _number(low: float, high: float, what: str = "a number") -> BeforeValidator:
    """Validator of a dimensionless number between two bounds."""

    def check(value: object) -> float:
        # Bounds are finite, so what is not falls outside; a whole number may be too large to become a float.
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise _refuse(f"{what} without unit from {low:g} to {high:g}")
        return float(value)

    return BeforeValidator(check, json_schema_input_type=float)


def _span(value: object) -> object:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise _refuse('two levels from cranial to caudal, such as ["T10", "S2"]')
    return tuple(value)


def _ordered(value: tuple[str, str]) -> tuple[str, str]:
    if LEVELS.index(value[0]) > LEVELS.index(value[1]):
        raise _refuse('two levels from cranial to caudal, such as ["T10", "S2"]')
    return value


def _mesh_size(value: object) -> str:
    """A named size, or a length kept as text with its unit."""
    if isinstance(value, str) and value in MESH_SIZES:
        return value
    try:
        return MESH_LENGTH.format(MESH_LENGTH.parse(value))
    except PydanticCustomError:
        raise _refuse(f'"draft", "default", "fine", or {MESH_LENGTH.allowed}') from None


def _file(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value or not PurePath(value).suffix:
        raise _refuse('the name of a mesh file, such as "spine.msh"')
    return value


def _gauge(value: object) -> str:
    if (
        isinstance(value, str)
        and value.removesuffix("G").strip().isdecimal()
        and 10 <= int(value.removesuffix("G")) <= 34
    ):
        return f"{int(value.removesuffix('G'))} G"
    raise _refuse('the gauge of a needle, such as "22 G", 10 G to 34 G')


def _stop(value: object) -> str:
    """A limit of tolerance by name, or a needle pressure kept as text with its unit."""
    if isinstance(value, str) and value in limits():
        return value
    try:
        return STOP_PRESSURE.format(STOP_PRESSURE.parse(value))
    except PydanticCustomError:
        names = ", ".join(f'"{name}"' for name in limits())
        raise _refuse(f'a pressure above 0 mmHg with its unit, such as "30 mmHg", or one of {names}') from None


Interspace = Annotated[str, BeforeValidator(_interspace)]
Level = Annotated[str, BeforeValidator(_level)]
Gauge = Annotated[str, BeforeValidator(_gauge)]
Share = Annotated[float, _number(0.01, 0.99)]


class Section(BaseModel):
    """A table of the case file: frozen, and an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
            _nearest(place, (*LEVELS, *INTERSPACES), 'a level or an interspace as key, such as "L3" or "L3/L4"')
    return value


def _right_place(value: dict[str, AnatomyOverride]) -> dict[str, AnatomyOverride]:
    for place, override in value.items():
        for key in override.model_fields_set:
            if (key in _OF_INTERSPACE) != (place in INTERSPACES):
                raise _refuse(
                    f'{key} at {"an interspace" if key in _OF_INTERSPACE else "a level"}, which "{place}" is not'
                )
    return value


class AnatomySection(Section):
    """`[anatomy]`: which spine, and how much of it."""

    table: Literal["adult"] = Field(default="adult", description="table of levels the anatomy comes from")
    span: Annotated[tuple[Level, Level], BeforeValidator(_span), AfterValidator(_ordered)] | None = Field(
        default=None,
        description="levels modelled, cranial to caudal; default six segments to each side of injections and leaks",
    )
    mesh: Annotated[str, BeforeValidator(_file)] | None = Field(
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
    stop_at: Annotated[str, BeforeValidator(_stop)] | None = Field(
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
    late_step: Annotated[float, _number(0.0, 1.0)] = Field(
        default=TimeControl.late_step, description="largest step over the time since the latest injection ended"
    )


class MeshSection(Section):
    """`[mesh]`: how fine."""

    size: Annotated[str, BeforeValidator(_mesh_size)] = Field(
        default="default", description='"draft", "default", "fine", or a length'
    )


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
    growth: Annotated[float, _number(1.0, 4.0)] = Field(
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


def _material_field(row: ParameterRow) -> Any:
    text = f"{row.source} [{row.tag}]"
    if row.unit == "1":
        bounds = (
            _number(0.0, 0.499)
            if row.key.endswith("poisson_ratio")
            else _number(0.0, 1.0 if row.high <= 1.0 else 100.0)
        )
        return Annotated[float | None, bounds], Field(default=None, description=text)
    name = row.key.rpartition(".")[2].replace("_", " ")
    example = f"{row.value:g} {row.unit}"
    dimension = (
        Dimension(f"the {name}", row.unit, example, low=0.0)
        if row.low == 0.0
        else Dimension(f"the {name}", row.unit, example, above=0.0)
    )
    return Annotated[float, dimension] | None, Field(default=None, description=text)


class MaterialTables(Section):
    """Takes a material by its name in `injection.material`, too: `fibrin-glue` for `fibrin_glue`."""

    @model_validator(mode="before")
    @classmethod
    def _by_material(cls, tables: Any) -> Any:
        if not isinstance(tables, dict):
            return tables
        spelled = {name: name.replace("-", "_") for name in tables}
        twice = [name for name, key in spelled.items() if name != key and key in tables]
        return tables if twice else {key: tables[name] for name, key in spelled.items()}


def _materials_section() -> type[Section]:
    """`[materials]` with a table per material, made from the table of parameters."""
    groups: dict[str, dict[str, Any]] = {}
    for key, row in parameter_table().items():
        material, _, parameter = key.partition(".")
        groups.setdefault(material, {})[parameter] = _material_field(row)
    tables: dict[str, Any] = {}
    for material, fields in groups.items():
        model = create_model(f"Material_{material}", __base__=Section, __doc__=f"`[materials.{material}]`", **fields)
        tables[material] = (model, Field(default_factory=model))
    return create_model(
        "MaterialsSection", __base__=MaterialTables, __doc__="`[materials.NAME]`: any parameter of a law.", **tables
    )


if TYPE_CHECKING:

    class MaterialsSection(Section):
        """`[materials.NAME]`: any parameter of a law."""

        def __getattr__(self, material: str) -> Any: ...

else:
    MaterialsSection = _materials_section()


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

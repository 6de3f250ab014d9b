"""Parameters of a blood-patch model: frozen dataclasses of SI floats, with the table of material parameters.

Every default material parameter is a row of ``fem/data/parameters.csv`` with its range, unit, source and tag; nothing
here repeats a figure.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from fem.laws.clot import ClotLaw
from fem.laws.exchange import StarlingForamen
from fem.laws.fibres import SmearedFibres, TensionOnlyMembrane
from fem.laws.mobility import SwellingMobility
from fem.laws.rheology import Carreau, Newtonian, Rheology
from fem.laws.solids import LinearElastic, NeoHookean
from fem.laws.storage import SaturatingVeins
from fem.needle import needle_table
from geometry import SOURCE_RADIUS

TABLE = Path(__file__).parent / "data" / "parameters.csv"

MMHG = 133.322387415
"""Pascals in a conventional millimetre of mercury (ISO 80000-4)."""


@dataclass(frozen=True)
class ParameterRow:
    """One material parameter: default, range and where they come from."""

    key: str
    value: float
    low: float
    high: float
    unit: str
    source: str
    tag: str


@cache
def parameter_table() -> Mapping[str, ParameterRow]:
    """Return the table of material parameters by their dotted key, in SI units."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return {
            row["key"]: ParameterRow(
                row["key"],
                float(row["value"]),
                float(row["low"]),
                float(row["high"]),
                row["unit"],
                row["source"],
                row["tag"],
            )
            for row in csv.DictReader(stream)
        }


@dataclass(frozen=True)
class Fat:
    """Epidural fat: a soft compressible skeleton through which watery fluid tracks.

    ``gradient_stiffness`` [N] keeps its cells from folding where they slide round rims of foramina; bonded it has
    ``SolverControl.folding_stiffness``.
    """

    solid: NeoHookean | LinearElastic
    gradient_stiffness: float
    mobility: SwellingMobility
    initial_mobile_fraction: float


@dataclass(frozen=True)
class Cord:
    """Spinal cord: drained skeleton and hydraulic mobility k/mu [m^2/(Pa s)]."""

    solid: NeoHookean | LinearElastic
    mobility: float


@dataclass(frozen=True)
class Network:
    """Third medium of the subarachnoid space: trabeculae, roots, and what keeps dura and cord apart.

    ``gradient_stiffness`` [N] keeps its cells from folding where dura and cord meet.
    """

    solid: NeoHookean | LinearElastic
    gradient_stiffness: float
    mobility: float


@dataclass(frozen=True)
class Ligaments:
    """Explicit tension-only structures inside the sac.

    Attributes:
        denticulate_stiffness: lateral stiffness per length of cord and side [N/m per m].
        roots: longitudinal fibres of the cauda equina, smeared over the section.
    """

    denticulate_stiffness: float
    roots: SmearedFibres


@dataclass(frozen=True)
class Barriers:
    """What holds spread back: mobility of parts of the epidural space over that of fat [1].

    Attributes:
        ventral: ventral space, behind the peridural membrane.
        lamina: dorsal space under the laminae, the necks between the fat pads.
        foramen: the foraminal stubs.
    """

    ventral: float
    lamina: float
    foramen: float


@dataclass(frozen=True)
class Hole:
    """What a hole in the dura lets through.

    Attributes:
        conductance: of a 17 gauge hole [m^3/(Pa s)].
        exponent: of the hole's diameter [1].
        radius: of the patch of dura that stands for it [m].
        smoothing: range over which its flap opens [Pa].
    """

    conductance: float
    exponent: float
    radius: float
    smoothing: float

    def of_gauge(self, gauge: int) -> float:
        """Conductance of the hole that a needle makes [m^3/(Pa s)], by its outer diameter (Angle 2003)."""
        table = needle_table()
        return float(self.conductance * (table[gauge].outer / table[REFERENCE_GAUGE].outer) ** self.exponent)


REFERENCE_GAUGE = 17
"""Gauge of the needle whose hole the conductance is of."""

MATERIALS = ("saline", "blood", "fibrin_glue")
"""What can be injected."""

CLOTTING = ("blood", "fibrin_glue")
"""What of it gels."""


@dataclass(frozen=True)
class Materials:
    """Laws of every tissue and fluid of the patch model.

    Attributes:
        dura_bending_stiffness: of the sac, and ``sleeve_bending_stiffness`` of root sleeves [N m].
        viscosity: dynamic viscosity in the tissue [Pa s] of each fluid by name (``csf``, ``serum``, ``MATERIALS``).
        rheology: viscosity in the needle of what can be injected.
        clot: what becomes of what gels.
        barriers: to spread.
        density: of CSF and of venous blood [kg/m^3] by name (``csf``, ``blood``); acts where the posture is not supine.
        resorption: rate at which watery fluid in the epidural space is taken up [1/s].
        wall_stiffness: normal traction of the bony wall per displacement into it, where contents slide [Pa/m].
    """

    fat: Fat
    veins: SaturatingVeins
    foramina: StarlingForamen
    dura: TensionOnlyMembrane
    dura_bending_stiffness: float
    pia: TensionOnlyMembrane
    sleeve: TensionOnlyMembrane
    sleeve_bending_stiffness: float
    network: Network
    cord: Cord
    ligaments: Ligaments
    viscosity: Mapping[str, float]
    rheology: Mapping[str, Rheology]
    clot: Mapping[str, ClotLaw]
    hole: Hole
    resorption: float
    density: Mapping[str, float]
    barriers: Barriers
    wall_stiffness: float
    values: Mapping[str, float] = field(repr=False)

    @classmethod
    def from_table(cls, overrides: Mapping[str, float] | None = None) -> Materials:
        """Build the laws from the parameter table.

        Args:
            overrides: values in SI units by dotted key, such as ``{"fat.youngs_modulus": 800.0}``.

        Raises:
            KeyError: an override names a parameter that the table does not have.
        """
        value = {key: row.value for key, row in parameter_table().items()}
        for key, number in (overrides or {}).items():
            if key not in value:
                raise KeyError(key)
            value[key] = float(number)

        def membrane(name: str) -> TensionOnlyMembrane:
            return TensionOnlyMembrane(
                longitudinal_modulus=value[f"{name}.longitudinal_modulus"],
                circumferential_modulus=value[f"{name}.circumferential_modulus"],
                thickness=value[f"{name}.thickness"],
                toe_strain=value[f"{name}.toe_strain"],
                slack_tension=value[f"{name}.slack_tension"],
            )

        def clot(name: str) -> ClotLaw:
            return ClotLaw(
                gelation_time=value[f"{name}.gelation_time"],
                gelation_width=value[f"{name}.gelation_width"],
                retraction_share=value[f"{name}.retraction_share"],
                retraction_time=value[f"{name}.retraction_time"],
                lysis_time=value[f"{name}.lysis_time"],
                mobility=value[f"{name}.clot_permeability"] / value["serum.viscosity"],
                holding_pressure=value[f"{name}.holding_pressure"],
            )

        def solid(name: str) -> NeoHookean:
            return NeoHookean(value[f"{name}.youngs_modulus"], value[f"{name}.poisson_ratio"])

        return cls(
            fat=Fat(
                solid("fat"),
                value["fat.gradient_stiffness"],
                SwellingMobility(value["fat.mobility"], value["fat.mobility_growth"]),
                value["fat.initial_mobile_fraction"],
            ),
            veins=SaturatingVeins(value["veins.slope"], value["veins.capacity"]),
            foramina=StarlingForamen(
                value["foramina.conductance"],
                value["foramina.opening_pressure"],
                value["foramina.smoothing"],
            ),
            dura=membrane("dura"),
            dura_bending_stiffness=value["dura.bending_stiffness"],
            pia=membrane("pia"),
            sleeve=membrane("sleeve"),
            sleeve_bending_stiffness=value["sleeve.bending_stiffness"],
            network=Network(solid("network"), value["network.gradient_stiffness"], value["network.mobility"]),
            cord=Cord(solid("cord"), value["cord.permeability"] / value["csf.viscosity"]),
            ligaments=Ligaments(
                value["ligaments.denticulate_stiffness"],
                SmearedFibres(value["ligaments.root_modulus"], value["ligaments.toe_strain"]),
            ),
            viscosity={name: value[f"{name}.viscosity"] for name in ("csf", "serum", *MATERIALS)},
            rheology={
                "saline": Newtonian(value["saline.viscosity"]),
                "blood": Carreau(
                    value["blood.zero_shear_viscosity"],
                    value["blood.infinite_shear_viscosity"],
                    value["blood.shear_time"],
                    value["blood.shear_exponent"],
                ),
                "fibrin_glue": Newtonian(value["fibrin_glue.viscosity"]),
            },
            clot={name: clot(name) for name in CLOTTING},
            hole=Hole(
                value["leak.hole_conductance"],
                value["leak.hole_exponent"],
                value["leak.radius"],
                value["leak.smoothing"],
            ),
            resorption=value["resorption.rate"],
            barriers=Barriers(*(value[f"barriers.{name}"] for name in ("ventral", "lamina", "foramen"))),
            density={name: value[f"{name}.density"] for name in ("csf", "blood")},
            wall_stiffness=value["bone.normal_stiffness"],
            values=value,
        )


@dataclass(frozen=True)
class Csf:
    """Cerebrospinal fluid: baseline, craniospinal compliance and regulation (SI units).

    Attributes:
        baseline_pressure: CSF pressure of the patient before the patch, supine [Pa].
        pvi: craniospinal pressure-volume index [m^3].
        reference_pressure: pressure at which the craniospinal compliance would be infinite [Pa].
        spinal_share: share of the craniospinal compliance that is spinal; None measures it in the window.
        outflow_resistance: resistance to absorption [Pa s/m^3].
        formation: rate of formation [m^3/s].
        set_point: pressure of the leak-free equilibrium [Pa]; None is the baseline.
        epidural_pressure: before the patch [Pa]; None is the resting one, at most the baseline.
    """

    baseline_pressure: float
    pvi: float
    reference_pressure: float
    outflow_resistance: float
    formation: float
    spinal_share: float | None = None
    set_point: float | None = None
    epidural_pressure: float | None = None


@dataclass(frozen=True)
class Stop:
    """What ends an injection before its volume is in: a quantity of the series reaching a value.

    Attributes:
        quantity: name of the column.
        value: in the column's unit.
        falling: whether it is reached from above.
    """

    quantity: str
    value: float
    falling: bool = False

    def excess(self, row: Mapping[str, float]) -> float:
        """How far a row is beyond the value; negative before."""
        return (self.value - row[self.quantity]) * (1.0 if self.falling else -1.0)


@dataclass(frozen=True)
class Leak:
    """A hole in the dura (SI units).

    Attributes:
        site: ``dorsal``, ``ventral`` or ``sleeve``.
        conductance: of the whole hole [m^3/(Pa s)].
        flap: whether it closes against flow into the sac.
    """

    interspace: str
    site: str
    side: str
    conductance: float
    flap: bool = True


@dataclass(frozen=True)
class Mechanisms:
    """What of a patch acts: displaced CSF raising the CSF pressure, clot closing leaks."""

    pressure: bool = True
    plug: bool = True


@dataclass(frozen=True)
class Injection:
    """One injection: where, what and when (SI units).

    Attributes:
        start: where the injection ``follows``, as planned.
        follows: whether it begins when the one before ends, which a limit may end early.
    """

    interspace: str
    volume: float
    rate: float
    start: float = 0.0
    approach: str = "interlaminar"
    side: str = "midline"
    offset: float = 0.0
    material: str = "blood"
    gauge: int | None = None
    stop: Stop | None = None
    follows: bool = False

    @property
    def place(self) -> tuple[str, str, str, float]:
        """What makes two injections one place: interspace, approach, side, offset."""
        return self.interspace, self.approach, self.side, self.offset

    @property
    def end(self) -> float:
        """Time at which the injection ends [s]."""
        return self.start + self.volume / self.rate


@dataclass(frozen=True)
class TimeControl:
    """Steps in time [s]. The first step after each change of the injection is ``first_step``.

    Without an injection a step is at most ``max_step`` or, where that is more, ``late_step`` [1] of the time since the
    latest one ended: what happens between minutes and days is logarithmic in time.
    """

    follow_up: float = 600.0
    first_step: float = 1.0
    injection_step: float = 5.0
    max_step: float = 10.0
    late_step: float = 0.2
    output_times: tuple[float, ...] = ()


@dataclass(frozen=True)
class SolverControl:
    """Newton's method and the growth of steps.

    Attributes:
        max_iterations: Newton iterations of a step at most.
        volume_tolerance: sum over the vertices of the volume that a step leaves out of balance, over the volume
            injected so far [1].
        force_tolerance: Euclidean norm of the nodal forces that it leaves out of balance [N]; 1e-4 N is a
            thousandth of what a needle's bleb puts on the dura, and moves no reported figure by 1e-3.
        smallest_step: below which a run gives up [s].
        growth: factor on the step after one that took at most ``fast_iterations``; more than twice as many halve it.
        fast_iterations: see ``growth``.
        steps_to_growth: accepted steps after a rejected one before the next grows: the length that has just failed is
            mostly still too long, and a rejected step costs more iterations than several accepted ones.
        guess_iterations: Newton iterations that the extrapolated first guess is given before the plain one.
        folding_stiffness: keeps the cells of bonded fat from folding, as ``Fat.gradient_stiffness`` those of sliding
            fat [N]; 0 for nothing that does.
    """

    max_iterations: int = 20
    volume_tolerance: float = 2e-9
    force_tolerance: float = 1e-4
    smallest_step: float = 0.02
    growth: float = 2.0
    fast_iterations: int = 6
    steps_to_growth: int = 3
    guess_iterations: int = 8
    folding_stiffness: float = 0.0


@dataclass(frozen=True)
class PatchParameters:
    """All that a patch simulation needs beside the mesh (SI units).

    ``linear``: small strain and the limit of every law (`fem.linear`) in the place of finite strain.
    ``stand_up``: whether the supine patient stands up for a look at the pressure, before the patch and at the end.
    """

    materials: Materials
    csf: Csf
    injections: tuple[Injection, ...]
    time: TimeControl = TimeControl()
    solver: SolverControl = SolverControl()
    source_radius: float = SOURCE_RADIUS
    linear: bool = False
    contact: str = "bonded"
    leaks: tuple[Leak, ...] = ()
    mechanisms: Mechanisms = Mechanisms()
    posture: str = "supine"
    stand_up: bool = False

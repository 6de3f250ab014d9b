"""Tissues and fluids: the table of material parameters, and the laws that are built of it.

Every default is a row of ``fem/data/parameters.csv`` with its range, unit, source and tag; nothing here repeats a
figure.
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

TABLE = Path(__file__).parent / "data" / "parameters.csv"


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

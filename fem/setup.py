"""What a poroelastic problem is composed of: regions, membranes, exchanges, leaks, links, conditions.

Each is a description without a mesh behind it; :class:`fem.poro.PoroModel` makes the discrete problem of a
:class:`Setup`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fem.bending import Sheet
from fem.laws.column import Column
from fem.laws.exchange import Outflow
from fem.laws.fibres import Membrane, SmearedFibres
from fem.laws.kinematics import FiniteStrain, Kinematics
from fem.laws.leak import LeakLaw
from fem.laws.mobility import Mobility
from fem.laws.solids import Solid
from fem.laws.storage import NoStorage, Storage
from fem.support import Support


@dataclass(frozen=True)
class Region:
    """A part of the body with its own skeleton and pore fluid.

    Attributes:
        tag: of its cells.
        pressure: name of the pore pressure that lives here.
        solid: drained skeleton.
        mobility: hydraulic mobility.
        storage: fluid stored beside the change of volume.
        biot: Biot coefficient.
        gradient_stiffness: keeps cells of a third medium from folding [N]; energy per volume half of it times the
            square of Grad Grad u inside cells; None for none.
        fibres: (law, direction, weight) of smeared tension-only fibres; direction and weight are UFL expressions.
        rest: volume ratio at which the skeleton is free of stress, a function that is updated between steps; None is 1.
    """

    tag: int
    pressure: str
    solid: Solid
    mobility: Mobility
    storage: Storage = field(default_factory=NoStorage)
    biot: float = 1.0
    gradient_stiffness: float | None = None
    fibres: tuple[tuple[SmearedFibres, Any, Any], ...] = ()
    rest: Any = None


@dataclass(frozen=True)
class SurfaceMembrane:
    """A membrane without thickness on a named surface.

    Attributes:
        surface: its name.
        law: what it is made of.
        tension: (longitudinal, circumferential) tension in the reference [N/m], functions; None where stress-free.
    """

    surface: str
    law: Membrane
    tension: Any = None


@dataclass(frozen=True)
class Exchange:
    """Outflow of a pressure above its reference through named surfaces.

    Each surface has the whole law for itself, spread evenly over its reference area.

    Attributes:
        viscous: whether the law is that of the patient's own fluid and another one meets its own resistance: the flow
            is then the law's times the pressure's fluidity at the surface.
    """

    name: str
    surfaces: tuple[str, ...]
    pressure: str
    law: Outflow
    viscous: bool = False


@dataclass(frozen=True)
class Leak:
    """Flow across interior surfaces between two pressures.

    Attributes:
        law: flow per reference area at a drop from ``source`` to ``target``.
        uptake: fluid taken up on the target's side of the surfaces [m/s], a function; None for none.
    """

    name: str
    surfaces: tuple[str, ...]
    source: str
    target: str
    law: LeakLaw
    uptake: Any = None


@dataclass(frozen=True)
class Link:
    """Conductance [m^3/(Pa s)] between a surface and a compartment: Q.n = G/A0 (p - P)."""

    surface: str
    pressure: str
    compartment: str
    conductance: float


@dataclass(frozen=True)
class Fixed:
    """Displacement held at its present value on named surfaces; ``component`` None holds all of them."""

    surfaces: tuple[str, ...]
    component: int | None = None


@dataclass(frozen=True)
class Drained:
    """Pore pressure held at its present value on named surfaces."""

    surfaces: tuple[str, ...]
    pressure: str


@dataclass
class Setup:
    """What a :class:`PoroModel` is composed of.

    Longitudinal fibres of membranes run along ``axis``, and on surfaces that it is normal to along ``anterior``.
    With ``lagged_transport`` the mobility and its pull-back are those at the beginning of the step: of first order in
    time like the step itself, and the Jacobian is symmetric. Without, they are implicit. A pressure with a column
    counts from that column's head, whose gradient drives no flow.
    """

    regions: Sequence[Region]
    membranes: Sequence[SurfaceMembrane] = ()
    sheets: Sequence[Sheet] = ()
    exchanges: Sequence[Exchange] = ()
    leaks: Sequence[Leak] = ()
    links: Sequence[Link] = ()
    fixed: Sequence[Fixed] = ()
    supports: Sequence[Support] = ()
    drained: Sequence[Drained] = ()
    lagged_transport: bool = False
    kinematics: Kinematics = field(default_factory=FiniteStrain)
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)
    anterior: tuple[float, float, float] = (0.0, 1.0, 0.0)
    loads: Any = None
    reference_pressure: Mapping[str, float] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)

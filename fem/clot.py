"""What lies in the epidural space beside the patient's own fluid, and what becomes of it.

Per species (one per material and place of injection) and vertex: mobile fluid with its age, clot with what of it is
still to retract, and the serum that a clot has given off. Leaked CSF and lysed clot are common to all. Mobile fluid,
serum, leaked and lysed fluid are carried by the pore flow; clot stays. Injected content is mobile + clot + serum: what
was injected less what left and what was lysed.

Between two steps each vertex reacts for itself, in closed form: gelation by the mean age of its mobile fluid, then
retraction, then lysis. What follows for the next step is lagged: clot lowers the mobility (logarithmic rule, as for
viscosities), and what has retracted pulls the skeleton's state of rest together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from fem.arrays import Array
from fem.materials import Materials
from fem.parameters import MMHG, Injection
from fem.species import SpeciesTransport

RESORBING_RISE = 1.0 * MMHG
"""Rise of the epidural pressure from which resorption has its full rate [Pa]; assumed."""

LEAST_REST = 0.4
"""Volume ratio at which a skeleton that clot pulls together comes to rest at least [1]; keeps cells valid."""


@dataclass(frozen=True)
class Species:
    """A material from one place."""

    material: str
    place: tuple[str, str, str, float]


@dataclass
class Contents:
    """Vertex integrals; all arrays have a row per species, except the last two (vertices,).

    Attributes:
        mobile: fluid that can still gel, or never will [m^3].
        age: of the mobile fluid, times its volume [m^3 s].
        serum: given off by clot [m^3].
        clot: [m^3].
        retractable: volume of the clot that is still to become serum [m^3].
        retracted: volume that clot still there has lost to serum [m^3].
        leaked: CSF that came through the dura [m^3].
        lysate: lysed clot [m^3].
    """

    mobile: Array
    age: Array
    serum: Array
    clot: Array
    retractable: Array
    retracted: Array
    leaked: Array
    lysate: Array

    @classmethod
    def none(cls, species: int, vertices: int) -> Contents:
        """Nothing but the patient's own fluid."""
        rows = [np.zeros((species, vertices)) for _ in range(6)]
        return cls(*rows, *(np.zeros(vertices) for _ in range(2)))

    def copy(self) -> Contents:
        """An independent copy."""
        return replace(self, **{entry.name: getattr(self, entry.name).copy() for entry in fields(self)})

    @property
    def injected(self) -> Array:
        """Injected content of each species [m^3]."""
        total: Array = self.mobile + self.serum + self.clot
        return total

    @property
    def smallest(self) -> float:
        """Smallest entry of all [m^3 or m^3 s]; never negative."""
        return min(float(getattr(self, entry.name).min(initial=0.0)) for entry in fields(self))


class Injectate:
    """Species of a course of injections: carrying, reacting, and what the next step has to know of them."""

    def __init__(self, transport: SpeciesTransport, materials: Materials, injections: Sequence[Injection]) -> None:
        self.transport, self.materials = transport, materials
        self.species = tuple(dict.fromkeys(Species(i.material, i.place) for i in injections))
        self.row_of = [self.species.index(Species(i.material, i.place)) for i in injections]
        self.laws = [materials.clot.get(species.material) for species in self.species]
        self.contents = Contents.none(len(self.species), len(transport.volume))

    # -- one step ----------------------------------------------------------------------------------------------------

    def carry(
        self, step: float, gained: Array, leaked: Array, resorbed: Array, outflow: dict[str, Array]
    ) -> dict[str, Array]:
        """Take up watery fluid, and carry the mobile parts through a converged step.

        Args:
            step: its length [s].
            gained: volume of each species put in [m^3], shape (species, vertices).
            leaked: CSF that came through the dura [m^3], shape (vertices,).
            resorbed: share of watery fluid that is taken up [1], shape (vertices,).
            outflow: rates by name [m^3/s], as :meth:`SpeciesTransport.carry` takes them.

        Returns:
            Volume of each species, then leaked CSF, then lysed clot, that left by each name [m^3].
        """
        held, count = self.contents, len(self.species)
        kept = 1 - resorbed
        watery = np.array([law is None for law in self.laws])[:, None]
        older = held.age + step * held.mobile
        nothing = np.zeros_like(leaked)
        rows = np.vstack(
            [
                np.where(watery, held.mobile * kept, held.mobile),
                held.serum * kept,
                np.where(watery, older * kept, older),
                held.leaked * kept,
                held.lysate * kept,
            ]
        )
        added = np.vstack([gained, np.zeros_like(gained), gained * step / 2, leaked, nothing])
        rows, left = self.transport.carry(step, rows, added, outflow, held.clot.sum(axis=0))
        self.contents = replace(
            held,
            mobile=rows[:count],
            serum=rows[count : 2 * count],
            age=rows[2 * count : 3 * count],
            leaked=rows[-2],
            lysate=rows[-1],
        )
        return {
            name: np.concatenate([volume[:count] + volume[count : 2 * count], volume[-2:]])
            for name, volume in left.items()
        }

    def react(self, step: float) -> float:
        """Gelation, retraction and lysis over a step [s]; return the volume lysed [m^3]."""
        held = self.contents.copy()
        lysed = 0.0
        for k, law in enumerate(self.laws):
            if law is None:
                continue
            mobile = held.mobile[k]
            age = np.divide(held.age[k], mobile, out=np.zeros_like(mobile), where=mobile > 0)
            gelled = law.gelled(np.maximum(age - step, 0.0), step) * mobile
            remaining = np.divide(mobile - gelled, mobile, out=np.zeros_like(mobile), where=mobile > 0)
            held.mobile[k] = mobile - gelled
            held.age[k] *= remaining
            given = law.retracted(step) * held.retractable[k]
            held.clot[k] += gelled - given
            held.serum[k] += given
            held.retractable[k] += law.retraction_share * gelled - given
            share = law.lysed(step)
            loss = share * held.clot[k]
            held.clot[k] -= loss
            held.retractable[k] *= 1 - share
            held.lysate += loss
            held.retracted[k] = held.retracted[k] * (1 - share) + given
            lysed += float(loss.sum())
        self.contents = held
        return lysed

    # -- what follows for the next step ------------------------------------------------------------------------------

    def resorbed(self, step: float, rise: Array) -> Array:
        """Share of every watery fluid (saline, serum, lysed clot, leaked CSF) that is taken up within a step [1].

        Nothing is taken up where the pressure has not risen, all at its rate from 1 mmHg on.

        Args:
            step: its length [s].
            rise: of the epidural pressure over its baseline at the active vertices [Pa].
        """
        share: Array = -np.expm1(-self.materials.resorption * step * np.clip(rise / RESORBING_RISE, 0.0, 1.0))
        return share

    def watery(self) -> tuple[Array, Array]:
        """Watery fluid of the species, and leaked CSF with lysed clot, at the active vertices [m^3]."""
        held = self.contents
        ours = held.serum.sum(axis=0)
        ours = ours + sum((held.mobile[k] for k, law in enumerate(self.laws) if law is None), 0.0 * ours)
        return ours, held.leaked + held.lysate

    def fluidity(self) -> Array:
        """Factor on the mobility at the active vertices [1]: of the mixture's viscosity, and of clot."""
        held, viscosity = self.contents, self.materials.viscosity
        fluid = np.maximum(self.transport.mobile(np.zeros(len(self.transport.volume))), held.clot.sum(axis=0))
        exponent = np.log(viscosity["csf"] / viscosity["serum"]) * (held.serum.sum(axis=0) + held.lysate)
        for k, species in enumerate(self.species):
            exponent = exponent + np.log(viscosity["csf"] / viscosity[species.material]) * held.mobile[k]
            law = self.laws[k]
            if law is not None:
                exponent = exponent + np.log(law.mobility / self.materials.fat.mobility.mobility) * held.clot[k]
        return np.exp(exponent / fluid)

    def rest(self) -> Array:
        """Volume ratio at which the skeleton is free of stress, at the active vertices [1].

        A clot that has lost a share of its volume pulls what it fills together by that share.
        """
        held = self.contents
        space = self.transport.fluid() + (1 - self.transport.mobile_fraction) * self.transport.volume
        pulled = np.divide(held.retracted.sum(axis=0), space, out=np.zeros_like(space), where=space > 0)
        return np.maximum(1 - pulled, LEAST_REST)

    def clotted(self) -> Array:
        """Clot per reference volume at the active vertices [1]."""
        share: Array = self.contents.clot.sum(axis=0) / self.transport.volume
        return share

    def injected(self) -> Array:
        """Injected content per reference volume at the active vertices [1]."""
        share: Array = self.contents.injected.sum(axis=0) / self.transport.volume
        return share

    def holding_pressure(self) -> Array:
        """Pressure that the clot at the active vertices holds across a hole, mean of its materials [Pa]."""
        clot = self.contents.clot
        whole = clot.sum(axis=0)
        held = np.array([0.0 if law is None else law.holding_pressure for law in self.laws]) @ clot
        return np.divide(held, whole, out=np.zeros_like(whole), where=whole > 0)

"""The linear mode: small strain about the patient's baseline, laws exchanged for their limits there.

What an injection does first is what the limits keep: veins and foramina give way with the slope that they have above
the baseline, a dura that is slack at the baseline is slack for good, and carries compression where it is taut.
Volumes for which that holds are small. Fibres in the volume (ligaments, roots) are no limit: they keep their full
modulus, in tension and in compression, where the toe of their law has no slope at zero strain.

Superposition holds exactly where what is injected flows as the patient's own fluid does: as viscous as CSF, not
resorbed, without clot or leak.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ufl

from fem.laws.exchange import StarlingForamen
from fem.laws.fibres import Surface, TensionOnlyMembrane
from fem.laws.smooth import ramp
from fem.laws.solids import LinearElastic, NeoHookean
from fem.laws.storage import SaturatingVeins
from fem.materials import Materials


@dataclass(frozen=True)
class LinearisedMembrane(TensionOnlyMembrane):
    """Limit of a tension-only membrane for small displacements from its reference.

    A fibre keeps the tension T that it has there, which resists its turning (the geometric stiffness), and the slope of
    its law, in lengthening and in shortening; T itself is balanced in the reference. The second variation of its energy
    for the Green strain, e.g. Wriggers 2008, Nonlinear Finite Element Methods, sec. 4.2.4.
    """

    def virtual_work(self, surface: Surface) -> Any:  # noqa: D102, as in the class that it exchanges
        along, around = surface.tangents()
        displaced = surface.gradient - ufl.Identity(len(along))
        tensions = surface.tension if surface.tension is not None else (None, None)
        work = 0
        for modulus, tangent, given in (
            (self.longitudinal_modulus, along, tensions[0]),
            (self.circumferential_modulus, around, tensions[1]),
        ):
            stiffness = self.thickness * modulus
            turn, virtual = ufl.dot(displaced, tangent), ufl.dot(surface.virtual, tangent)
            tension = self.slack_tension
            if given is not None:
                rest = self.strain_at(given, modulus)
                slope = stiffness * ufl.min_value(rest / self.toe_strain, 1) * (1 + 2 * rest)
                tension += stiffness * ramp(rest, self.toe_strain)
                work += slope * ufl.inner(tangent, turn) * ufl.inner(tangent, virtual)
            work += tension * ufl.inner(turn, virtual)
        return work


@dataclass(frozen=True)
class GivingVeins(SaturatingVeins):
    """Veins that give blood with the slope of the baseline and never collapse."""

    def content(self, pressure: Any) -> Any:  # noqa: D102
        return self.slope * pressure


@dataclass(frozen=True)
class OpenForamen(StarlingForamen):
    """A foramen that is open at the baseline, and lets in below it what it lets out above: it has no opening pressure.

    With one, fluid would flow in at the baseline, and nothing would be at rest there.
    """

    def rate(self, pressure: Any) -> Any:  # noqa: D102
        return self.conductance * pressure


def linear_limit(materials: Materials) -> Materials:
    """The same tissues with every law exchanged for its limit at the baseline."""

    def solid(law: NeoHookean | LinearElastic) -> LinearElastic:
        return LinearElastic(law.youngs_modulus, law.poisson_ratio)

    def membrane(law: TensionOnlyMembrane) -> LinearisedMembrane:
        return LinearisedMembrane(**vars(law))

    fat, network, cord = materials.fat, materials.network, materials.cord
    return replace(
        materials,
        fat=replace(fat, solid=solid(fat.solid), mobility=replace(fat.mobility, growth=0.0)),
        veins=GivingVeins(**vars(materials.veins)),
        foramina=OpenForamen(**vars(materials.foramina)),
        dura=membrane(materials.dura),
        pia=membrane(materials.pia),
        sleeve=membrane(materials.sleeve),
        network=replace(network, solid=solid(network.solid)),
        cord=replace(cord, solid=solid(cord.solid)),
    )

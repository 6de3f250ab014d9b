"""What the discrete problem of a spine is composed of: tissues, membranes, cuts, foramina, leaks, ligaments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from fem.arrays import Array
from fem.barriers import mobility_factor
from fem.bending import Sheet
from fem.body import MIDSAGITTAL, cell_volumes, channel_beyond, denticulate_weight
from fem.continuation import Chain
from fem.domain import Domain
from fem.laws.column import Column
from fem.laws.exchange import AffineOutflow
from fem.laws.fibres import SmearedFibres
from fem.laws.kinematics import FiniteStrain, SmallStrain
from fem.laws.leak import FlapLeak
from fem.laws.mobility import ConstantMobility, SwellingMobility
from fem.leak import SURFACES as LEAKING
from fem.leak import LeakFunctions
from fem.linear import linear_limit
from fem.materials import Materials
from fem.parameters import MMHG, PatchParameters
from fem.regulation import epidural_baseline
from fem.setup import Exchange, Fixed, Leak, Link, Region, Setup, SurfaceMembrane
from fem.support import Support
from geometry import Region as Part
from geometry import SpineMesh, Subregion

HEALTHY_TRANSMURAL = 5.0 * MMHG
"""CSF less epidural pressure in the healthy supine adult [Pa]: 8.6 to 10.6 (Norager 2021) over 4.7 mmHg."""

CUT_CONDUCTANCE = 1e-7
"""Conductance of an open cut of the sac [m^3/(Pa s)]: 10 mL/min drop 0.013 mmHg, so that a cut is no resistance."""


@dataclass(frozen=True)
class Composition:
    """Puts together what a :class:`~fem.poro.PoroModel` of a spine is made from.

    Attributes:
        domain: the modelled part of the body.
        spine: the whole mesh as given by the geometry.
        parameters: of the case.
        copies: of the modelled part that make the body; conductances of the whole are shared among them.
    """

    domain: Domain
    spine: SpineMesh
    parameters: PatchParameters
    copies: int

    @property
    def foramina(self) -> tuple[str, ...]:
        """Names of the foramina's outer faces in the modelled part."""
        return tuple(sorted(name for name in self.domain.surfaces if name.startswith("foramen_")))

    @property
    def materials(self) -> Materials:
        """Laws of the tissues; in the linear mode their limits at the baseline."""
        materials = self.parameters.materials
        return linear_limit(materials) if self.parameters.linear else materials

    @property
    def bonded(self) -> bool:
        """Whether contents are bonded to the bone; else they slide along it."""
        return self.parameters.contact == "bonded"

    def chains(self) -> list[Chain]:
        """What stands for the epidural canal behind each cut, at rest."""
        found = ((end, channel_beyond(self.spine, self.parameters.materials, end)) for end in ("cranial", "caudal"))
        return [Chain(f"end_{end}", end, channel.part(self.copies)) for end, channel in found if channel is not None]

    def setup(self, leaks: LeakFunctions, rest: Any, columns: Mapping[str, Column]) -> Setup:
        """The discrete problem.

        Args:
            leaks: functions that say where the dura leaks.
            rest: volume ratio at which epidural fat is free of stress, P1 function.
            columns: of the pressures in the patient's posture.
        """
        spine, materials = self.spine, self.materials
        # blood passes a foramen as slowly as its viscosity says, and clot hardly: it fills the tissue outside, too
        foramina = Exchange("foramina", self.foramina, "e", materials.foramina, viscous=True)
        exchanges = [foramina] if self.foramina else []
        for chain in self.chains():  # what it conducts and gives back is set in every step
            surface = f"cut_{chain.compartment}_epidural"
            exchanges.append(Exchange(chain.exchange, (surface,), "e", AffineOutflow(0.0, 0.0)))
        through_cut = CUT_CONDUCTANCE / self.copies
        links = [Link("cut_cranial_subarachnoid", "s", "cranial", through_cut)]
        if not spine.sac_closed:
            links.append(Link("cut_caudal_subarachnoid", "s", "caudal", through_cut))
        cuts = tuple(name for name in spine.surfaces if name.startswith("cut_"))
        # the outer face of a foramen is no wall: the root is anchored there, and tissue goes on
        fixed = [Fixed(("bone", *self.foramina) if self.bonded else self.foramina), Fixed(cuts, 2)]
        if self.copies > 1:
            fixed.append(Fixed((MIDSAGITTAL,), 0))

        return Setup(
            regions=self._regions(rest),
            membranes=self._membranes(),
            sheets=(
                Sheet(("dura", "sleeve_mouth"), materials.dura_bending_stiffness),
                Sheet(("dura_sleeve",), materials.sleeve_bending_stiffness),
            ),
            exchanges=exchanges,
            leaks=[self._leak(leaks)],
            links=links,
            fixed=fixed,
            supports=() if self.bonded else (Support(("bone",), materials.wall_stiffness),),
            lagged_transport=True,
            columns=columns,
            kinematics=SmallStrain() if self.parameters.linear else FiniteStrain(),
        )

    def _leak(self, leaks: LeakFunctions) -> Leak:
        """All leaks as one exchange: where they are is in the functions, so that the form is always the same."""
        law = FlapLeak(leaks.density, leaks.flap, self.parameters.materials.hole.smoothing)
        surfaces = tuple(name for name in LEAKING if name in self.domain.surfaces)
        return Leak("leaks", surfaces, "s", "e", law, leaks.uptake)

    def _regions(self, rest: Any) -> list[Region]:
        """Epidural space, subarachnoid space and, where the span has one, cord."""
        materials = self.materials
        fat, network, cord = materials.fat, materials.network, materials.cord
        local = self._cell_function(fat.mobility.mobility * mobility_factor(self.spine, materials.barriers))
        regions = [
            Region(
                int(Part.EPIDURAL),
                "e",
                fat.solid,
                SwellingMobility(local, fat.mobility.growth),
                materials.veins,
                gradient_stiffness=self._folding_stiffness(),
                rest=rest,
            ),
            Region(
                int(Part.SUBARACHNOID),
                "s",
                network.solid,
                ConstantMobility(network.mobility),
                gradient_stiffness=network.gradient_stiffness,
                fibres=self._ligaments(),
            ),
        ]
        if np.any(self.spine.region == Part.CORD):
            regions.append(Region(int(Part.CORD), "s", cord.solid, ConstantMobility(cord.mobility)))
        return regions

    def _folding_stiffness(self) -> float | None:
        """What keeps the cells of the epidural space from folding [N]; None leaves its term out of the forms."""
        given = self.parameters.solver.folding_stiffness if self.bonded else self.materials.fat.gradient_stiffness
        return given or None

    def _membranes(self) -> list[SurfaceMembrane]:
        """Dura, pia, and the dural fibres that pass around the mouths of the root sleeves, smeared across them.

        The dura's tension in the healthy state is Laplace's: transmural pressure times radius of the section around it,
        half of that with the mean radius along it, as in a closed tube. The first goes with the pressure;
        the second stays, since the sac is held at its ends. Sleeves carry none, and have a law of their own.
        The mean radius is that of the slabs, long and short ones alike, those below the sac's end (radius 0) included:
        in default windows .90 (S1/S2) to 1.02 (T12/L1) of the mean over the sac's length, .95 at L3/L4.
        In the linear mode, which knows no way from there to the patient's baseline, it is that of the baseline.
        """
        spine, materials = self.spine, self.materials
        height = np.diff(spine.slab_edges)
        inside = (spine.subregion == Subregion.THECAL) | (spine.subregion == Subregion.CORD)
        volume = np.bincount(spine.slab[inside], weights=cell_volumes(spine)[inside], minlength=len(height))
        radius = np.sqrt(volume / height / np.pi)
        csf = self.parameters.csf
        transmural = csf.baseline_pressure - epidural_baseline(csf) if self.parameters.linear else HEALTHY_TRANSMURAL
        around = transmural * radius[spine.slab]
        along = np.full(len(around), HEALTHY_TRANSMURAL * radius.mean() / 2)
        tension = (self._cell_function(along), self._cell_function(around))
        optional = [
            SurfaceMembrane("pia", materials.pia),
            SurfaceMembrane("dura_sleeve", materials.sleeve),
            SurfaceMembrane("sleeve_mouth", materials.dura, tension),
        ]
        return [
            SurfaceMembrane("dura", materials.dura, tension),
            *(membrane for membrane in optional if membrane.surface in self.domain.surfaces),
        ]

    def _cell_function(self, values: Array) -> Any:
        """Piecewise constant function from values per cell of the spine mesh."""
        function = fem.Function(fem.functionspace(self.domain.mesh, ("DG", 0)))
        function.x.array[:] = np.asarray(values, dtype=float)[self.domain.original_cell]
        return function

    def _ligaments(self) -> tuple[tuple[SmearedFibres, Any, Any], ...]:
        spine, ligaments = self.spine, self.materials.ligaments
        thecal = spine.subregion == Subregion.THECAL
        with_cord = np.unique(spine.slab[spine.region == Part.CORD])
        beside_cord = thecal & np.isin(spine.slab, with_cord)
        roots = self._cell_function((thecal & ~beside_cord).astype(float))
        band = self._cell_function(denticulate_weight(spine, beside_cord))
        toe = ligaments.roots.toe_strain
        axial, lateral = ufl.as_vector((0.0, 0.0, 1.0)), ufl.as_vector((1.0, 0.0, 0.0))
        return (
            (ligaments.roots, axial, roots),
            (SmearedFibres(ligaments.denticulate_stiffness, toe), lateral, band),
        )

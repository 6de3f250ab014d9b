"""The epidural blood patch: a poroelastic model composed from a spine, its prestress and its baseline.

Two states, both on the mesh of the anatomy table:

* *healthy*: the tabulated shape, in equilibrium at zero displacement. The dura's fibres carry Laplace's tension; what
  a section that is not round leaves over is held by balancing nodal forces, the reactions of the tethers (epidural
  ligaments, root sleeves, fat) that keep a real sac from rounding up. Being reactions they go with the transmural
  pressure of the baseline;
* *baseline* of the patient: reached from there by lowering the pressure in the sac; all changes count from it.

Where the mesh is its own mirror image and every injection lies in the midline, the left half is modelled, held in the
midsagittal plane, with its share of every compartment, conductance and injection: the symmetric solution at half the
unknowns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from dolfinx import fem
from dolfinx.la import InsertMode
from mpi4py import MPI

from fem.arrays import Array
from fem.body import modelled_domain
from fem.compartments import Compartment, CraniospinalCompartment, ElasticCompartment, SharedCompartment
from fem.composition import HEALTHY_TRANSMURAL, Composition
from fem.domain import Domain
from fem.errors import ModelError, SolverError
from fem.leak import LeakFunctions, find_patches
from fem.newton import BorderedNewton, Tolerances
from fem.parameters import PatchParameters
from fem.poro import PoroModel
from fem.posture import Posture, shift
from fem.prestress import share_held
from fem.regulation import Regulation, epidural_baseline
from fem.settle import settle_leaks
from fem.setup import Setup
from geometry import Region as Part
from geometry import Source, SpineMesh

SHIFT_VOLUME = 1e-11
"""Volume that a change of posture may leave out of balance [m^3]: round-off of what flows in the sac meanwhile."""

FLOOR_SHARE = 0.5
"""Share of the baseline's height above the reference pressure below which the craniospinal capacity stays what it is
there [1]; assumed: the pressure-volume index would make a flaccid system infinitely compliant."""

BOLUS = 1e-6
"""Volume of the bolus that measures the compliance of the window [m^3]."""

BOLUS_TIME = 10.0
"""Time over which that bolus acts [s]; the network takes some seconds to carry CSF down a long window."""


@dataclass(frozen=True)
class Site:
    """One place of injection: P1 density that integrates to one, and its vertex integrals."""

    key: tuple[Any, ...]
    point: Array
    interspace: str
    density: Array
    weights: Array


class PatchModel:
    """Spine, tissues and CSF at the patient's baseline, ready for injections.

    Args:
        symmetry: model the left half alone where that is enough.

    Attributes:
        spine: the mesh as given by the geometry, whole.
        copies: 2 where the left half stands for both, else 1; volumes and flows of the discrete problem times this are
            those of the body.
        poro: the discrete poroelastic problem.
        newton: its solver, with the compartments ``cranial`` and, where the sac is cut caudally, ``caudal``.
        epidural: region of the epidural space.
        baseline: state vector of the patient's baseline (ghosts included).
        baseline_pressure: epidural and CSF pressure of the baseline [Pa], by ``e`` and ``s``.
        leaks: functions of the compiled forms that say where the dura leaks.
        standing: posture whose columns can be given weight: upright where the patient stands up before and after.
        patches: of dura, one per leak.
        leak_flow: through the modelled part of each leak at the baseline [m^3/s].
        leak_uptake: what of it is taken up where it leaks [m^3/s], all but a trace.
        whole: compartments of the body; ``compartments``: their parts in the modelled half, where it is one.
        compartment_pressure: of each compartment at the baseline [Pa].
        beyond: state of the chain behind each cut at the baseline.
        formation: of CSF [m^3/s], to round-off what is absorbed and leaks at the baseline.
        rest: volume ratio at which epidural fat is free of stress, P1 function, 1 without clot.
        window_compliance: of the meshed sac, measured by a bolus [m^3/Pa].
        balancing_share: of the transmural pressure of the healthy sac that the balancing forces hold [1].
    """

    def __init__(self, comm: MPI.Comm, spine: SpineMesh, parameters: PatchParameters, symmetry: bool = True) -> None:
        self.comm, self.spine, self.parameters = comm, spine, parameters
        in_midline = all(i.side == "midline" and i.offset == 0 for i in parameters.injections)
        in_midline &= all(leak.side == "midline" for leak in parameters.leaks)
        self.posture = Posture.named(parameters.posture, spine.anatomy)
        self.standing = Posture.named("upright", spine.anatomy) if parameters.stand_up else self.posture
        half = spine.left_half if symmetry and in_midline and self.posture.symmetric else None
        self.copies = 1 if half is None else 2
        self.domain = self._domain(half)
        self.leaks = LeakFunctions(self.domain)
        self.patches = find_patches(self.domain, spine, parameters.leaks, parameters.materials.hole.radius)
        self.leak_flow = self.leak_uptake = np.zeros(len(self.patches))
        self.rest = fem.Function(fem.functionspace(self.domain.mesh, ("Lagrange", 1)))
        self.rest.x.array[:] = 1.0
        self.poro = PoroModel(self.domain, self._setup())
        self.epidural = next(r for r in self.poro.regions if r.tag == Part.EPIDURAL)
        csf = parameters.csf
        self.formation = csf.formation
        epidural = epidural_baseline(csf)
        self.baseline_pressure = {"e": epidural, "s": parameters.csf.baseline_pressure}
        self.poro.reference["e"].value = epidural
        self.poro.reference["s"].value = parameters.csf.baseline_pressure
        self.tolerances = Tolerances(
            force=parameters.solver.force_tolerance,
            volume=parameters.solver.volume_tolerance * BOLUS,
            iterations=parameters.solver.max_iterations,
        )
        self.newton = BorderedNewton(self.poro, self._shared(self._compartments(0.0)), self.chains)
        self.posture_shift = 0.0
        self.find_baseline()
        if self.posture.up is not None:
            shift(self)

    # -- composition -------------------------------------------------------------------------------------------------

    def _domain(self, half: Array | None) -> Domain:
        return modelled_domain(self.comm, self.spine, half)

    def _setup(self) -> Setup:
        made = Composition(self.domain, self.spine, self.parameters, self.copies)
        self.foramina, self.chains = made.foramina, made.chains()
        return made.setup(self.leaks, self.rest, self.standing.columns(self.domain.mesh))

    def _compartments(self, window: float, spinal: float | None = None) -> dict[str, Compartment]:
        """Compartments of the whole body.

        Args:
            window: compliance of the meshed sac [m^3/Pa], which the sac below it has per length, too.
            spinal: what window and sac below take up together within a bolus's time [m^3/Pa], and the cranial
                compartment therefore has not; None before it is known.
        """
        csf = self.parameters.csf
        baseline, reference = csf.baseline_pressure, csf.reference_pressure
        linear = self.parameters.linear
        below = 0.0
        if not self.spine.sac_closed:
            span = float(self.spine.slab_edges[-1] - self.spine.slab_edges[0])
            per_length = max(window, SMALLEST_COMPLIANCE) / span
            below = per_length * max(self.spine.continuation["caudal"].sac_length, 1e-3)
            chain = next((chain for chain in self.chains if chain.compartment == "caudal"), None)
            if chain is not None:  # a part of it, within a bolus's time
                below = max(below - self.copies * BOLUS_TIME * chain.port(BOLUS_TIME).uptake, SMALLEST_COMPLIANCE)
        whole: dict[str, Compartment] = {
            "cranial": CraniospinalCompartment(
                pvi=csf.pvi,
                reference=reference,
                outflow_resistance=csf.outflow_resistance,
                formation=self.formation,
                venous=self.regulation.venous,
                floor=baseline if linear else reference + FLOOR_SHARE * (baseline - reference),
                ceiling=baseline if linear else inf,
                window_compliance=window + below if spinal is None else spinal,
                share=csf.spinal_share,
            )
        }
        if below > 0:
            whole["caudal"] = ElasticCompartment(below)
        return whole

    def _shared(self, whole: dict[str, Compartment]) -> dict[str, Compartment]:
        return {name: SharedCompartment(part, self.copies) for name, part in whole.items()}

    # -- baseline ----------------------------------------------------------------------------------------------------

    def find_baseline(self) -> None:
        """Balance the healthy state, lower the sac to the patient's pressure, and measure the window's compliance."""
        poro, newton = self.poro, self.newton
        for chain in self.chains:
            chain.rest(self.baseline_pressure["s"])
        all_pressures = np.concatenate([poro.dofs[name] for name in poro.pressures])
        newton.hold(all_pressures)
        compartments, newton.compartments = newton.compartments, {}
        poro.step.value = BOLUS_TIME
        poro.state.x.array[:] = 0.0
        epidural = self.baseline_pressure["e"]
        self._set_pressures(epidural, epidural)
        of_tension = newton.nodal_forces()
        self._set_pressures(epidural, epidural + HEALTHY_TRANSMURAL)
        poro.balance = newton.nodal_forces()
        self.balancing_share = self._share_held(poro.balance, poro.balance - of_tension)
        force = Tolerances(self.tolerances.force, float("inf"), 30)
        patient = self.baseline_pressure["s"] - self.baseline_pressure["e"]
        self._ramp(HEALTHY_TRANSMURAL, patient, force)
        newton.hold(None)
        newton.compartments = compartments
        newton.pressure = {name: self.baseline_pressure["s"] for name in newton.compartments}
        if self.patches:
            settle_leaks(self)
        self.beyond = tuple(chain.state for chain in self.chains)
        self.baseline = poro.state.x.array.copy()
        self.compartment_pressure = dict(newton.pressure)
        newton.start = dict(newton.pressure)
        poro.previous.x.array[:] = self.baseline
        self.window_compliance, raised = self._measure_compliance(list(newton.compartments), newton.exchange)
        newton.compartments = self._shared(self._compartments(self.window_compliance))
        spinal, _ = self._measure_compliance(["cranial"], newton.flow_into, raised)
        self.whole = self._compartments(self.window_compliance, spinal)
        newton.compartments = self.compartments = self._shared(self.whole)
        newton.compartments["cranial"].capacity(self.baseline_pressure["s"])

    def _share_held(self, reaction: Any, load: Any) -> float:
        """Share of a load of nodal forces that reactions hold [1]."""
        space, dofs = self.poro.space.sub(0).collapse()
        owned = space.dofmap.index_map.size_local
        at = np.asarray(dofs).reshape(-1, 3)[:owned]
        points = space.tabulate_dof_coordinates()[:owned]
        return share_held(self.comm, points, reaction.array[at], load.array[at])

    def shift_tolerances(self) -> Tolerances:
        """Tolerances of a change of posture."""
        return replace(self.tolerances, volume=SHIFT_VOLUME)

    def adopt_baseline(self) -> None:
        """Let the present state be the one that changes count from."""
        for chain in self.chains:
            chain.outside = self.newton.pressure.get(chain.compartment, chain.outside)
        self.beyond = tuple(chain.state for chain in self.chains)
        self.baseline = self.poro.state.x.array.copy()
        self.poro.previous.x.array[:] = self.baseline
        self.compartment_pressure = dict(self.newton.pressure)
        self.newton.start = dict(self.newton.pressure)
        self.baseline_pressure["s"] = self.newton.pressure["cranial"]
        self.newton.compartments = self.compartments = self._shared(self.whole)

    def _set_pressures(self, epidural: float, sac: float) -> None:
        array = self.poro.state.x.array
        array[self.poro.dofs["e"]] = epidural
        array[self.poro.dofs["s"]] = sac

    def _ramp(self, start: float, end: float, force: Tolerances) -> None:
        """Follow the equilibrium from one transmural pressure to another, in smaller steps where one fails."""
        poro, epidural = self.poro, self.baseline_pressure["e"]
        done, stride = 0.0, 0.25
        while done < 1.0:
            kept = poro.state.x.array.copy()
            reached = min(1.0, done + stride)
            transmural = start + reached * (end - start)
            self._set_pressures(epidural, epidural + transmural)
            poro.balance_scale = transmural / HEALTHY_TRANSMURAL
            try:
                self.newton.solve(force, factorised=done > 0.0)
            except SolverError as error:
                poro.state.x.array[:] = kept
                stride /= 2
                if stride < 1e-3:
                    raise SolverError(f"the patient's baseline was not reached: {error.reason}") from error
                continue
            done, stride = reached, min(1.5 * stride, 0.5)

    @property
    def regulation(self) -> Regulation:
        """Formation and absorption of the patient."""
        csf = self.parameters.csf
        set_point = csf.baseline_pressure if csf.set_point is None else csf.set_point
        return Regulation(set_point, csf.outflow_resistance, csf.formation)

    def _measure_compliance(
        self, held: Sequence[str], flow: Callable[[str], float], near: Array | None = None
    ) -> tuple[float, Array]:
        """Volume taken up when the CSF pressure at the cuts rises as by a 1 mL bolus, over that rise [m^3/Pa].

        Args:
            held: compartments whose pressure is raised; the others follow by themselves.
            flow: into a compartment [m^3/s], whose opposite counts.
            near: state to start from, that of the measurement just before, where the others rose about as much.

        Returns:
            That compliance, and the state at the raised pressure.
        """
        poro, newton = self.poro, self.newton
        base = self.baseline_pressure["s"]
        whole = self._compartments(0.0)["cranial"]
        assert isinstance(whole, CraniospinalCompartment)
        rise = whole.bolus_pressure(base, BOLUS) - base
        kept = dict(newton.compartments)
        poro.step.value = BOLUS_TIME
        newton.evaluate()
        before = sum(flow(name) for name in held)  # what feeds a leak at rest
        for name in held:
            newton.compartments[name] = ElasticCompartment(HELD_CAPACITY / self.copies)
            newton.start[name] = self.compartment_pressure[name] + rise
        newton.pressure = dict(newton.start)
        if near is not None:
            poro.state.x.array[:] = near
            newton.pressure = {name: pressure + rise for name, pressure in self.compartment_pressure.items()}
        newton.solve(self.tolerances, factorised=near is not None)
        taken = (before - sum(flow(name) for name in held)) * BOLUS_TIME
        raised = poro.state.x.array.copy()
        poro.state.x.array[:] = self.baseline
        newton.compartments = kept
        newton.pressure, newton.start = dict(self.compartment_pressure), dict(self.compartment_pressure)
        return float(self.copies * taken / rise), raised

    # -- injection ---------------------------------------------------------------------------------------------------

    def site(self, interspace: str, approach: str, side: str, offset: float, transport: Any) -> Site:
        """Density of a source of fixed radius at a needle's tip, truncated to the tip's part of the space.

        Raises:
            ModelError: the mesh does not resolve the source.
        """
        tip = self.spine.needle_tip(interspace, approach, side, offset)
        if self.copies > 1 and tip.point[0] != 0.0:
            raise ModelError(f"a site beside the midline at {interspace} needs the whole canal, not its left half")
        radius = self.parameters.source_radius
        source = Source(tip, radius)
        longest = source.longest_edge(self.spine)
        if not 0.0 < longest <= source.resolving_length:
            raise ModelError(
                f"the mesh does not resolve the source at {interspace} (radius {1e3 * radius:.1f} mm): its edges there "
                f"are up to {1e3 * longest:.1f} mm long, {1e3 * source.resolving_length:.1f} mm at most are needed"
            )
        space = self.poro.collapsed["e"][0]
        allowed = np.isin(self.spine.subregion, [int(part) for part in tip.subregions])
        inside = allowed[self.domain.original_cell[: self.domain.owned_cells]]
        marker = fem.Function(space)
        cells = np.flatnonzero(inside)
        marker.x.array[np.unique(space.dofmap.list[cells])] = 1.0
        marker.x.scatter_reverse(InsertMode.add)
        marker.x.scatter_forward()
        distance = np.linalg.norm(space.tabulate_dof_coordinates() - np.asarray(tip.point), axis=1)
        density = np.where(marker.x.array > 0, np.maximum(1 - (distance / radius) ** 2, 0.0) ** 2, 0.0)
        weights = transport.vertex_integrals(density)
        whole = float(weights.sum())
        key = (interspace, approach, side, offset)
        return Site(key, np.asarray(tip.point), interspace, density / whole, weights / whole)

    @property
    def degrees_of_freedom(self) -> int:
        """Number of unknowns, compartments included."""
        dofmap = self.poro.space.dofmap
        return int(dofmap.index_map.size_global * dofmap.index_map_bs) + len(self.newton.compartments)


SMALLEST_COMPLIANCE = 1e-12
"""Stand-in for the window's compliance before it is measured [m^3/Pa]."""

HELD_CAPACITY = 1e-4
"""Capacity so large that a compartment holds its pressure: 1 mL changes it by 0.01 Pa [m^3/Pa]."""

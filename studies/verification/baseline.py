"""The state before an injection: nothing moves by itself, the healthy shape is the table's, a bolus returns the index.

* `baseline`: 0 mL for three days leaves every field where it was. A patient with the healthy transmural pressure has
  the tabulated shape: no displacement, and the area of every slab of the sac that of the sections through the table.
  The shape is an equilibrium and not only called one: pushed aside, the solver goes back to it.
* `bolus`: 1 mL of CSF put into the whole craniospinal space (skull, window, and the sac below it) raises the pressure
  so that V/log10((P - P_ref)/(P_b - P_ref)) is the case's pressure-volume index [1]. Formation and absorption rest,
  since the index is an elastic property. The bolus takes 10 s: CSF needs some seconds to pass a window, and over
  minutes the epidural space drains and gives way further.

[1] A. Marmarou, K. Shulman & R. M. Rosende 1978, J Neurosurg 48:332, doi:10.3171/jns.1978.48.3.0332.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log10

import numpy as np
from mpi4py import MPI

from fem.arrays import Array
from fem.body import cell_volumes
from fem.compartments import ClosedCompartment
from fem.composition import HEALTHY_TRANSMURAL
from fem.parameters import MMHG, PatchParameters
from fem.patch import PatchModel
from fem.simulation import Simulation
from geometry import SpineMesh, Subregion
from studies.verification.problem import Check, Problem, Result
from studies.verification.spine import LUMBAR, ML, THORACIC, TIGHT, case_of, patch_of, spine_and_parameters, to_baseline

DAY = 86400.0

RESTING_EPIDURAL = 4.7 * MMHG
"""Epidural pressure of the healthy [Pa], as the model's description has it: min(4.7 mmHg, CSF pressure)."""

VOLUMES = (
    "injected_mL",
    "epidural_swelling_mL",
    "venous_displaced_mL",
    "foraminal_outflow_mL",
    "end_outflow_mL",
    "resorbed_mL",
    "leaked_csf_mL",
    "clot_volume_mL",
    "csf_displaced_mL",
    "csf_to_cranial_mL",
    "csf_to_caudal_mL",
    "cord_uptake_mL",
)
"""Columns of the series that stay zero."""

PUSH = 2e-5
"""Displacement from which the healthy shape is found again [m]; ten thousand times what is left."""

BOLUS_TIME = 10.0
"""Time over which the bolus acts [s]."""

WINDOWS = (
    LUMBAR,
    THORACIC,
    (("L4", "S2"), "L4/L5"),
    (("C2", "T3"), "C6/C7"),
    (("T2", "L3"), "T8/T9"),
    (("T10", "S2"), "L3/L4"),
)
"""Spans and levels of the bolus: cut at both ends, closed below, closed above, and two default windows."""

CHEAP_WINDOWS = 2
"""The first of them, which the daily run takes."""


@dataclass
class Baseline(Problem):
    """Rest, shape and stability."""

    name: str = "baseline"
    title: str = "Prestressed baseline"
    axis: str = "spans"
    levels: tuple[int, ...] = (1,)
    full_levels: tuple[int, ...] = (2,)

    def checks(self) -> Sequence[Check]:
        """The worst over spans."""
        return [
            Check("0 mL, three days", 1e-10, None, "acceptance, of each field's own size"),
            Check("0 mL, volumes", 1e-6, None, "mL: round-off of pressure times conductance of a cut over three days"),
            Check("0 mL, one more iteration", 1e-6, None, "of each field's size: what 1e-9 N out of balance amount to"),
            Check("healthy displacement", 1e-6, None, "of the sac's radius; the shape is one of equilibrium by design"),
            Check("back from a push", 1e-3, None, "of the push; the force left is 1e-9 N on a soft network"),
            Check("sac area", 0.02, None, "acceptance; polygons have their outlines' area"),
        ]

    def run(self, level: int) -> Result:
        """One span, or two."""
        worst: dict[str, float] = {}
        for span, interspace in (LUMBAR, THORACIC)[:level]:
            spine, parameters = spine_and_parameters(case_of(span, interspace, volume="0 mL"), TIGHT)
            found = rest(self.comm, spine, parameters) | healthy(self.comm, spine, parameters)
            worst = {name: max(value, worst.get(name, 0.0)) for name, value in found.items()}
        return Result(worst)


def rest(comm: MPI.Comm, spine: SpineMesh, parameters: PatchParameters) -> dict[str, float]:
    """Three days without an injection.

    Returns:
        Largest change of any field over its own size, largest volume [mL] that went anywhere, and the largest change by
        a Newton iteration that the solver itself, being within its tolerances, would not take.
    """
    model = PatchModel(comm, spine, parameters)
    simulation = Simulation(model, parameters)
    for _ in range(3):
        simulation.step(DAY)
    state, base = simulation.state, model.baseline_pressure["s"]
    changes = [_relative(model, state.vector - model.baseline)]
    changes += [abs(pressure / base - 1) for pressure in state.pressure.values()]
    row, _ = simulation.row()
    volumes = [abs(row[name]) for name in VOLUMES]
    newton = model.newton
    defects = newton.evaluate().defects
    newton._factorise()
    update, shift = newton._direction(defects)
    size = len(update.array)
    step = np.zeros_like(model.baseline)
    step[:size] = update.array
    more = [_relative(model, step), *(abs(float(part)) / base for part in shift)]
    names = ("0 mL, three days", "0 mL, volumes", "0 mL, one more iteration")
    return {name: max(found) for name, found in zip(names, (changes, volumes, more), strict=True)}


def _relative(model: PatchModel, change: Array) -> float:
    """Largest change of displacement and pressures, each over its own size at the baseline."""
    found = []
    for name in model.poro.dofs:
        owned = model.poro.owned(name)
        parts = [(np.max(np.abs(v[owned]), initial=0.0)) for v in (change, model.baseline)]
        most = np.max(model.comm.allgather(parts), axis=0)
        found.append(float(most[0] / most[1]))
    return max(found)


def healthy(comm: MPI.Comm, spine: SpineMesh, parameters: PatchParameters) -> dict[str, float]:
    """Displacement and area of a patient whose transmural pressure is the healthy one."""
    pressure = RESTING_EPIDURAL + HEALTHY_TRANSMURAL
    csf = replace(parameters.csf, baseline_pressure=pressure, set_point=pressure, epidural_pressure=RESTING_EPIDURAL)
    model = PatchModel(comm, spine, replace(parameters, csf=csf))
    assert spine.anatomy is not None
    sac = np.isin(spine.subregion, (Subregion.THECAL, Subregion.CORD))
    volume = np.bincount(spine.slab[sac], weights=cell_volumes(spine)[sac], minlength=len(spine.slab_edges) - 1)
    area = volume / np.diff(spine.slab_edges)
    radius = float(np.sqrt(area.max() / np.pi))
    moved = _largest(model, model.baseline)
    return {
        "healthy displacement": moved / radius,
        "back from a push": _back(model) / PUSH,
        "sac area": float(np.max(np.abs(area / sections(spine) - 1))),
    }


def sections(spine: SpineMesh) -> Array:
    """Mean sac area of the table's sections over every slab [m^2]."""
    assert spine.anatomy is not None
    edges = spine.slab_edges
    z = edges[:-1, None] + np.diff(edges)[:, None] * np.linspace(0, 1, 41)
    area = spine.anatomy.sections.sac_area(z.ravel()).reshape(z.shape)
    return np.asarray(np.trapezoid(area, dx=1 / 40, axis=1))


def _largest(model: PatchModel, vector: Array) -> float:
    local = float(np.max(np.abs(vector[model.poro.dofs["u"]]), initial=0.0))
    return max(model.comm.allgather(local))


def _back(model: PatchModel) -> float:
    """Displacement left after the solver has started from a push of every free node, pressures held."""
    poro, newton = model.poro, model.newton
    to_baseline(model)
    newton.compartments, kept = {}, newton.compartments
    newton.hold(np.concatenate([poro.dofs[name] for name in poro.pressures]))
    u, coordinates = poro.dofs["u"], poro.vector_space.tabulate_dof_coordinates()
    wave = np.sin(300.0 * coordinates @ np.array([[1.0, 0.7, -0.4], [-0.5, 1.0, 0.8], [0.6, -0.9, 1.0]]).T)
    push = np.zeros_like(model.baseline)
    push[u] = PUSH * wave.ravel()
    push[poro.fixed_dofs] = 0.0
    poro.state.x.array[:] = model.baseline + push
    newton.solve(replace(model.tolerances, volume=float("inf")))
    left = _largest(model, poro.state.x.array - model.baseline)
    newton.hold(None)
    newton.compartments = kept
    to_baseline(model)
    return left


@dataclass
class Bolus(Problem):
    """The craniospinal pressure-volume index, window by window."""

    name: str = "bolus"
    title: str = "Craniospinal bolus"
    axis: str = "windows"
    levels: tuple[int, ...] = (CHEAP_WINDOWS,)
    full_levels: tuple[int, ...] = (len(WINDOWS),)

    def checks(self) -> Sequence[Check]:
        """The worst over windows."""
        return [Check("pressure-volume index", 0.02, None, "acceptance")]

    def run(self, level: int) -> Result:
        """The first windows of the list."""
        return Result({"pressure-volume index": max(abs(index(self.comm, *window) - 1) for window in WINDOWS[:level])})


def index(comm: MPI.Comm, span: Sequence[str], interspace: str) -> float:
    """Index that a bolus into the whole shows, over that of the case."""
    model, parameters = patch_of(comm, span, interspace)
    newton, csf = model.newton, parameters.csf
    to_baseline(model)
    newton.compartments["cranial"] = ClosedCompartment(newton.compartments["cranial"], ML / model.copies / BOLUS_TIME)
    model.poro.step.value = BOLUS_TIME
    newton.solve(model.tolerances)
    risen = (newton.pressure["cranial"] - csf.reference_pressure) / (csf.baseline_pressure - csf.reference_pressure)
    return ML / log10(risen) / csf.pvi

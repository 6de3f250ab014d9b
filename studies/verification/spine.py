"""The patient's model as problems pose it: short spans, made from case files like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from fem.arrays import Array
from fem.body import modelled_domain
from fem.domain import Domain
from fem.parameters import PatchParameters, SolverControl
from fem.patch import PatchModel
from fem.poro import QUADRATURE_DEGREE
from fem.setup import Setup
from geometry import SpineMesh
from studies.case import Case
from studies.inputs import patch_parameters
from studies.reading import validate_case
from studies.resolve import resolve
from studies.solver import mesh_of

ML = 1e-6

LUMBAR = (("L2", "L4"), "L3/L4")
"""Span and interspace of the cheapest window: below the cord, with root sleeves, cut at both ends."""

SHORTEST = (("L3", "L4"), "L3/L4")
"""The same with one segment less, for problems that solve the whole canal several times."""

THORACIC = (("T8", "T10"), "T9/T10")
"""A window with a cord and its ligaments."""

TIGHT = SolverControl(force_tolerance=1e-9, volume_tolerance=1e-10)
"""Near round-off, where solutions are compared and not stopping points."""


def case_of(span: Sequence[str], interspace: str, **injection: Any) -> Case:
    """Resolved case: 1 mL of blood at an interspace, unless the injection's keys say otherwise."""
    step = {"level": interspace, "volume": "1 mL"} | injection
    return resolve(validate_case({"anatomy": {"span": list(span)}, "injection": [step]}))


def spine_and_parameters(case: Case, solver: SolverControl | None = None) -> tuple[SpineMesh, PatchParameters]:
    """Mesh and parameters of a case, with a solver control of its own."""
    parameters = patch_parameters(case)
    return mesh_of(case), parameters if solver is None else replace(parameters, solver=solver)


def patch_of(
    comm: MPI.Comm, span: Sequence[str], interspace: str, solver: SolverControl | None = None, **injection: Any
) -> tuple[PatchModel, PatchParameters]:
    """Model at its baseline, and its parameters."""
    spine, parameters = spine_and_parameters(case_of(span, interspace, **injection), solver)
    return PatchModel(comm, spine, parameters), parameters


def to_baseline(model: PatchModel) -> None:
    """Set state, beginning of the step and compartments to the baseline."""
    poro, newton = model.poro, model.newton
    poro.state.x.array[:] = poro.previous.x.array[:] = model.baseline
    for name in newton.compartments:
        newton.pressure[name] = newton.start[name] = model.baseline_pressure["s"]


class MovedPatch(PatchModel):
    """The same body elsewhere and turned: mesh, fibre directions and axis move, weights and radii belong to the body.

    Cuts are held in every direction, since a plane that is not normal to a coordinate is no condition of the model.

    Attributes:
        rotation: proper, shape (3, 3).
        translation: [m], shape (3,).
    """

    def __init__(
        self, comm: MPI.Comm, spine: SpineMesh, parameters: PatchParameters, rotation: Array, translation: Array
    ) -> None:
        self.rotation, self.translation = rotation, translation
        super().__init__(comm, spine, parameters, symmetry=False)

    def _domain(self, half: Array | None) -> Domain:
        return modelled_domain(self.comm, self.spine.transformed(self.rotation, self.translation), half)

    def _setup(self) -> Setup:
        setup, turn = super()._setup(), ufl.as_matrix(self.rotation.tolist())
        regions = [
            replace(region, fibres=tuple((law, ufl.dot(turn, along), weight) for law, along, weight in region.fibres))
            for region in setup.regions
        ]
        fixed = [replace(condition, component=None) for condition in setup.fixed]
        return replace(
            setup, regions=regions, fixed=fixed, axis=self._turned(setup.axis), anterior=self._turned(setup.anterior)
        )

    def _turned(self, vector: Sequence[float]) -> tuple[float, float, float]:
        x, y, z = (float(part) for part in self.rotation @ np.array(vector))
        return x, y, z


def cell_means(model: PatchModel) -> dict[str, Array]:
    """Deformed volume, displacement and pressures of every cell, in the order of the spine's mesh, on every rank.

    Returns:
        ``volume`` [m^3] and each pressure [Pa], shape (cells,), ``u`` [m], shape (cells, 3).
    """
    poro, mesh = model.poro, model.domain.mesh
    dx = ufl.Measure("dx", domain=mesh, metadata={"quadrature_degree": QUADRATURE_DEGREE})
    test = ufl.TestFunction(fem.functionspace(mesh, ("DG", 0)))
    u, pressures = poro.split(poro.state)
    one = fem.Constant(mesh, 1.0)
    parts = {"size": one, "volume": poro.setup.kinematics.volume_ratio(u), **pressures}
    parts |= {f"u{k}": u[k] for k in range(3)}
    owned = model.domain.owned_cells
    order = np.argsort(np.concatenate(model.comm.allgather(model.domain.original_cell[:owned])))

    def gathered(part: Any) -> Array:
        local = fem.assemble_vector(fem.form(part * test * dx)).array[:owned]
        whole: Array = np.concatenate(model.comm.allgather(local))[order]
        return whole

    found = {name: gathered(part) for name, part in parts.items()}
    means = {name: value / found["size"] for name, value in found.items() if name not in ("size", "volume")}
    return {
        "volume": found["volume"],
        "u": np.stack([means[f"u{k}"] for k in range(3)], axis=1),
        **{name: means[name] for name in pressures},
    }

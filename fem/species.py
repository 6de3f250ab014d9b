"""Injected species carried by the pore flow: conservative, positive, consistent with the step's own fluxes.

The stiffness matrix of the converged step gives antisymmetric fluxes between vertices, f_ij = -K_ij (p_i - p_j),
whose sums
are the step's own mass balance. Implicit upwinding on them is an M-matrix: contents stay positive whatever the step,
and
their sum changes only by what is put in and what leaves. No second flux has to be reconstructed.
Source of upwinding on the edges of a P1 matrix: Kuzmin & Turek 2002 J Comput Phys 175:525, doi:10.1006/jcph.2001.6955.

The epidural pore space has some ten thousand vertices, so every rank solves the whole small system: the result does not
depend on the number of ranks beyond the solver's own round-off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg as splinalg
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc

from fem import compat
from fem.arrays import Array
from fem.forms import compile_form
from fem.poro import Exchange, PoroModel, Region

POROSITY_FLOOR = 0.01
"""Least fluid content per reference volume that a vertex is taken to hold when it carries species [1]."""


class SpeciesTransport:
    """Contents of the species in the pore space of one region.

    Contents are vertex integrals [m^3], replicated on every rank and ordered by the active vertices of the region.

    Attributes:
        volume: reference volume of each active vertex [m^3], shape (vertices,).
        names: species, in the order of the rows of ``content``.
        content: mobile fluid of each species at each vertex [m^3], shape (species, vertices).
    """

    def __init__(self, model: PoroModel, region: Region, mobile_fraction: float, names: Sequence[str]) -> None:
        self.model, self.region = model, region
        self.names = tuple(names)
        self.mobile_fraction = mobile_fraction
        self.space, mixed = model.collapsed[region.pressure]
        self._mixed = np.asarray(mixed)
        size = self.space.dofmap.index_map
        self._local, self._global = size.size_local, size.size_global
        u, pressures = model.split(model.state)
        p = pressures[region.pressure]
        trial, test = ufl.TrialFunction(self.space), ufl.TestFunction(self.space)
        dx = model.dx(region)
        carrier = model.split(model.previous)[0] if model.setup.lagged_transport else u
        tensor = model.mobility_tensor(region, carrier)
        self._stiffness = compile_form(ufl.inner(ufl.dot(tensor, ufl.grad(trial)), ufl.grad(test)) * dx)
        self._fluid = compile_form(
            (model.content(region, u, p) + fem.Constant(model.domain.mesh, mobile_fraction)) * test * dx
        )
        self._matrix = fem_petsc.create_matrix(self._stiffness)
        self._vector = compat.create_vector(self._fluid)
        self.volume_all = self._gather(self._assembled(compile_form(fem.Constant(model.domain.mesh, 1.0) * test * dx)))
        self.active = np.flatnonzero(self.volume_all > 0)
        self.volume = self.volume_all[self.active]
        self._density = fem.Function(self.space)
        self._source = compile_form(self._density * test * dx)
        self._outflows = {
            exchange.name: compile_form(self._outflow(exchange, p, test))
            for exchange in model.setup.exchanges
            if exchange.pressure == region.pressure
        }
        self.content: Array = np.zeros((len(self.names), len(self.active)))

    def _outflow(self, exchange: Exchange, p: Any, test: Any) -> Any:
        return self.model.outflow(exchange, p) * test * self.model.ds(exchange.surfaces)

    def _assembled(self, form: Any) -> Array:
        with self._vector.localForm() as local:
            local.set(0.0)
        fem_petsc.assemble_vector(self._vector, form)
        self._vector.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        return self._vector.array.copy()

    def _gather(self, owned: Array) -> Array:
        return np.concatenate(self.model.comm.allgather(np.ascontiguousarray(owned)))

    def pressure(self) -> Array:
        """Pore pressure at the active vertices [Pa]."""
        owned = self.model.state.x.array[self._mixed[: self._local]]
        return self._gather(owned)[self.active]

    def vertex_integrals(self, density: Array) -> Array:
        """Integrals of a P1 density (values at the local degrees of freedom) against each active vertex."""
        self._density.x.array[:] = density
        return self._gather(self._assembled(self._source))[self.active]

    def _edges(self) -> sparse.csr_matrix:
        self._matrix.zeroEntries()
        fem_petsc.assemble_matrix(self._matrix, self._stiffness)
        self._matrix.assemble()
        pointers, columns, values = self._matrix.getValuesCSR()
        parts = self.model.comm.allgather((np.diff(pointers), columns, values))
        counts = np.concatenate([part[0] for part in parts])
        pointer = np.concatenate([[0], np.cumsum(counts)])
        columns = np.concatenate([part[1] for part in parts])
        values = np.concatenate([part[2] for part in parts])
        whole = sparse.csr_matrix((values, columns, pointer), shape=(self._global, self._global))
        return whole[self.active][:, self.active]

    def fluid(self) -> Array:
        """Mobile fluid at the active vertices [m^3], all species and the patient's own."""
        return self._gather(self._assembled(self._fluid))[self.active]

    def outflow_rates(self) -> dict[str, Array]:
        """Outflow of each exchange at the active vertices [m^3/s]."""
        return {name: self._gather(self._assembled(form))[self.active] for name, form in self._outflows.items()}

    def advance(self, step: float, supply: Mapping[str, Array]) -> dict[str, Array]:
        """Carry the species through one converged step.

        Args:
            step: its length [s].
            supply: rate at which each species is put in at the active vertices [m^3/s].

        Returns:
            Volume of each species that left through each exchange during the step [m^3], shape (species,).
        """
        outflow = self.outflow_rates()
        leaving = np.maximum(sum(outflow.values(), np.zeros(len(self.active))), 0.0)
        gained = np.zeros_like(self.content)
        for species, rate in supply.items():
            gained[self.names.index(species)] += step * rate
        if not (self.content.any() or gained.any()):
            return {name: np.zeros(len(self.names)) for name in outflow}
        edges = self._edges().tocoo()
        p = self.pressure()
        flow = -edges.data * (p[edges.row] - p[edges.col])
        forward = flow > 0
        row, column, rate = edges.row[forward], edges.col[forward], step * flow[forward]
        count = len(self.active)
        fluid = np.maximum(self.fluid(), POROSITY_FLOOR * self.volume)
        diagonal = fluid + step * leaving + np.bincount(row, weights=rate, minlength=count)
        matrix = sparse.csc_matrix(
            (
                np.concatenate([diagonal, -rate]),
                (
                    np.concatenate([np.arange(count), column]),
                    np.concatenate([np.arange(count), row]),
                ),
            ),
            shape=(count, count),
        )
        share = splinalg.splu(matrix).solve((self.content + gained).T).T
        share = np.maximum(share, 0.0)  # round-off of the factorisation, at most 1e-16 of a vertex
        self.content = share * fluid
        return {name: step * share @ np.maximum(rates, 0.0) for name, rates in outflow.items()}

    def shares(self) -> Array:
        """Share of each species in the mobile fluid at the active vertices [1], shape (species, vertices)."""
        return self.content / np.maximum(self.fluid(), POROSITY_FLOOR * self.volume)

    def to_function(self, values: Array, function: Any) -> None:
        """Write values at the active vertices into a P1 function of :attr:`space`; elsewhere it is left alone."""
        whole = np.zeros(self._global)
        whole[self.active] = values
        present = np.zeros(self._global, dtype=bool)
        present[self.active] = True
        numbering = self.space.dofmap.index_map.local_to_global(
            np.arange(self._local + self.space.dofmap.index_map.num_ghosts, dtype=np.int32)
        )
        array = function.x.array
        array[:] = np.where(present[numbering], whole[numbering], array)

"""Injected species carried by the pore flow: conservative, positive, consistent with the step's own fluxes.

The stiffness matrix of the converged step gives antisymmetric fluxes between vertices, f_ij = -K_ij (p_i - p_j), whose
sums are the step's own mass balance, so that no second flux has to be reconstructed. What they carry is in
:mod:`fem.advection`; contents stay positive whatever the step, and their sum changes only by what is put in and what
leaves. Fluxes on the edges of a P1 matrix: Kuzmin & Turek 2002 J Comput Phys 175:525, doi:10.1006/jcph.2001.6955.

The epidural pore space has some ten thousand vertices, so every rank solves the whole small system: the result does not
depend on the number of ranks beyond the solver's own round-off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sparse
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc

from fem import advection, compat
from fem.arrays import Array
from fem.forms import compile_form
from fem.poro import PoroModel
from fem.setup import Exchange, Leak, Region

POROSITY_FLOOR = 0.01
"""Least fluid content per reference volume that a vertex is taken to hold when it carries species [1]."""


class SpeciesTransport:
    """Carries contents through the pore space of one region.

    Contents are vertex integrals [m^3], replicated on every rank and ordered by the active vertices of the region.

    Attributes:
        volume: reference volume of each active vertex [m^3], shape (vertices,).
    """

    def __init__(self, model: PoroModel, region: Region, mobile_fraction: float) -> None:
        self.model, self.region = model, region
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

        def fluid(u: Any, pressures: Mapping[str, Any]) -> Any:
            content = model.content(region, u, pressures[region.pressure])
            return compile_form((content + fem.Constant(model.domain.mesh, mobile_fraction)) * test * dx)

        self._fluid, self._fluid_before = fluid(u, pressures), fluid(*model.split(model.previous))
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
        leaks = [leak for leak in model.setup.leaks if leak.target == region.pressure]
        self._leaks = {leak.name: self._leak_forms(leak, pressures, test) for leak in leaks}
        self._mask = fem.Function(fem.functionspace(model.domain.mesh, ("DG", 0)))
        names = sorted({name for leak in leaks for name in leak.surfaces})
        self._masked = {name: compile_form(self._mask * test * model.ds(name)) for name in names}

    def _leak_forms(self, leak: Leak, pressures: Mapping[str, Any], test: Any) -> tuple[Any, Any]:
        """Flow into the region, and back out of it."""
        flux, ds = self.model.leak_flux(leak, pressures), self.model.ds(leak.surfaces)
        return compile_form(ufl.max_value(flux, 0.0) * test * ds), compile_form(ufl.max_value(-flux, 0.0) * test * ds)

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

    def vertices(self) -> Array:
        """Coordinates of the active vertices [m], shape (vertices, 3)."""
        return self._gather(self.space.tabulate_dof_coordinates()[: self._local])[self.active]

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

    def swelling(self) -> Array:
        """Fluid that each active vertex gained in the step per reference volume [1]: how much further it is open."""
        before = self._gather(self._assembled(self._fluid_before))[self.active]
        gained: Array = (self.fluid() - before) / self.volume
        return gained

    def outflow_rates(self) -> dict[str, Array]:
        """Outflow of each exchange at the active vertices [m^3/s]."""
        return {name: self._gather(self._assembled(form))[self.active] for name, form in self._outflows.items()}

    def leak_rates(self) -> tuple[Array, Array]:
        """Flow from the sac through all leaks, and back into it, at the active vertices [m^3/s]."""
        nothing = np.zeros(len(self.active))
        parts = [[self._gather(self._assembled(form))[self.active] for form in pair] for pair in self._leaks.values()]
        return sum((pair[0] for pair in parts), nothing), sum((pair[1] for pair in parts), nothing)

    def surface_integrals(self, mask: Array, surface: str | None = None) -> Array:
        """Integrals over a surface that can leak, or over all, weighted per cell, at the active vertices [m^2]."""
        self._mask.x.array[:] = mask
        forms = self._masked.values() if surface is None else [self._masked[surface]]
        parts = [self._gather(self._assembled(form))[self.active] for form in forms]
        return sum(parts, np.zeros(len(self.active)))

    def carry(
        self, step: float, content: Array, gained: Array, outflow: Mapping[str, Array], immobile: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Carry contents through one converged step.

        Args:
            step: its length [s].
            content: before the step [m^3], shape (species, vertices).
            gained: what is put in during it, evenly [m^3], same shape.
            outflow: by name, rate at which fluid of the vertices' composition leaves [m^3/s], shape (vertices,).
            immobile: fluid that stays where it is [m^3], shape (vertices,).

        Returns:
            Contents after the step, and the volume of each species that left by each name [m^3], shape (species,).
        """
        if not (content.any() or gained.any()):
            return content, {name: np.zeros(len(content)) for name in outflow}
        leaving = {name: step * np.maximum(rates, 0.0) for name, rates in outflow.items()}
        out = sum(leaving.values(), np.zeros(len(self.active)))
        flow = advection.Flow.between(self._edges(), self.pressure(), step, out)
        before, after = self._mobile(self._fluid_before, immobile), self.mobile(immobile)
        parts = flow.parts(content + gained, after)
        content, shares = advection.carry(content, gained, (before, after), flow, parts)
        return content, {name: shares @ volume for name, volume in leaving.items()}

    def mobile(self, immobile: Array) -> Array:
        """Fluid that can move at the active vertices [m^3], all species and the patient's own."""
        return self._mobile(self._fluid, immobile)

    def _mobile(self, fluid: Any, immobile: Array) -> Array:
        whole = self._gather(self._assembled(fluid))[self.active]
        return np.maximum(whole - immobile, POROSITY_FLOOR * self.volume)

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

"""Two-pressure poroelasticity on any tagged mesh, composed of regions, membranes, exchanges, links and sources.

Total Lagrangian, incompressible constituents (Biot coefficient 1 by default), backward Euler. Unknowns are the
displacement (P2) and any number of named pore pressures (P1), each living on some of the regions, so that a pressure
may jump across a surface between regions. Momentum: Div(P_eff - b p J F^-T) = 0. Mass:
d/dt[b (J - 1) + S(p)] + Div Q = s, Q = -m(J) J F^-1 F^-T Grad p.
Source: Coussy 2004, Poromechanics, ch. 3 (kinematics and balance laws).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from dolfinx.la import InsertMode
from petsc4py import PETSc

from fem.arrays import Array
from fem.bending import bending_matrices
from fem.domain import Domain
from fem.errors import ModelError
from fem.forms import assemble_into, compile_form, integrate, with_constants
from fem.laws.exchange import AffineOutflow
from fem.laws.fibres import Surface
from fem.ranks import joined
from fem.setup import Exchange, Leak, Link, Region, Setup
from fem.support import NODES, Wall

QUADRATURE_DEGREE = 3
"""Exact for J, which is cubic in the gradient of a P2 displacement: deformed volumes carry no error of integration."""

STRESS_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2))
"""Components of a symmetric tensor in the order of VTK."""


class PoroModel:
    """The discrete problem: spaces, state, compiled residual and Jacobian.

    Attributes:
        state: mixed function (u, pressures) at the end of the step.
        previous: the same at its beginning.
        step: length of the step [s].
        supply: fluid put in per reference volume and time [1/s] for each pressure, P1 functions, 0 by default.
        collapsed: P1 space of each pressure and the map of its degrees of freedom into the mixed space.
        outside: pressure of each compartment [Pa].
        reference: reference pressure of storage and exchange [Pa] by pressure name.
        balance: nodal forces that are taken off the residual times ``balance_scale``, a PETSc vector; None for none.
        supports: walls that the body slides along, each with its shape.
        fluidity: factor on the mobility, and on viscous outflow, for the fluid of each pressure, P1 functions, 1 by
            default.
        fixed_dofs: local degrees of freedom that are held.
        bending: matrix of the sheets that bend, and ``free_bending`` the same without what is held; None without one.
            The compiled forms ``residual`` and ``jacobian`` have no part in it; what assembles them has.
    """

    def __init__(self, domain: Domain, setup: Setup) -> None:
        self.domain, self.setup, self.comm = domain, setup, domain.comm
        mesh = domain.mesh
        cell = mesh.basix_cell()
        self.pressures = tuple(dict.fromkeys(region.pressure for region in setup.regions))
        dim = mesh.geometry.dim
        vector = basix.ufl.element("Lagrange", cell, 2, shape=(dim,))
        scalar = basix.ufl.element("Lagrange", cell, 1)
        self.space = fem.functionspace(mesh, basix.ufl.mixed_element([vector] + [scalar] * len(self.pressures)))
        self.collapsed = {name: self.space.sub(1 + index).collapse() for index, name in enumerate(self.pressures)}
        self.vector_space, self._u_map = self.space.sub(0).collapse()
        self.state, self.previous = fem.Function(self.space), fem.Function(self.space)
        self.balance: Any = None
        self.balance_scale = 1.0
        self.fluidity = {name: fem.Function(self.collapsed[name][0]) for name in self.pressures}
        for function in self.fluidity.values():
            function.x.array[:] = 1.0
        self.supply = {name: fem.Function(self.collapsed[name][0]) for name in self.pressures}
        self.step = fem.Constant(mesh, 1.0)
        self.outside = {link.compartment: fem.Constant(mesh, 0.0) for link in setup.links}
        self.reference = {
            name: fem.Constant(mesh, float(setup.reference_pressure.get(name, 0.0))) for name in self.pressures
        }
        self.area = {
            name: integrate(compile_form(fem.Constant(mesh, 1.0) * self.ds(name)), self.comm)
            for name in _surfaces(setup)
        }
        self.regions = [with_constants(mesh, region) for region in setup.regions]
        self._spread = self._inverse_areas()
        self._exchange_laws = {part.name: with_constants(mesh, part.law) for part in setup.exchanges}
        self._leak_laws = {leak.name: with_constants(mesh, leak.law) for leak in setup.leaks}
        mirrors = [(held.surfaces, held.component) for held in setup.fixed if held.component is not None]
        self.supports = [
            (with_constants(mesh, support), Wall.of(domain, support.surfaces, mirrors, setup.kinematics.linear))
            for support in setup.supports
        ]
        self._axis = fem.Constant(mesh, setup.axis) if dim == 3 else None
        self._tie = fem.Constant(mesh, setup.anterior) if dim == 3 else None
        self.dofs = self._sub_dofs()
        self.fixed_dofs = self._fixed_dofs()
        self._check()
        self.residual_ufl = self._residual()
        self.residual = compile_form(self.residual_ufl)
        self.jacobian = compile_form(ufl.derivative(self.residual_ufl, self.state))
        self.bending, self.free_bending = self._bending()
        self._added = self.free_bending  # to a Jacobian, in the form that it is kept in
        if self._added is not None and setup.lagged_transport:
            self._added = _upper_half(self._added)
        self.coupling = {link.compartment: compile_form(self._coupling(link)) for link in setup.links}

    # -- pieces of the weak form -------------------------------------------------------------------------------------

    def split(self, mixed: Any) -> tuple[Any, dict[str, Any]]:
        """Displacement and named pressures of a mixed function or argument, as UFL expressions."""
        u, *pressures = ufl.split(mixed)
        return u, dict(zip(self.pressures, pressures, strict=True))

    def dx(self, region: Region) -> Any:
        """Measure of a region at the quadrature degree of the model."""
        return self.domain.dx(region.tag, metadata={"quadrature_degree": QUADRATURE_DEGREE})

    def content(self, region: Region, u: Any, p: Any) -> Any:
        """Fluid content per reference volume, b (J - 1) + S(p - reference)."""
        kinematics = self.setup.kinematics
        stored = region.storage.content(p - self.reference[region.pressure])
        return region.biot * (kinematics.volume_ratio(u) - 1) + stored

    def mobility_tensor(self, region: Region, u: Any) -> Any:
        """Mobility pulled back to the reference [m^2/(Pa s)]."""
        kinematics = self.setup.kinematics
        value = region.mobility.value(kinematics.volume_ratio(u))
        return self.fluidity[region.pressure] * value * kinematics.pulled_back_mobility(u)

    def stress_work(self, region: Region, u: Any, p: Any, virtual: Any) -> Any:
        """Virtual work per reference volume [Pa] of skeleton, pore pressure and fibres for a virtual gradient."""
        kinematics = self.setup.kinematics
        gradient = kinematics.gradient(u)
        stress = self.skeleton_stress(region, gradient) - region.biot * p * kinematics.cofactor(u)
        work = ufl.inner(stress, virtual)
        for law, direction, weight in region.fibres:
            work += weight * law.virtual_work(gradient, virtual, direction, kinematics.linear)
        return work

    def kirchhoff_stress(self, region: Region, u: Any, p: Any) -> Any:
        """Total Kirchhoff stress J sigma [Pa], a vector of xx, yy, zz, xy, yz, xz; in the linear mode sigma.

        Its component ij is the work of the virtual gradient (e_i e_j) F: P : (e_i e_j F) = (P F^T)_ij.
        """
        kinematics = self.setup.kinematics
        carried = ufl.Identity(3) if kinematics.linear else kinematics.gradient(u)
        units = [ufl.as_vector([1.0 if i == k else 0.0 for i in range(3)]) for k in range(3)]
        return ufl.as_vector(
            [self.stress_work(region, u, p, ufl.dot(ufl.outer(units[i], units[j]), carried)) for i, j in STRESS_PAIRS]
        )

    def momentum(self, u: Any, pressures: Mapping[str, Any], v: Any) -> Any:
        """Virtual work of skeletons, pore pressures, fibres and membranes."""
        kinematics, setup = self.setup.kinematics, self.setup
        gradient = kinematics.gradient(u)
        form = 0
        for region in self.regions:
            name = region.pressure
            form += self.stress_work(region, u, pressures[name], ufl.grad(v)) * self.dx(region)
            if region.gradient_stiffness is not None:
                curved = ufl.inner(ufl.grad(ufl.grad(u)), ufl.grad(ufl.grad(v)))  # constant in a straight cell
                inside = self.domain.dx(region.tag, metadata={"quadrature_degree": 0})
                form += region.gradient_stiffness * curved * inside
            if name in setup.columns:
                form -= self._hydrostatic(region, u, v) * self.dx(region)
        for membrane in setup.membranes:
            surface = Surface(
                gradient,
                ufl.grad(v),
                ufl.FacetNormal(self.domain.mesh),
                self._axis,
                kinematics.linear,
                membrane.tension,
                self._tie,
            )
            sheet = with_constants(self.domain.mesh, membrane.law)
            form += sheet.virtual_work(surface) * self.ds(membrane.surface)
        for support, wall in self.supports:
            work = support.stiffness * wall.gap(u) * wall.gap_change(u, v)
            form += work * self.domain.measure(support.surfaces)(metadata=NODES)
        return form

    def place(self, u: Any) -> Any:
        """Current position; the reference one where strains are infinitesimal."""
        x = ufl.SpatialCoordinate(self.domain.mesh)
        return x if self.setup.kinematics.linear else x + u

    def head(self, name: str, u: Any) -> Any:
        """Head of a pressure's column [Pa], zero without one."""
        column = self.setup.columns.get(name)
        return 0.0 if column is None else column.head(self.place(u))

    def _hydrostatic(self, region: Region, u: Any, v: Any) -> Any:
        """Virtual work of a column's pressure and of its weight: nothing but the head on the region's boundary."""
        kinematics, column, x = self.setup.kinematics, self.setup.columns[region.pressure], self.place(u)
        volume = 1.0 if kinematics.linear else kinematics.volume_ratio(u)
        work = column.head(x) * ufl.inner(kinematics.cofactor(u), ufl.grad(v))
        return work + volume * ufl.inner(column.gradient(x), v)

    def skeleton_stress(self, region: Region, gradient: Any) -> Any:
        """First Piola-Kirchhoff stress of a skeleton whose state of rest may have swollen or shrunk.

        With the energy W(F rest^(-1/3)) per volume at rest the stress is rest^(2/3) P(F rest^(-1/3)).
        """
        if region.rest is None:
            return region.solid.stress(gradient)
        stretch = region.rest ** (1 / 3)
        return stretch * stretch * region.solid.stress(gradient / stretch)

    def leak_drop(self, leak: Leak, pressures: Mapping[str, Any]) -> Any:
        """Pressure on the source's side of a leak above the target's [Pa], columns at the reference included."""
        x = ufl.SpatialCoordinate(self.domain.mesh)
        drop = pressures[leak.source] - pressures[leak.target]
        for name, sign in ((leak.source, 1), (leak.target, -1)):
            if name in self.setup.columns:
                drop += sign * self.setup.columns[name].head(x)
        return drop

    def leak_flux(self, leak: Leak, pressures: Mapping[str, Any]) -> Any:
        """Flow per reference area [m/s] from the source's to the target's side of a leak."""
        return self._leak_laws[leak.name].flux(self.leak_drop(leak, pressures))

    def ds(self, names: Any) -> Any:
        """Measure of named surfaces at the quadrature degree of the model."""
        return self.domain.measure(names)(metadata={"quadrature_degree": QUADRATURE_DEGREE})

    def outflow(self, exchange: Exchange, p: Any) -> Any:
        """Outflow per reference area [m/s] of an exchange."""
        rate = self._exchange_laws[exchange.name].rate(p - self.reference[exchange.pressure])
        return (self.fluidity[exchange.pressure] * rate if exchange.viscous else rate) * self._spread

    def _residual(self) -> Any:
        setup, dt = self.setup, self.step
        u, p = self.split(self.state)
        u_old, p_old = self.split(self.previous)
        v, tests = self.split(ufl.TestFunction(self.space))
        q = {name: -test for name, test in tests.items()}  # this sign makes momentum and mass each other's transpose
        u_transport = u_old if setup.lagged_transport else u
        form = self.momentum(u, p, v)
        for region in self.regions:
            name = region.pressure
            gain = self.content(region, u, p[name]) - self.content(region, u_old, p_old[name])
            form += gain * q[name] * self.dx(region)
            flux = ufl.dot(self.mobility_tensor(region, u_transport), ufl.grad(p[name]))
            form += dt * ufl.inner(flux, ufl.grad(q[name])) * self.dx(region)
            form -= dt * self.supply[name] * q[name] * self.dx(region)
        for exchange in setup.exchanges:
            name = exchange.pressure
            form += dt * self.outflow(exchange, p[name]) * q[name] * self.ds(exchange.surfaces)
        for leak in setup.leaks:
            flow = self.leak_flux(leak, p)
            form += dt * flow * (q[leak.source] - q[leak.target]) * self.ds(leak.surfaces)
            if leak.uptake is not None:
                form += dt * leak.uptake * q[leak.target] * self.ds(leak.surfaces)
        for link in setup.links:
            per_area = fem.Constant(self.domain.mesh, link.conductance / self.area[link.surface])
            drop = p[link.pressure] - self.outside[link.compartment]
            form += dt * per_area * drop * q[link.pressure] * self.ds(link.surface)
        if setup.loads is not None:
            form -= setup.loads(v, q, dt, self)
        return form

    def _bending(self) -> tuple[Any, Any]:
        sheets = self.setup.sheets
        if not sheets:
            return None, None
        nodes = self.vector_space.dofmap.list
        return bending_matrices(self.space, nodes, self.dofs["u"], self.fixed_dofs, self.domain, sheets)

    def create_matrix(self) -> Any:
        """PETSc matrix with room for the Jacobian: nodes see each other through cells, and across edges of sheets.

        A symmetric one keeps its upper half: finding the places of its entries is most of the time of assembly.
        """
        matrix = fem_petsc.create_matrix(self.jacobian)
        fem_petsc.assemble_matrix(matrix, self.jacobian)  # places without an entry are given up
        matrix.assemble()
        if self.free_bending is not None:
            matrix.axpy(1.0, self.free_bending, PETSc.Mat.Structure.DIFFERENT_NONZERO_PATTERN)
        if not self.setup.lagged_transport:
            return matrix
        half = _upper_half(matrix)
        half.setLGMap(*matrix.getLGMap())
        half.setOption(PETSc.Mat.Option.IGNORE_LOWER_TRIANGULAR, True)
        matrix.destroy()
        return half

    def assemble_jacobian(self, matrix: Any, conditions: Any) -> None:
        """Assemble the Jacobian at the present state, with ones on the diagonal where it is held."""
        matrix.zeroEntries()
        fem_petsc.assemble_matrix(matrix, self.jacobian, bcs=conditions)
        matrix.assemble()
        if self._added is not None:
            matrix.axpy(1.0, self._added, PETSc.Mat.Structure.SUBSET_NONZERO_PATTERN)

    def assemble_residual(self, vector: Any) -> None:
        """Assemble out-of-balance forces and volumes of the present state, those held included."""
        assemble_into(vector, self.residual)
        if self.bending is not None:
            self.bending.multAdd(self.state.x.petsc_vec, vector, vector)

    def _coupling(self, link: Link) -> Any:
        _, q = self.split(ufl.TestFunction(self.space))
        per_area = fem.Constant(self.domain.mesh, link.conductance / self.area[link.surface])
        return per_area * q[link.pressure] * self.ds(link.surface)

    def set_outflow(self, exchange: str, conductance: float, source: float) -> None:
        """Give an exchange with an affine law its conductance [m^3/(Pa s)] and its source [m^3/s]."""
        law = self._exchange_laws[exchange]
        assert isinstance(law, AffineOutflow)
        law.conductance.value, law.source.value = conductance, source

    def mean_over(self, exchange: str) -> Any:
        """Compiled linear form that takes the mean of its pressure over an exchange's surface, one surface alone."""
        part = next(part for part in self.setup.exchanges if part.name == exchange)
        _, q = self.split(ufl.TestFunction(self.space))
        return compile_form(self._spread * q[part.pressure] * self.ds(part.surfaces))

    def _inverse_areas(self) -> Any:
        """One over the reference area of the exchange surface that a cell touches (at most one)."""
        spread = fem.Function(fem.functionspace(self.domain.mesh, ("DG", 0)))
        for exchange in self.setup.exchanges:
            for name in exchange.surfaces:
                spread.x.array[self.domain.surfaces[name][:, 0]] = 1.0 / self.area[name]
        spread.x.scatter_forward()
        return spread

    # -- degrees of freedom ------------------------------------------------------------------------------------------

    def _sub_dofs(self) -> dict[str, Array]:
        """Local degrees of freedom (ghosts included) of ``u`` and of each pressure in the mixed space."""
        found = {"u": np.asarray(self._u_map)}
        return found | {name: np.asarray(dofs) for name, (_, dofs) in self.collapsed.items()}

    def _fixed_dofs(self) -> Array:
        domain, setup = self.domain, self.setup
        fdim = domain.mesh.topology.dim - 1
        marked = fem.Function(self.space)
        array = marked.x.array
        for condition in setup.fixed:
            sub = self.space.sub(0) if condition.component is None else self.space.sub(0).sub(condition.component)
            array[fem.locate_dofs_topological(sub, fdim, domain.facet_indices(condition.surfaces))] = 1.0
        for held in setup.drained:
            sub = self.space.sub(1 + self.pressures.index(held.pressure))
            array[fem.locate_dofs_topological(sub, fdim, domain.facet_indices(held.surfaces))] = 1.0
        active = fem.Function(self.space)
        for name in self.pressures:
            tags = [region.tag for region in setup.regions if region.pressure == name]
            cells = np.flatnonzero(np.isin(domain.region[: domain.owned_cells], tags))
            collapsed, dofs = self.collapsed[name]
            active.x.array[np.asarray(dofs)[collapsed.dofmap.list[cells]]] = 1.0
        for function in (marked, active):
            function.x.scatter_reverse(InsertMode.add)
            function.x.scatter_forward()
        held_dofs = array > 0
        for name in self.pressures:
            held_dofs[self.dofs[name]] |= active.x.array[self.dofs[name]] == 0
        return np.flatnonzero(held_dofs).astype(np.int32)

    @property
    def vertices(self) -> int:
        """Number of vertices of the mesh, all ranks'."""
        return int(self.domain.mesh.topology.index_map(0).size_global)

    def owned(self, name: str) -> Array:
        """Degrees of freedom of a field that this rank owns."""
        limit = self.space.dofmap.index_map.size_local * self.space.dofmap.index_map_bs
        return self.dofs[name][self.dofs[name] < limit]

    def _check(self) -> None:
        tags = {region.tag for region in self.setup.regions}
        present = joined(self.comm, np.unique(self.domain.region))
        if present != tags:
            raise ModelError(f"regions {sorted(tags)} are described, the mesh has {sorted(present)}")


def _upper_half(matrix: Any) -> Any:
    """The upper half of a symmetric PETSc matrix, as a matrix of the type that keeps no more."""
    matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
    return matrix.convert("sbaij", PETSc.Mat())


def _surfaces(setup: Setup) -> list[str]:
    names = {name for leak in setup.leaks for name in leak.surfaces} | {link.surface for link in setup.links}
    return sorted(names | {name for exchange in setup.exchanges for name in exchange.surfaces})

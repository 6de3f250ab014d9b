"""Bordered Newton method: one sparse factorisation, and one extra triangular solve per compartment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc

from fem import compat
from fem.arrays import Array
from fem.compartments import Compartment
from fem.continuation import Chain, TwoPort
from fem.errors import ModelError, SolverError, ValidityError
from fem.forms import assemble_into
from fem.parameters import MMHG
from fem.poro import PoroModel

CHORDS = 8
"""Iterations that one factorisation may serve beside its own."""

CHORD_GAIN = 0.75
"""Reduction of the residual by a chord iteration below which another one is tried [1]."""

LINE_SEARCHES = 10
"""Trials of a shorter step before an update is taken as it is."""

FORCE_GAIN = 0.5
"""Share of the out-of-balance force that a full step may leave to be taken without a look at its slope [1]."""

VOLUME_GAIN = 0.1
"""Share of the out-of-balance volume that a full step may leave to be taken whatever the forces [1]."""

SLACK = 0.5
"""Share of the initial slope that the line search leaves, either way [1]."""

SHORTEST = 0.1
"""Share of its bracket that a trial of the line search keeps from either end [1]."""

NEAR = 1.0 * MMHG
"""Change of a compartment's pressure in a step within which a relation that fails is the state's own fault [Pa];
at the smallest steps the state changes by some hundredths of it."""

PATIENCE = 6
"""Iterations in which the residual has to fall by ``PROGRESS`` for the solve to go on."""

PROGRESS = 0.5
"""Share of the smallest residual so far that has to be reached within ``PATIENCE`` iterations [1]."""


@dataclass(frozen=True)
class Tolerances:
    """Absolute tolerances of one solve.

    Attributes:
        force: Euclidean norm of the out-of-balance nodal forces [N].
        volume: sum of the out-of-balance nodal volumes [m^3], compartments included.
        iterations: at most.
        total: volume that the fluid of one pressure is out of balance by as a whole [m^3]. Fluxes between vertices
            cancel in it, so that it can be held far below the round-off of their sum.
    """

    force: float
    volume: float
    iterations: int = 20
    total: float = float("inf")


@dataclass(frozen=True)
class Imbalance:
    """How far a state is from a solution.

    Attributes:
        force: Euclidean norm of the out-of-balance nodal forces [N].
        volume: sum of the absolute out-of-balance nodal volumes and compartments' defects [m^3].
        total: largest absolute sum of one pressure's out-of-balance nodal volumes [m^3].
        defects: of the compartments [m^3], shape (compartments,).
    """

    force: float
    volume: float
    total: float
    defects: Array

    def excess(self, tolerances: Tolerances) -> float:
        """Largest norm over its tolerance; converged at 1 and below."""
        shares = (self.force / tolerances.force, self.volume / tolerances.volume, self.total / tolerances.total)
        return float(np.max(shares))  # undefined where one of them is


class BorderedNewton:
    """Solves a :class:`~fem.poro.PoroModel` together with the compartments that it is linked to.

    The matrix, its pattern, the symbolic factorisation and the coupling vectors are made once and kept.

    Attributes:
        pressure: present pressure of each compartment [Pa].
        start: pressure of each compartment at the beginning of the step [Pa].
        chains: behind cuts of the model, at the beginning of the step.
    """

    def __init__(
        self,
        model: PoroModel,
        compartments: Mapping[str, Compartment] | None = None,
        chains: Sequence[Chain] = (),
    ) -> None:
        self.model, self.chains = model, tuple(chains)
        self.compartments = dict(compartments or {})
        self.pressure = {name: 0.0 for name in self.compartments}
        self.start = dict(self.pressure)
        self._matrix = model.create_matrix()
        self._residual = compat.create_vector(model.residual)
        self._delta = self._residual.duplicate()
        limit = model.space.dofmap.index_map.size_local * model.space.dofmap.index_map_bs
        self._local_size = limit
        self._zero = fem.Function(model.space)
        self.hold(None)
        self._u = model.owned("u")
        self._fluids = [model.owned(name) for name in model.pressures]
        self._cuts = {name: self._vector(form) for name, form in model.coupling.items()}
        self._means = {chain.exchange: self._vector(model.mean_over(chain.exchange)) for chain in self.chains}
        self._columns = {name: vector.duplicate() for name, vector in self._cuts.items()}
        self._solves = {name: vector.duplicate() for name, vector in self._cuts.items()}
        self._ports: list[tuple[Chain, TwoPort]] = []
        self._conductance = {link.compartment: link.conductance for link in model.setup.links}
        self._solver = direct_solver(model.comm, self._matrix, symmetric=model.setup.lagged_transport)

    def hold(self, dofs: Array | None) -> None:
        """Hold further local degrees of freedom at their present value; None releases them."""
        held = self.model.fixed_dofs if dofs is None else np.union1d(self.model.fixed_dofs, dofs)
        self._held = held[held < self._local_size].astype(np.int32)
        self._conditions = [fem.dirichletbc(self._zero, held.astype(np.int32))]

    def _vector(self, form: Any) -> Any:
        """A linear form as a vector, zero where the state is held for good."""
        vector = compat.create_vector(form)
        assemble_into(vector, form)
        vector.array[self._held] = 0.0
        return vector

    def _over_cut(self, vector: Any) -> float:
        owned = self.model.state.x.array[: self._local_size]
        return self.model.comm.allreduce(float(vector.array @ owned), op=MPI.SUM)

    def exchange(self, name: str) -> float:
        """Flow from the model into a compartment at the present state [m^3/s]."""
        return self._over_cut(self._cuts[name]) - self._conductance[name] * self.pressure[name]

    def flow_into(self, name: str) -> float:
        """Flow from the model and from the chains into a compartment at the present state [m^3/s]."""
        return self.exchange(name) + sum(
            port.coupling * self._at_cut(chain) - port.uptake * self._change(chain) + port.release
            for chain, port in self._ports
            if chain.compartment == name
        )

    def _at_cut(self, chain: Chain) -> float:
        """Mean pressure at the cut before a chain, above the reference [Pa]."""
        part = next(part for part in self.model.setup.exchanges if part.name == chain.exchange)
        return self._over_cut(self._means[chain.exchange]) - float(self.model.reference[part.pressure].value)

    def _change(self, chain: Chain) -> float:
        """Change of the pressure in a chain's compartment [Pa]."""
        return self.pressure.get(chain.compartment, chain.outside) - chain.outside

    def _prepare_chains(self) -> None:
        """Take what the chains do in a step into the model and into the columns of their compartments."""
        step = float(self.model.step.value)
        self._ports = [(chain, chain.port(step)) for chain in self.chains]
        for name, cut in self._cuts.items():
            cut.copy(self._columns[name])
        for chain, port in self._ports:
            if chain.compartment in self._columns:
                self._columns[chain.compartment].axpy(port.coupling, self._means[chain.exchange])

    def advance_chains(self) -> None:
        """Take the step in the chains, the model's state being the one at its end."""
        for chain in self.chains:
            outside = chain.outside + self._change(chain)
            chain.advance(float(self.model.step.value), self._at_cut(chain), outside)

    def _defect(self, name: str) -> float:
        part, pressure = self.compartments[name], self.pressure[name]
        gain = part.volume(pressure) - part.volume(self.start[name])
        flow = self.flow_into(name) + part.inflow(pressure)
        return gain - float(self.model.step.value) * flow

    def evaluate(self) -> Imbalance:
        """Assemble the residual of the present state and measure it."""
        model = self.model
        self._prepare_chains()
        for name, value in self.pressure.items():
            model.outside[name].value = value
        for chain, port in self._ports:
            source = port.source + port.coupling * self._change(chain)
            model.set_outflow(chain.exchange, port.conductance, source)
        model.assemble_residual(self._residual)
        if model.balance is not None:
            self._residual.axpy(-model.balance_scale, model.balance)
        array = self._residual.array
        array[self._held] = 0.0
        fluids = [array[dofs] for dofs in self._fluids]
        sums = np.array([np.sum(array[self._u] ** 2), sum(np.abs(part).sum() for part in fluids)])
        sums = model.comm.allreduce(np.concatenate([sums, [part.sum() for part in fluids]]), op=MPI.SUM)
        defects = np.array([self._defect(name) for name in self.compartments])
        volume = float(sums[1] + np.abs(defects).sum())
        return Imbalance(float(np.sqrt(sums[0])), volume, float(np.abs(sums[2:]).max()), defects)

    def nodal_forces(self) -> PETSc.Vec:
        """What would have to hold the present displacement, no balancing force included [N]; zero where it is held."""
        self.model.balance = None
        self.model.assemble_residual(self._residual)
        forces = self._residual.copy()
        keep = np.zeros(self._local_size, dtype=bool)
        keep[self._u] = True
        keep[self._held] = False
        forces.array[~keep] = 0.0
        return forces

    def solve(self, tolerances: Tolerances, factorised: bool = False) -> int:
        """Iterate from the present state to convergence; return the number of factorisations.

        Each factorisation serves one full iteration and as many chord iterations as pay: those cost a twentieth of it.

        Args:
            tolerances: of the solution.
            factorised: whether the latest factorisation is near enough for chord iterations to come first.

        Raises:
            SolverError: no convergence, or the residual stays undefined.
        """
        norms = self.evaluate()
        if factorised:
            norms = self._chords(norms, tolerances)
        course: list[float] = []
        for iteration in range(tolerances.iterations):
            course.append(norms.excess(tolerances))
            if course[-1] <= 1.0:
                return iteration
            if not np.isfinite(course[-1]):
                raise SolverError("the residual is not defined (a cell has turned inside out)")
            if iteration >= PATIENCE and min(course[-PATIENCE:]) > PROGRESS * min(course[:-PATIENCE]):
                raise SolverError(
                    f"Newton's method stalled after {iteration} iterations "
                    f"(force {norms.force:.2e} N, volume {norms.volume:.2e} m^3)"
                )
            self._factorise()
            update, shift = self._direction(norms.defects)
            norms = self._apply(update, shift, norms, norms.force <= tolerances.force)
            norms = self._chords(norms, tolerances)
        if norms.excess(tolerances) <= 1.0:
            return tolerances.iterations
        raise SolverError(
            f"Newton's method did not converge in {tolerances.iterations} iterations "
            f"(force {norms.force:.2e} N of {tolerances.force:.0e}, "
            f"volume {norms.volume:.2e} m^3 of {tolerances.volume:.0e})"
        )

    def _chords(self, norms: Imbalance, tolerances: Tolerances) -> Imbalance:
        """Iterate with the factorisation at hand while each iteration pays."""
        x, size = self.model.state.x, self._local_size
        for _ in range(CHORDS):
            excess = norms.excess(tolerances)
            if not 1.0 < excess < np.inf:
                break
            before, pressures = x.array[:size].copy(), dict(self.pressure)
            update, shift = self._direction(norms.defects)
            x.array[:size] -= update.array
            x.scatter_forward()
            for value, name in zip(shift, self.compartments, strict=True):
                self.pressure[name] -= float(value)
            after = self.evaluate()
            gain = after.excess(tolerances) / excess
            if not gain < 1.0 or after.force > max(norms.force, tolerances.force):
                x.array[:size] = before
                x.scatter_forward()
                self.pressure = pressures
                return self.evaluate()
            norms = after
            if gain > CHORD_GAIN:
                break
        return norms

    def _factorise(self) -> None:
        """Assemble and factorise the Jacobian at the present state, and solve for the compartments' columns."""
        self.model.assemble_jacobian(self._matrix, self._conditions)
        self._solver.setOperators(self._matrix)
        self._solver.setUp()
        for name in self.compartments:
            self._solver.solve(self._columns[name], self._solves[name])

    def _direction(self, defects: Array) -> tuple[Any, Array]:
        """Update of the state and of the compartments' pressures, by bordering."""
        dt, names = float(self.model.step.value), list(self.compartments)
        self._solver.solve(self._residual, self._delta)
        if self._solver.getConvergedReason() < 0:
            raise SolverError("the sparse factorisation failed")
        schur = np.zeros((len(names), len(names)))
        right = defects.copy()
        for i, name in enumerate(names):
            part, pressure = self.compartments[name], self.pressure[name]
            try:
                capacity = part.capacity(pressure)
            except ModelError as error:
                near = abs(pressure - self.start[name]) <= NEAR  # else an iterate far off, which says nothing
                raise (ValidityError if near else SolverError)(str(error)) from error
            schur[i, i] += capacity + dt * (self._conductance[name] - part.inflow_slope(pressure))
            right[i] += dt * self._columns[name].dot(self._delta)
            schur[i, i] += dt * sum(port.uptake for chain, port in self._ports if chain.compartment == name)
            for j, other in enumerate(names):
                schur[i, j] += dt * dt * self._columns[name].dot(self._solves[other])
        shift: Array = np.linalg.solve(schur, right) if names else np.zeros(0)
        for j, name in enumerate(names):
            self._delta.axpy(-dt * shift[j], self._solves[name])
        return self._delta, shift

    def _slope(self, update: Any) -> float:
        """Work of the out-of-balance forces on the update [N m]; it vanishes at the best step length."""
        local = float(self._residual.array[self._u] @ update.array[self._u])
        return self.model.comm.allreduce(local, op=MPI.SUM)

    def _apply(self, update: Any, shift: Array, norms: Imbalance, balanced: bool) -> Imbalance:
        """Take the update, shortened where it overshoots (Matthies & Strang 1979, doi:10.1002/nme.1620141104).

        Tension-only fibres have no stiffness while slack, so that a full step stretches them far beyond the solution. A
        step that restores the balance of volume is taken whole: the forces that it upsets are the next iteration's. So
        is one from balanced forces, whose work is round-off and measures nothing.
        """
        x, size = self.model.state.x, self._local_size
        before, pressures = x.array[:size].copy(), dict(self.pressure)

        def at(factor: float) -> tuple[Imbalance, float]:
            x.array[:size] = before - factor * update.array
            x.scatter_forward()
            for value, name in zip(shift, self.compartments, strict=True):
                self.pressure[name] = pressures[name] - factor * float(value)
            return self.evaluate(), self._slope(update)

        start = self._slope(update)
        factor, outcome, slope = 1.0, *at(1.0)
        if balanced and np.isfinite(slope):
            return outcome
        defined = np.isfinite(outcome.force)  # a cell inside out has a volume, and no stress
        restored = 0.0 < outcome.volume <= VOLUME_GAIN * norms.volume
        if defined and (restored or outcome.force <= FORCE_GAIN * norms.force):
            return outcome
        low, low_slope, high, high_slope = 0.0, start, 1.0, slope
        for _ in range(LINE_SEARCHES):
            if abs(slope) <= SLACK * abs(start):
                break
            if np.isfinite(high_slope):
                share = low_slope / (low_slope - high_slope)
                factor = low + (high - low) * min(max(share, SHORTEST), 1 - SHORTEST)
            else:
                factor = 0.5 * (low + high)
            outcome, slope = at(factor)
            if slope * start > 0:
                low, low_slope = factor, slope
                high_slope *= 0.5  # Illinois: keeps the bracket shrinking from both ends
            else:
                high, high_slope = factor, slope
                low_slope *= 0.5
        return outcome


def direct_solver(comm: Any, matrix: Any, symmetric: bool) -> Any:
    """Sparse factorisation by MUMPS, L D L^T where the matrix is symmetric, else LU.

    The symbolic analysis is done once and kept while the pattern is the same.
    """
    matrix.setOption(PETSc.Mat.Option.SYMMETRIC, symmetric)
    matrix.setOption(PETSc.Mat.Option.SYMMETRY_ETERNAL, symmetric)
    solver = PETSc.KSP().create(comm)
    solver.setOperators(matrix)
    solver.setType("preonly")
    preconditioner = solver.getPC()
    preconditioner.setType("cholesky" if symmetric else "lu")
    preconditioner.setFactorSolverType("mumps")
    preconditioner.setFactorSetUpSolverType()
    factor = preconditioner.getFactorMatrix()
    factor.setMumpsIcntl(14, 60)  # workspace beyond the estimate [%]: pivoting of the indefinite blocks needs it
    factor.setMumpsIcntl(24, 1)  # null pivots are reported, not divided by
    return solver

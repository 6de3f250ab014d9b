"""Stress-free state of the spine by an inverse solve (Govindjee & Mihalic 1996, doi:10.1016/0045-7825(96)01045-6).

The unknown is the offset w from the tabulated shape to the stress-free one; the tabulated shape is the reference of
everything else. The residual is the model's own momentum balance at zero displacement under the healthy pressures, so that
the healthy shape is in equilibrium to the tolerance of the solve.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from mpi4py import MPI
from petsc4py import PETSc

from fem import compat
from fem.arrays import Array
from fem.errors import SolverError
from fem.forms import compile_form
from fem.newton import Tolerances, direct_solver
from fem.poro import PoroModel


class Prestress:
    """Solves for the offset to the stress-free state, by load steps where one does not do.

    Attributes:
        transmural: pressure in the sac less outside in the healthy state [Pa].
        iterations: Newton iterations that the last solve took.
    """

    def __init__(self, model: PoroModel, transmural: float) -> None:
        self.model, self.transmural, self.iterations = model, transmural, 0
        mesh, space = model.domain.mesh, model.vector_space
        self._load = fem.Constant(mesh, 0.0)
        pressures: dict[str, Any] = {name: fem.Constant(mesh, 0.0) for name in model.pressures}
        pressures["s"] = self._load
        still = ufl.as_vector([ufl.as_ufl(0)] * mesh.geometry.dim)
        residual = model.momentum(still, pressures, ufl.TestFunction(space))
        self._residual_form = compile_form(residual)
        self._jacobian_form = compile_form(ufl.derivative(residual, model.rest))
        self._matrix = fem_petsc.create_matrix(self._jacobian_form)
        self._residual = compat.create_vector(self._residual_form)
        self._delta = self._residual.duplicate()
        held = np.isin(model.dofs["u"], model.fixed_dofs)
        self._held = np.flatnonzero(held).astype(np.int32)
        self._owned = space.dofmap.index_map.size_local * space.dofmap.bs
        self._solver: Any = None

    def solve(self, tolerances: Tolerances) -> None:
        """Find the offset for the healthy transmural pressure.

        Raises:
            SolverError: it was not found even in small load steps.
        """
        rest = self.model.rest
        rest.x.array[:] = 0.0
        done, stride, self.iterations = 0.0, 1.0, 0
        while done < 1.0:
            kept = rest.x.array.copy()
            reached = min(1.0, done + stride)
            self._load.value = reached * self.transmural
            try:
                self.iterations += self._newton(tolerances)
            except SolverError as error:
                rest.x.array[:] = kept
                stride /= 2
                if stride < 1e-3:
                    raise SolverError(f"the prestress was not found: {error.reason}") from error
                continue
            done, stride = reached, min(1.5 * stride, 1.0)

    def _newton(self, tolerances: Tolerances) -> int:
        x = self.model.rest.x
        for iteration in range(tolerances.iterations + 1):
            force = self._evaluate()
            if not np.isfinite(force):
                break
            if force <= tolerances.force:
                return iteration
            self._matrix.zeroEntries()
            fem_petsc.assemble_matrix(self._matrix, self._jacobian_form)
            self._matrix.assemble()
            self._matrix.zeroRowsColumns(self._held_global(), diag=1.0)
            if self._solver is None:
                self._matrix.setOption(PETSc.Mat.Option.KEEP_NONZERO_PATTERN, True)
                self._solver = direct_solver(self.model.comm, self._matrix)
            self._solver.setOperators(self._matrix)
            self._solver.solve(self._residual, self._delta)
            x.array[: self._owned] -= self._delta.array
            x.scatter_forward()
        raise SolverError("the inverse solve did not converge")

    def _evaluate(self) -> float:
        with self._residual.localForm() as local:
            local.set(0.0)
        fem_petsc.assemble_vector(self._residual, self._residual_form)
        self._residual.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        self._residual.array[self._held[self._held < self._owned]] = 0.0
        square = self.model.comm.allreduce(float(np.sum(self._residual.array**2)), op=MPI.SUM)
        return float(np.sqrt(square))

    def _held_global(self) -> Array:
        dofmap = self.model.vector_space.dofmap
        owned = self._held[self._held < self._owned]
        block = dofmap.index_map.local_to_global((owned // dofmap.bs).astype(np.int32))
        return (block * dofmap.bs + owned % dofmap.bs).astype(np.int32)

"""What posing a problem with a known answer takes beside the production code: exact boundary values, steps, norms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from fem import compat
from fem.arrays import Array
from fem.compartments import Compartment
from fem.forms import compile_form, integrate
from fem.newton import BorderedNewton, Tolerances
from fem.poro import PoroModel

Field = Callable[[Array], Array]
"""Values at coordinates of shape (3, n): (n,) of a scalar, (dim, n) of a vector."""


def at(values: Callable[[Array, Any], Array], parameter: Any) -> Field:
    """Field at a value of its parameter, such as a time."""
    return lambda x: values(x, parameter)


EXACT_DEGREE = 4
"""Degree of the interpolant that stands for an exact field in an error norm: two above the displacement."""


@dataclass
class Stepping:
    """A model, its solver and the tolerances of a step.

    Attributes:
        force: out-of-balance force accepted [N].
        volume: out-of-balance volume accepted [m^3].
    """

    model: PoroModel
    compartments: Mapping[str, Compartment] = field(default_factory=dict)
    force: float = 1e-11
    volume: float = 1e-12
    iterations: int = 0

    def __post_init__(self) -> None:
        self.newton = BorderedNewton(self.model, self.compartments)

    def step(self, length: float, exact: Mapping[str, Field] | None = None, guess: bool = False) -> None:
        """Take one step; held degrees of freedom are first set to exact values at its end.

        Args:
            length: of the step.
            exact: fields by ``u`` or pressure name.
            guess: start from the exact fields everywhere: held values that jump would turn boundary cells inside out.
        """
        model, newton = self.model, self.newton
        model.previous.x.array[:] = model.state.x.array
        newton.start = dict(newton.pressure)
        model.step.value = length
        if exact and guess:
            model.state.x.array[:] = vector_of(model, exact)
        elif exact:
            hold(model, exact)
        self.iterations = newton.solve(Tolerances(self.force, self.volume))

    def steps(self, start: float, end: float, count: int) -> Iterable[tuple[float, float]]:
        """(time at the end, length) of equal steps."""
        length = (end - start) / count
        return ((start + (k + 1) * length, length) for k in range(count))


def vector_of(model: PoroModel, fields: Mapping[str, Field]) -> Array:
    """Mixed state vector with interpolated fields; a field that is not named is zero."""
    vector = np.zeros_like(model.state.x.array)
    for name, values in fields.items():
        space = model.vector_space if name == "u" else model.collapsed[name][0]
        function = fem.Function(space)
        function.interpolate(values)
        vector[model.dofs[name]] = function.x.array
    return vector


def hold(model: PoroModel, fields: Mapping[str, Field]) -> None:
    """Set the held degrees of freedom of the named fields to exact values."""
    exact = vector_of(model, fields)
    named = np.concatenate([model.dofs[name] for name in fields])
    held = np.intersect1d(model.fixed_dofs, named)
    model.state.x.array[held] = exact[held]


class ErrorNorm:
    """Relative error of a field in L2 or in the H1 seminorm, over the mesh or some of its regions."""

    def __init__(self, model: PoroModel, name: str, kind: str = "L2", dx: Any = None) -> None:
        mesh = model.domain.mesh
        self.model, self.name = model, name
        shape = (mesh.geometry.dim,) if name == "u" else ()
        self._exact = fem.Function(fem.functionspace(mesh, ("Lagrange", EXACT_DEGREE, shape)))
        u, pressures = model.split(model.state)
        computed = u if name == "u" else pressures[name]
        measure = (model.domain.dx if dx is None else dx)(metadata={"quadrature_degree": 2 * EXACT_DEGREE})
        difference, exact = computed - self._exact, self._exact
        if kind == "H1":
            difference, exact = ufl.grad(difference), ufl.grad(exact)
        self._forms = [compile_form(ufl.inner(part, part) * measure) for part in (difference, exact)]

    def __call__(self, exact: Field) -> float:
        """Norm of the error over the norm of the exact field."""
        self._exact.interpolate(exact)
        error, size = (integrate(form, self.model.comm) for form in self._forms)
        return float(np.sqrt(error / size))


def reaction(model: PoroModel, name: str, weight: Field) -> float:
    """Residual of a field at the present state, weighted by a virtual field and summed: a reaction force or a volume.

    Free degrees of freedom are in balance and add nothing.
    """
    vector = compat.create_vector(model.residual)
    model.assemble_residual(vector)
    weights = vector_of(model, {name: weight})
    owned = model.owned(name)
    work = float(vector.array[owned] @ weights[owned])
    vector.destroy()
    return float(model.comm.allreduce(work))


def surface_mean(model: PoroModel, surface: str, expression: Callable[[Any, Any], Any]) -> float:
    """Mean over a surface of an expression of displacement and pressures."""
    mesh = model.domain.mesh
    u, pressures = model.split(model.state)
    measure = model.domain.measure(surface)
    area = integrate(compile_form(fem.Constant(mesh, 1.0) * measure), model.comm)
    return integrate(compile_form(expression(u, pressures) * measure), model.comm) / area


def largest(model: PoroModel, name: str, exact: Field) -> float:
    """Largest nodal error over the largest exact value."""
    wanted, owned = vector_of(model, {name: exact}), model.owned(name)
    found = model.state.x.array
    error = np.max(np.abs(found[owned] - wanted[owned]), initial=0.0)
    size = np.max(np.abs(wanted[owned]), initial=0.0)
    errors, sizes = zip(*model.comm.allgather((float(error), float(size))), strict=True)
    return max(errors) / max(sizes)


def value_at_largest(model: PoroModel, name: str, score: Field) -> float:
    """Nodal value of a pressure where a score of the coordinates is largest."""
    space, dofs = model.collapsed[name]
    limit = space.dofmap.index_map.size_local
    scores = score(space.tabulate_dof_coordinates()[:limit].T)
    best = int(np.argmax(scores)) if limit else 0
    found = (float(scores[best]), float(model.state.x.array[np.asarray(dofs)[best]])) if limit else (-np.inf, 0.0)
    return max(model.comm.allgather(found))[1]

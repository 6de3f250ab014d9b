"""Posture: columns of CSF and venous blood, and the shift of CSF that they bring at conserved volume.

Pressures of the model count from their columns' heads, so that a fluid at rest has one pressure everywhere. CSF stands
below the level of the ear, the epidural veins below the right atrium (above it they collapse). Where the two heads
differ the dura is loaded: upright, the lumbar sac is distended and fills from above, and the cranial pressure falls.
Equal columns inside and outside load nothing.

The venous pressure against which CSF is absorbed falls by as much as the cranial pressure of that patient at the shift,
so that whoever does not leak stays in equilibrium.

The columns weigh on the sac of the window and, in sum, on that above it (:func:`_beyond`). On the sac below a caudal
cut they do not: upright it does not fill, and the cranial pressure falls too little. A window that reaches the sac's
end, such as one down to S2, has nothing below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import ufl
from dolfinx import fem

from fem.compartments import ClosedCompartment, CraniospinalCompartment, SharedCompartment
from fem.errors import ModelError, SolverError
from fem.laws.column import Column
from fem.laws.smooth import ramp
from geometry import Anatomy

if TYPE_CHECKING:
    from fem.patch import PatchModel

GRAVITY = 9.81
"""[m/s^2]."""

HEAD_ABOVE_SPINE = 0.08
"""Height of the reference of intracranial pressure (ear) above the cranial end of C2 [m]; anatomy, assumed."""

HEART = "T6/T7"
"""Interspace at the height of the right atrium; surface anatomy (fourth intercostal space), recalled."""

NO_LEAST = -1e9
"""Stands for a column that carries at any height [Pa]."""

COLLAPSE = 0.01
"""Height over which veins open below the heart [m]; numerical: a column that ends at a sharp level weighs on a cell, or
not, as the cell moves by nothing, and Newton's method finds no step."""

UP = (0.0, 0.0, 1.0)
"""Where up is for whoever stands."""

SETTLING = 1e5
"""Length of a step of the shift [s]: everything but the volume of CSF comes to rest."""

STANDING = 60.0
"""Time between lying and the look at the pressure upright [s]: CSF has come to rest, a patch has not; assumed."""

STRIDE, LEAST_STRIDE = 0.25, 1e-3
"""Share of gravity that is added in a step of the shift, at first and at least [1]."""

REPEATS = 8
"""Steps at most after which everything is at rest."""

POINTS = 50
"""Points of the integral over the spine beyond the window."""


@dataclass(frozen=True)
class VenousColumn(Column):
    """Column in the veins of someone who stands: above its level they have collapsed and carry nothing."""

    def _below(self, x: Any) -> Any:
        return self.level - ufl.inner(ufl.as_vector(self.up), x)

    def head(self, x: Any) -> Any:  # noqa: D102, as in the class that it smooths
        return self.weight * ramp(self._below(x), COLLAPSE)

    def gradient(self, x: Any) -> Any:  # noqa: D102
        opened = ufl.max_value(ufl.min_value(self._below(x) / COLLAPSE, 1.0), 0.0)
        return -self.weight * opened * ufl.as_vector(self.up)


@dataclass(frozen=True)
class Posture:
    """A posture: where up is, and the heights of head and heart in that direction [m]; supine has no columns.

    Attributes:
        up: unit vector; None supine, where the columns are part of the baseline.
        head: height at which the head of CSF is zero.
        heart: height at which the head of venous blood is zero.
        collapses: whether veins above the heart carry nothing.
    """

    up: tuple[float, float, float] | None = None
    head: float = 0.0
    heart: float = 0.0
    collapses: bool = False

    @classmethod
    def named(cls, name: str, anatomy: Anatomy | None) -> Posture:
        """``supine``, ``lateral`` (left side down, heart and head at the height of the spine) or ``upright``.

        Raises:
            ModelError: upright without an anatomy that says where head and heart are.
        """
        if name == "upright":
            if anatomy is None:
                raise ModelError("upright needs the heights of head and heart, which a mesh of one's own does not have")
            return cls(UP, anatomy.length + HEAD_ABOVE_SPINE, anatomy.interspace_z(HEART), True)
        return cls((-1.0, 0.0, 0.0)) if name == "lateral" else cls()

    @property
    def symmetric(self) -> bool:
        """Whether left and right are alike."""
        return self.up is None or self.up[0] == 0.0

    def columns(self, mesh: Any) -> Mapping[str, Column]:
        """Columns of CSF and veins by the pressure's name, without weight yet: :func:`shift` gives it to them."""
        if self.up is None:
            return {}

        def column(level: float, kind: type[Column]) -> Column:
            assert self.up is not None
            weight, height, bound = (fem.Constant(mesh, value) for value in (0.0, level, NO_LEAST))
            return kind(weight, height, tuple(fem.Constant(mesh, part) for part in self.up), bound)

        return {"s": column(self.head, Column), "e": column(self.heart, VenousColumn if self.collapses else Column)}

    def load(self, height: np.ndarray[Any, Any], csf: float, blood: float) -> np.ndarray[Any, Any]:
        """Head inside the sac above that outside [Pa] at heights [m]."""
        outside = GRAVITY * blood * (self.heart - height)
        return GRAVITY * csf * (self.head - height) - (np.maximum(outside, 0.0) if self.collapses else outside)


def shift(model: PatchModel) -> None:
    """Bring a supine model into its posture at conserved volume of CSF; its baseline is then that posture's.

    Raises:
        SolverError: the shift was not found.
    """
    poro, newton = model.poro, model.newton
    cranial = model.whole["cranial"]
    assert isinstance(cranial, CraniospinalCompartment)
    newton.pressure = dict(model.compartment_pressure)
    with _nothing_flows(model):
        _tilt(model, model.posture, SETTLING / STRIDE)
        newton.compartments["cranial"] = SharedCompartment(ClosedCompartment(cranial, 0.0), model.copies)
        for _ in range(REPEATS):  # until nothing moves: the mobility is that of the state before
            poro.previous.x.array[:] = poro.state.x.array
            newton.start = dict(newton.pressure)
            if newton.solve(model.shift_tolerances()) == 0:
                break
    model.posture_shift = newton.pressure["cranial"] - model.baseline_pressure["s"]
    model.whole = dict(model.whole) | {"cranial": replace(cranial, venous=cranial.venous + model.posture_shift)}
    model.adopt_baseline()


def stand_up(model: PatchModel) -> float:
    """Cranial CSF pressure of the model's present supine state a minute after standing up [Pa]; NaN where not found.

    CSF neither forms nor leaks meanwhile, and nothing is injected. The model has to be brought back to its state.
    """
    kept = dict(model.newton.compartments)
    try:
        with _nothing_flows(model):
            _tilt(model, model.standing, STANDING)
        return model.newton.pressure["cranial"]
    except SolverError:
        return float("nan")
    finally:
        model.newton.compartments = kept
        for column in model.poro.setup.columns.values():
            column.weight.value = 0.0


@contextmanager
def _nothing_flows(model: PatchModel) -> Iterator[None]:
    """No leak, no source and no flow through the epidural cuts meanwhile: the volume of CSF is conserved."""
    newton = model.newton
    chains, newton.chains = newton.chains, ()
    for chain in chains:
        model.poro.set_outflow(chain.exchange, 0.0, 0.0)
    functions = (model.leaks.density, model.leaks.uptake, *model.poro.supply.values())
    kept = [function.x.array.copy() for function in functions]
    try:
        for function in functions:
            function.x.array[:] = 0.0
        yield
    finally:
        newton.chains = chains
        for function, values in zip(functions, kept, strict=True):
            function.x.array[:] = values


def _tilt(model: PatchModel, posture: Posture, time: float) -> None:
    """Give the columns their weight, evenly over a time [s], with a cranial compartment that only the spine fills.

    Raises:
        SolverError: a posture on the way was not found.
    """
    poro, newton, density = model.poro, model.newton, model.parameters.materials.density
    columns, cranial = poro.setup.columns, model.whole["cranial"]
    beyond = _beyond(model, posture)
    done, stride = 0.0, STRIDE
    while done < 1.0:
        kept, pressures = poro.state.x.array.copy(), dict(newton.pressure)
        reached = min(1.0, done + stride)
        columns["s"].weight.value = reached * GRAVITY * density["csf"]
        columns["e"].weight.value = reached * GRAVITY * density["blood"]
        poro.step.value = (reached - done) * time
        newton.compartments = dict(model.compartments)
        newton.compartments["cranial"] = SharedCompartment(ClosedCompartment(cranial, -beyond / time), model.copies)
        poro.previous.x.array[:] = kept
        newton.start = dict(pressures)
        try:
            newton.solve(model.shift_tolerances())
        except SolverError as error:
            poro.state.x.array[:] = kept
            newton.pressure = pressures
            stride /= 2
            if stride < LEAST_STRIDE:
                raise SolverError(f"the posture was not reached: {error.reason}") from error
            continue
        done = reached


def _beyond(model: PatchModel, posture: Posture) -> float:
    """CSF that the spine cranial to the window takes up at the shift [m^3], at the window's compliance per length.

    What the columns load the sac caudal to the window with is left out, see the module.
    """
    spine, density = model.spine, model.parameters.materials.density
    length = spine.continuation["cranial"].sac_length
    if length <= 0 or posture.up != UP:
        return 0.0
    top = float(spine.slab_edges[-1])
    per_length = model.window_compliance / float(spine.slab_edges[-1] - spine.slab_edges[0])
    height = np.linspace(top, top + length, POINTS)
    load = posture.load(height, density["csf"], density["blood"])
    return float(per_length * np.trapezoid(load, height))

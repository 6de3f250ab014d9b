"""What must not matter: where the body lies, which way it faces, the units, left or right, and being interrupted.

* Motion: the anatomy of a short window, turned about an oblique axis and moved by metres, is solved anew; volumes and
  pressures of every cell are the same and displacements turn with it. Cuts are held in every direction here, since the
  model's own condition knows the coordinate planes only.
* Mirror: an injection left of the midline on the mesh, and one right of it on the mirrored mesh.
* Units: the ring of the Jacobian's check with every length, pressure and time in other units.
* Restart: a run to 1 s and on to 3 s; and to 1 s, a mark, something else, back to it with a new simulation, to 3 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from fem.newton import BorderedNewton, Tolerances
from fem.patch import PatchModel
from fem.poro import PoroModel
from fem.simulation import Simulation
from studies.verification.meshes import mapped, quarter_ring
from studies.verification.problem import Check, Problem, Result
from studies.verification.spine import (
    SHORTEST,
    THORACIC,
    TIGHT,
    MovedPatch,
    case_of,
    cell_means,
    patch_of,
    spine_and_parameters,
    to_baseline,
)
from studies.verification.tangent import everything

AXIS, ANGLE, SHIFT = (1.0, 2.0, 2.0), 2.2, (0.5, -1.0, 2.0)
"""Of the motion; no face of the canal ends up in a coordinate plane. A shift by metres costs three digits."""

STOPPING = 1e-8
"""Two solutions that each stop near round-off of their forces, at 1e-9 N of some 1e-1 N."""

SWELLING = 1e-3
"""Rate at which fluid is put into every part of the epidural space [1/s]."""

SCALES = {"L": 1e3, "P": 1e-3, "T": 1.0 / 60}
"""Metres in millimetres, pascals in kilopascals, seconds in minutes."""

DIMENSIONS: Mapping[str, tuple[int, int, int]] = {
    "youngs_modulus": (0, 1, 0),
    "longitudinal_modulus": (0, 1, 0),
    "circumferential_modulus": (0, 1, 0),
    "thickness": (1, 0, 0),
    "slack_tension": (1, 1, 0),
    "mobility": (2, -1, -1),
    "slope": (0, -1, 0),
    "conductance": (3, -1, -1),
    "density": (1, -1, -1),
    "opening_pressure": (0, 1, 0),
    "smoothing": (0, 1, 0),
    "pvi": (3, 0, 0),
    "reference": (0, 1, 0),
    "outflow_resistance": (-3, 1, 1),
    "formation": (3, 0, -1),
    "venous": (0, 1, 0),
    "floor": (0, 1, 0),
    "window_compliance": (3, -1, 0),
    "compliance": (3, -1, 0),
}
"""Powers of length, pressure and time by name of a parameter; one that is not here has no dimension."""


@dataclass
class Invariance(Problem):
    """All of it on short windows."""

    name: str = "invariance"
    title: str = "Invariance"
    axis: str = "spans"
    levels: tuple[int, ...] = (1,)
    full_levels: tuple[int, ...] = (2,)

    def checks(self) -> Sequence[Check]:
        """Largest differences over the largest value of each field or row."""
        return [
            Check("motion: volumes of cells", STOPPING, None, "tolerance of two solves"),
            Check("motion: displacement", STOPPING, None, "tolerance of two solves"),
            Check("motion: pressures", STOPPING, None, "tolerance of two solves"),
            Check("mirror image: row", STOPPING, None, "tolerance of two solves"),
            Check("units", 1e-10, None, "round-off, and the stopping point of two solves in other units"),
            Check("restart: row", 1e-10, None, "the same steps from the same state; sums may round differently"),
        ]

    def run(self, level: int) -> Result:
        """One span or two."""
        worst: dict[str, float] = {"units": self._units()}
        for span, interspace in (SHORTEST, THORACIC)[:level]:
            found = self._motion(span, interspace) | self._mirror(span, interspace) | self._restart(span, interspace)
            worst |= {name: max(value, worst.get(name, -math.inf)) for name, value in found.items()}
        return Result(worst)

    def _motion(self, span: Sequence[str], interspace: str) -> dict[str, float]:
        spine, parameters = spine_and_parameters(case_of(span, interspace), TIGHT)
        states = []
        for rotation, shift in ((np.eye(3), np.zeros(3)), (turned(AXIS, ANGLE), np.array(SHIFT))):
            model = MovedPatch(self.comm, spine, parameters, rotation, shift)
            to_baseline(model)
            model.poro.supply["e"].x.array[:] = SWELLING
            model.poro.step.value = 1.0
            model.newton.solve(model.tolerances)
            means = cell_means(model)
            states.append(means | {"u": means["u"] @ rotation})  # rows times R: turned back
        here, there = states
        pressures = [name for name in here if name not in ("volume", "u")]
        return {
            "motion: volumes of cells": float(np.max(np.abs(there["volume"] / here["volume"] - 1))),
            "motion: displacement": float(np.max(np.abs(there["u"] - here["u"])) / np.max(np.abs(here["u"]))),
            "motion: pressures": max(float(np.max(np.abs(there[n] - here[n])) / np.max(here[n])) for n in pressures),
        }

    def _mirror(self, span: Sequence[str], interspace: str) -> dict[str, float]:
        rows = []
        left, right = (case_of(span, interspace, side=side, offset="3 mm") for side in ("left", "right"))
        spine, parameters = spine_and_parameters(left, TIGHT)
        other = spine_and_parameters(right, TIGHT)[1]
        for mesh, posed in ((spine, parameters), (spine.mirrored(), other)):
            model = PatchModel(self.comm, mesh, posed)
            simulation = Simulation(model, posed)
            simulation.step(0.5)
            rows.append(simulation.row()[0])
        return {"mirror image: row": row_difference(*rows)}

    def _restart(self, span: Sequence[str], interspace: str) -> dict[str, float]:
        model, parameters = patch_of(self.comm, span, interspace)
        straight = Simulation(model, parameters)
        straight.advance(1.0, lambda: None)
        mark = straight.mark(straight._last_step)
        straight.advance(3.0, lambda: None)
        wanted = straight.row()[0]
        straight.step(1.0)  # something else in between
        again = Simulation(model, parameters)
        again.resume(mark)
        again.advance(3.0, lambda: None)
        return {"restart: row": row_difference(wanted, again.row()[0])}

    def _units(self) -> float:
        values = []
        for scales in ({"L": 1.0, "P": 1.0, "T": 1.0}, SCALES):
            length, pressure, time = (scales[name] for name in "LPT")
            posed, solver = everything(self.comm, 1)
            ring = quarter_ring(0.4 * length, length, 0.5 * length)
            domain = mapped(self.comm, (3, 2, 1), ring, {2: 1 / 3, 3: 2 / 3}, {"pia": 1 / 3, "dura": 2 / 3})
            model = PoroModel(domain, scaled(posed.setup, scales))
            newton = BorderedNewton(model, {name: scaled(part, scales) for name, part in solver.compartments.items()})
            newton.pressure = {name: 0.4 * pressure for name in newton.compartments}
            newton.start = dict(newton.pressure)
            for name in ("s", "e"):
                model.state.x.array[model.dofs[name]] = 0.4 * pressure
            model.previous.x.array[:] = model.state.x.array
            model.step.value = 0.5 * time
            model.supply["e"].x.array[:] = 0.1 / time
            newton.solve(Tolerances(1e-13 * pressure * length**2, 1e-13 * length**3))
            state = model.state.x.array
            values.append(
                {name: state[model.dofs[name]] / (length if name == "u" else pressure) for name in model.dofs}
            )
            values[-1]["P"] = np.array(list(newton.pressure.values())) / pressure
        one, other = values
        return max(float(np.max(np.abs(one[n] - other[n])) / np.max(np.abs(one[n]))) for n in one)


def turned(axis: Sequence[float], angle: float) -> Any:
    """Rotation about an axis, shape (3, 3) (Rodrigues)."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def row_difference(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Largest difference of two rows of the series, each quantity over the larger of its size and one of its unit."""
    worst = 0.0
    for name, value in one.items():
        if name in ("newton_iterations", "volume_balance_error") or (math.isnan(value) and math.isnan(other[name])):
            continue
        difference = abs(value - other[name]) / max(abs(value), 1.0)
        worst = max(worst, difference if math.isfinite(difference) else math.inf)
    return worst


def scaled(part: Any, scales: Mapping[str, float]) -> Any:
    """The same law, part or setup in other units; sequences and nested parts, too."""
    if isinstance(part, list | tuple):
        return type(part)(scaled(item, scales) for item in part)
    if not is_dataclass(part) or isinstance(part, type):
        return part
    changed = {}
    for one in fields(part):
        value = getattr(part, one.name)
        powers = DIMENSIONS.get(one.name)
        if isinstance(value, float) and powers is not None:
            changed[one.name] = value * math.prod(
                scales[name] ** power for name, power in zip("LPT", powers, strict=True)
            )
        elif is_dataclass(value) or (isinstance(value, list | tuple) and one.name != "axis"):
            changed[one.name] = scaled(value, scales)
    return replace(part, **changed)

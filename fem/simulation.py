"""Time stepping of a patch model: a step is a transaction, a run is a sequence of events, rows go to a sink."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from mpi4py import MPI

from fem.arrays import Array
from fem.composition import CUT_CONDUCTANCE
from fem.course import TIME_RESOLUTION, Course, CourseState
from fem.errors import SolverError
from fem.observe import ML, Observer
from fem.output import FieldSnapshot
from fem.parameters import MMHG, PatchParameters
from fem.patch import PatchModel, Site
from fem.quantities import STATIC_DELAY
from geometry import SpineMesh

STOP_SHARE = 0.01
"""Share of its limit by which a quantity that stops an injection may miss it [1]."""

STOP_TRIALS = 4
"""Steps that are tried to hit a limit."""

LEAST_VOLUME = 1e-8
"""Volume that the balance is measured against before anything is injected [m^3]."""

INJECTION_FRAMES = 6
"""Fields are written this many times while fluid is injected, at steps as they come, where no times are asked for."""

READ_OUTS = (3 * 3600.0, 3 * 86400.0)
"""Times at which patches were looked at in patients [s]: their mass effect and their shrinkage."""

ROUND_OFF = 100 * float(np.finfo(float).eps)
"""Relative round-off of a sum of flows over the vertices of a cut [1]."""


ROUND_OFF_LENGTH = 0.1
"""Length that turns the network's mobility into the conductance whose round-off was measured over all vertices [m]."""


class Sink(Protocol):
    """Receives what a run produces; every rank calls it, rank 0 writes."""

    def row(self, row: Mapping[str, float]) -> None:
        """Quantities after an accepted step; the first row is the baseline."""

    def profile(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Quantities along the canal at an output time, one row per slab, with ``time_s``."""

    def fields(self, snapshot: FieldSnapshot) -> None:
        """Fields at an output time."""

    def finished(self, extra: Mapping[str, float]) -> None:
        """The run reached its end; figures of the run as a whole."""

    def failed(self, error: SolverError) -> None:
        """The run gave up; everything before was delivered."""


@dataclass
class State:
    """All that changes in time; a copy is a checkpoint.

    Attributes:
        time: [s].
        vector: mixed state, ghosts included.
        pressure: of each compartment [Pa].
        course: injections, fluids and leaks.
        beyond: pressures in the chain behind each cut, and of its compartment [Pa].
        volume: CSF that left the window through its cuts so far [m^3]: cranial, caudal.
        iterations: Newton iterations so far.
        tip: site of the latest injection.
    """

    time: float
    vector: Array
    pressure: dict[str, float]
    course: CourseState
    beyond: tuple[tuple[Array, float], ...]
    volume: dict[str, float]
    iterations: int = 0
    tip: Site | None = None
    extrapolation: Array | None = field(default=None, repr=False)

    def copy(self) -> State:
        """An independent copy."""
        return replace(
            self,
            vector=self.vector.copy(),
            pressure=dict(self.pressure),
            course=self.course.copy(),
            volume=dict(self.volume),
            extrapolation=None,
        )


@dataclass
class Mark:
    """A point of a path from which a case goes on alone, with the course of its steps."""

    state: State
    length: float
    rates: list[float]
    extrapolation: Array | None


class Simulation:
    """Advances a patch model through a list of injections."""

    def __init__(self, model: PatchModel, parameters: PatchParameters) -> None:
        self.model, self.parameters = model, parameters
        model.poro.state.x.array[:] = model.baseline
        self.course = Course(model, parameters)
        model.newton.compartments = self.course.compartments()
        self.observer = Observer(model, self.course)
        self.state = State(
            0.0,
            model.baseline.copy(),
            dict(model.compartment_pressure),
            self.course.state.copy(),
            model.beyond,
            dict.fromkeys(("cranial", "caudal"), 0.0),
        )
        self.step_length, self.last_iterations = 0.0, 0
        self.restore(self.state)  # a model that has run before is not at its baseline

    # -- one step ----------------------------------------------------------------------------------------------------

    def rates(self, time: float) -> list[float]:
        """Rate of each injection just after a time [m^3/s]."""
        return self.course.rates(time)

    def step(self, length: float) -> None:
        """Advance by one step, or leave the state untouched.

        Raises:
            SolverError: Newton's method failed at this length.
        """
        model, poro, newton, state = self.model, self.model.poro, self.model.newton, self.state
        injected = self.course.prepare(state.time, length)
        floor = self._round_off(length)
        scale = max(injected, LEAST_VOLUME) / model.copies
        tolerance = max(self.parameters.solver.volume_tolerance * scale, floor)
        tolerances = replace(model.tolerances, volume=tolerance)
        poro.step.value = length
        poro.previous.x.array[:] = state.vector
        newton.start = dict(state.pressure)
        iterations = self._solve(state, length, tolerances)
        volume = dict(state.volume)
        for name in newton.pressure:
            volume[name] += model.copies * length * newton.exchange(name)
        newton.advance_chains()
        self.course.commit(state.time, length, state.pressure["cranial"])
        latest = self.course.active(state.time)
        vector = poro.state.x.array.copy()
        self.state = State(
            state.time + length,
            vector,
            dict(newton.pressure),
            self.course.state.copy(),
            tuple(chain.state for chain in newton.chains),
            volume,
            state.iterations + iterations,
            latest[-1] if latest else state.tip,
            (vector - state.vector) / length,
        )
        self.last_iterations = iterations

    def _round_off(self, length: float) -> float:
        """Round-off of a step's volume balance [m^3]: flows in the sac are differences of products of this size."""
        conductance = CUT_CONDUCTANCE + self.parameters.materials.network.mobility * ROUND_OFF_LENGTH
        largest = max(abs(pressure) for pressure in self.state.pressure.values())
        return ROUND_OFF * length * conductance * largest

    def _solve(self, state: State, length: float, tolerances: Any) -> int:
        poro, newton = self.model.poro, self.model.newton
        guesses = [(state.vector, tolerances)]
        if state.extrapolation is not None:
            few = replace(tolerances, iterations=self.parameters.solver.guess_iterations)
            guesses.insert(0, (state.vector + length * state.extrapolation, few))
        for guess, bounds in guesses:
            poro.state.x.array[:] = guess
            newton.pressure = dict(state.pressure)
            try:
                return newton.solve(bounds)
            except SolverError as error:
                failure = error
        poro.state.x.array[:] = state.vector
        newton.pressure = dict(state.pressure)
        raise failure

    def restore(self, state: State) -> None:
        """Go back to a checkpoint."""
        self.state = state.copy()
        self.model.poro.state.x.array[:] = self.state.vector
        self.model.newton.pressure = dict(self.state.pressure)
        for chain, beyond in zip(self.model.newton.chains, self.state.beyond, strict=True):
            chain.restore(beyond)
        self.course.restore(self.state.course)
        self._last_step, self._rates = self.parameters.time.first_step, self.rates(self.state.time)

    def mark(self, length: float) -> Mark:
        """The present point, before a step of some length."""
        return Mark(self.state.copy(), length, list(self._rates), self.state.extrapolation)

    def resume(self, mark: Mark) -> None:
        """Go on from a mark as if nothing had come between."""
        self.restore(mark.state)
        self._last_step, self._rates = mark.length, list(mark.rates)
        self.state.extrapolation = mark.extrapolation

    # -- many steps --------------------------------------------------------------------------------------------------

    def events(self) -> list[float]:
        """Times at which a step has to end [s]."""
        control, injections = self.parameters.time, self.course.state.injections
        end = self.end
        times = {i.start for i in injections} | {i.end for i in injections}
        times |= {i.end + STATIC_DELAY for i in injections} | set(control.output_times or READ_OUTS) | {end}
        return sorted(t for t in times if TIME_RESOLUTION < t <= end + TIME_RESOLUTION)

    @property
    def end(self) -> float:
        """Time at which the run ends [s]."""
        return self.course.injection_end + self.parameters.time.follow_up

    def _longest_step(self) -> float:
        """Longest step without an injection [s]."""
        control = self.parameters.time
        return max(control.max_step, control.late_step * (self.state.time - self.course.injection_end))

    def advance(
        self, until: float, after_step: Callable[[], None], before_step: Callable[[float, float], None] | None = None
    ) -> None:
        """Step to a time, through every event on the way.

        Raises:
            SolverError: the smallest step failed; the state is the last accepted one.
        """
        control, solver = self.parameters.time, self.parameters.solver
        length = self._last_step
        targets = [
            t for t in (*self.events(), until) if t > self.state.time + TIME_RESOLUTION and t <= until + TIME_RESOLUTION
        ]
        for target in sorted(set(targets)):
            while target - self.state.time > TIME_RESOLUTION:
                if before_step is not None:
                    before_step(length, target)
                if self.rates(self.state.time) != self._rates:
                    self._rates, length = self.rates(self.state.time), control.first_step
                    self.state.extrapolation = None
                limit = self._longest_step() if not any(self._rates) else control.injection_step
                length = min(length, limit)
                rest = target - self.state.time
                count = int(np.ceil(rest / length - TIME_RESOLUTION))
                taken = rest / count if count <= 2 else length
                watched = self.course.stopping(self.state.time)
                begun = self.mark(length) if watched else None
                try:
                    self.step(taken)
                    stopped = begun is not None and self._stop(watched, begun, taken)
                except SolverError as error:
                    length = taken / 2
                    if length < solver.smallest_step:
                        raise SolverError(error.reason, self.state.time + taken, taken) from error
                    self.state.extrapolation = None
                    continue
                self.step_length = self.state.time - (target - rest)
                after_step()
                if stopped:
                    self._last_step = control.first_step
                    return self.advance(min(until, self.end), after_step, before_step)
                if self.last_iterations <= solver.fast_iterations:
                    length = max(length, taken) * solver.growth
                elif self.last_iterations > 2 * solver.fast_iterations:
                    length = taken / 2
        self._last_step = length

    def _stop(self, watched: Sequence[int], begun: Mark, taken: float) -> bool:
        """End the injections whose limit the step has reached, and take the step again up to that point."""
        after = self.row()[0]
        stops = {k: self.course.state.injections[k].stop for k in watched}
        beyond = {k: stop for k, stop in stops.items() if stop is not None and stop.excess(after) >= 0}
        if not beyond:
            return False
        self.resume(begun)
        before = self.row()[0]
        low, high = (max(stop.excess(row) for stop in beyond.values()) for row in (before, after))
        first, last = 0.0, taken
        for _ in range(STOP_TRIALS):
            share = min(max(-low / (high - low), 0.0), 1.0) if high > low else 1.0
            length = max(first + share * (last - first), self.parameters.solver.smallest_step)
            self.resume(begun)
            self.step(length)
            row = self.row()[0]
            excess = max(stop.excess(row) for stop in beyond.values())
            if abs(excess) <= max(STOP_SHARE * abs(stop.value) for stop in beyond.values()):
                break
            if excess > 0:
                last, high = length, excess
            else:
                first, low = length, excess
        self.course.stop(list(beyond), self.state.time)
        self.state.course = self.course.state.copy()
        return True

    def row(self) -> tuple[dict[str, float], list[dict[str, float]]]:
        """Row of the series and profile for the present state."""
        state = self.state
        values, profile = self.observer.evaluate(state.tip, state.volume | state.course.volume)
        head = {
            "time_s": state.time,
            "step_s": self.step_length,
            "newton_iterations": float(state.iterations),
            "injection_rate_mL_per_min": sum(self.rates(state.time)) * 6e7,
        }
        return head | values, [{"time_s": state.time, **line} for line in profile]


def build_model(comm: MPI.Comm, spine: SpineMesh, parameters: PatchParameters) -> PatchModel:
    """Compose the model and find its prestress and baseline.

    Raises:
        SolverError: the prestress or the baseline was not found.
        ModelError: the parameters contradict each other.
    """
    return PatchModel(comm, spine, parameters)


def simulate(model: PatchModel, parameters: PatchParameters, sink: Sink) -> None:
    """Run one case from its baseline to the end of its follow-up.

    Raises:
        SolverError: a step failed; what was reached has been delivered and ``sink.failed`` called.
    """
    volume = parameters.injections[-1].volume
    failures = simulate_volumes(model, parameters, {volume: sink})
    if failures:
        raise failures[volume]


def simulate_volumes(
    model: PatchModel, parameters: PatchParameters, sinks: Mapping[float, Sink]
) -> dict[float, SolverError]:
    """Run cases that differ only in the volume of the last injection: one injection path, one follow-up each.

    Args:
        model: at its baseline.
        parameters: of the case with any of the volumes.
        sinks: receiver of each case by its volume [m^3].

    Returns:
        The failures by volume; the other cases are complete.
    """
    volumes = sorted(sinks)
    earlier, last = parameters.injections[:-1], parameters.injections[-1]

    def case(volume: float) -> PatchParameters:
        return replace(parameters, injections=(*earlier, replace(last, volume=volume)))

    began = clock.monotonic()
    path = Simulation(model, case(volumes[-1]))
    failures: dict[float, SolverError] = {}
    together = list(volumes)

    shown = dict.fromkeys(volumes, -np.inf)

    def is_due(volume: float) -> bool:
        """Whether fields are wanted now: at the times asked for; else often enough to see the injection."""
        now, injections = path.state.time, case(volume).injections
        end = min(injections[-1].end, path.course.injection_end)
        if parameters.time.output_times:
            due = any(abs(now - t) <= TIME_RESOLUTION for t in (0.0, *parameters.time.output_times))
        else:
            stops = (0.0, *(i.end for i in injections), end + STATIC_DELAY, *READ_OUTS, path.end)
            apart = (end - injections[0].start) / INJECTION_FRAMES
            due = any(abs(now - t) <= TIME_RESOLUTION for t in stops)
            due |= now < end and now - shown[volume] >= apart - TIME_RESOLUTION
        if due:
            shown[volume] = now
        return due

    def deliver(receivers: Sequence[float]) -> None:
        row, profile = path.row()
        for volume in receivers:
            sinks[volume].row(row)
        showing = [volume for volume in receivers if is_due(volume)]
        if showing:
            snapshot = FieldSnapshot(path)
            for volume in showing:
                sinks[volume].profile(profile)
                sinks[volume].fields(snapshot)

    def part(length: float, target: float) -> None:
        """Let a volume leave the path where its own steps, alone, would begin to differ: two steps before its end.

        It is finished before the path goes on, so that nothing that happens there can take it along.
        """
        for volume in list(together[:-1]):
            end = case(volume).injections[-1].end
            if end < target + TIME_RESOLUTION and end - path.state.time <= 2 * length + TIME_RESOLUTION:
                together.remove(volume)
                mark = path.mark(length)
                path.parameters = case(volume)
                path.resume(mark)
                path.course.shorten(volume)
                follow([volume])
                path.parameters = case(volumes[-1])
                path.resume(mark)

    def follow(receivers: Sequence[float], before_step: Callable[[float, float], None] | None = None) -> None:
        try:
            path.advance(path.end, lambda: deliver(receivers), before_step)
        except SolverError as error:
            for volume in receivers:
                failures[volume] = error
                sinks[volume].failed(error)
            return
        for volume in receivers:
            sinks[volume].finished(
                {
                    "degrees_of_freedom": float(model.degrees_of_freedom),
                    "newton_iterations": float(path.state.iterations),
                    "wall_time_s": clock.monotonic() - began,
                    "window_compliance_mL_per_mmHg": model.window_compliance / ML * MMHG,
                    "baseline_sac_area_ratio": path.observer.baseline_sac_ratio,
                    "mesh_quality_min": model.spine.quality().minimum,
                    "csf_pressure_posture_shift_mmHg": model.posture_shift / MMHG,
                    "needle_pressure_drop_mmHg": path.course.needle_drop() / MMHG,
                }
            )

    # At the baseline an injection begins, but not that of no volume.
    for volumes_there in ([v for v in volumes if v == 0.0], [v for v in volumes if v > 0.0]):
        if volumes_there:
            path.parameters = case(volumes_there[-1])
            path.course.shorten(volumes_there[-1])
            deliver(volumes_there)
    follow(together, part)
    return failures

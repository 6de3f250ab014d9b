"""Time stepping of a patch model: a step is a transaction, a run is a sequence of events, rows go to a sink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from mpi4py import MPI

from fem.arrays import Array
from fem.composition import CUT_CONDUCTANCE
from fem.course import TIME_RESOLUTION, Course, CourseState
from fem.errors import SolverError
from fem.newton import Tolerances
from fem.observe import Observer
from fem.parameters import MMHG, PatchParameters
from fem.patch import PatchModel, Site
from fem.posture import stand_up
from fem.quantities import READ_OUTS, STATIC_DELAY
from geometry import SpineMesh

STOP_SHARE = 0.01
"""Share of its limit by which a quantity that stops an injection may be beyond it [1]; it is reached in any case."""

STOP_TRIALS = 6
"""Steps that are tried to hit a limit."""

LEAST_VOLUME = 1e-8
"""Volume that the balance is measured against before anything is injected [m^3]."""

MOBILITY_CHANGE = 100.0
"""Factor by which a step may change the mobility of a vertex, which it takes from its beginning [1]. Beyond, a needle
tip blows up in one step and offers no resistance in the next."""

ROUND_OFF = 100 * float(np.finfo(float).eps)
"""Relative round-off of a sum of flows over the vertices of a cut [1]."""


ROUND_OFF_LENGTH = 0.1
"""Length that turns the network's mobility into the conductance whose round-off was measured over all vertices [m]."""


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
        unplugged: the same patient and patch, had no clot closed a leak; None while that is this state itself.
    """

    time: float
    vector: Array
    pressure: dict[str, float]
    course: CourseState
    beyond: tuple[tuple[Array, float], ...]
    volume: dict[str, float]
    iterations: int = 0
    tip: Site | None = None
    unplugged: State | None = None
    extrapolation: Array | None = field(default=None, repr=False)

    def copy(self) -> State:
        """An independent copy."""
        return replace(
            self,
            vector=self.vector.copy(),
            pressure=dict(self.pressure),
            course=self.course.copy(),
            volume=dict(self.volume),
            unplugged=None if self.unplugged is None else self.unplugged.copy(),
            extrapolation=None,
        )


@dataclass
class Mark:
    """A point of a path from which a case goes on alone, with the course of its steps."""

    state: State
    length: float
    steps_to_growth: int
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
        before = self.state
        self._step(length)
        after, iterations = self.state, self.last_iterations
        if before.unplugged is not None:
            injections = self.course.state.injections
            course = replace(before.unplugged.course, injections=injections)
            self._enter(replace(before.unplugged, course=course))
            try:
                # it moves with the run, but for what leaks
                self._step(length, before.unplugged.vector + (after.vector - before.vector))
            except SolverError:
                self._enter(before)
                raise
            after.unplugged = self.state
            after.iterations += self.last_iterations
            self._enter(after)
            self.last_iterations = iterations
        elif self.course.plugged:
            after.unplugged = replace(after.copy(), course=after.course.unplugged())

    def _step(self, length: float, guess: Array | None = None) -> None:
        """One step of the state at hand, from a guess with the factorisation that is there, or from scratch."""
        model, poro, newton, state = self.model, self.model.poro, self.model.newton, self.state
        injected = self.course.prepare(state.time, length)
        floor = self._round_off(length)
        wanted = self.parameters.solver.volume_tolerance * max(injected, LEAST_VOLUME) / model.copies
        # round-off of the vertices is random, so that it all but cancels in their sum
        total = max(wanted, floor / np.sqrt(self.model.poro.vertices))
        tolerances = replace(model.tolerances, volume=max(wanted, floor), total=total)
        poro.step.value = length
        poro.previous.x.array[:] = state.vector
        newton.start = dict(state.pressure)
        iterations = self._solve(state, length, tolerances, guess)
        change = self.course.mobility_change()
        if change > MOBILITY_CHANGE:
            self._undo(state)
            raise SolverError(f"the epidural space opens too fast (its mobility {change:.0f}-fold in a step)")
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
            extrapolation=(vector - state.vector) / length,
        )
        self.last_iterations = iterations

    def _round_off(self, length: float) -> float:
        """Round-off of a step's volume balance [m^3]: flows in the sac are differences of products of this size."""
        conductance = CUT_CONDUCTANCE + self.parameters.materials.network.mobility * ROUND_OFF_LENGTH
        largest = max(abs(pressure) for pressure in self.state.pressure.values())
        return ROUND_OFF * length * conductance * largest

    def _solve(self, state: State, length: float, tolerances: Tolerances, near: Array | None) -> int:
        poro, newton = self.model.poro, self.model.newton
        guesses = [(state.vector, tolerances)]
        few = replace(tolerances, iterations=self.parameters.solver.guess_iterations)
        if near is not None:
            guesses.insert(0, (near, few))
        elif state.extrapolation is not None:
            guesses.insert(0, (state.vector + length * state.extrapolation, few))
        for guess, bounds in guesses:
            poro.state.x.array[:] = guess
            newton.pressure = dict(state.pressure)
            try:
                return newton.solve(bounds, factorised=guess is near)
            except SolverError as error:
                failure = error
        self._undo(state)
        raise failure

    def _undo(self, state: State) -> None:
        """Take back what a step that is refused has changed."""
        self.model.poro.state.x.array[:] = state.vector
        self.model.newton.pressure = dict(state.pressure)

    def _enter(self, state: State) -> None:
        """Let the model and the course be in a state."""
        self.state = state
        self._undo(state)
        for chain, beyond in zip(self.model.newton.chains, state.beyond, strict=True):
            chain.restore(beyond)
        self.course.restore(state.course)

    def restore(self, state: State) -> None:
        """Go back to a checkpoint."""
        self._enter(state.copy())
        self._last_step, self._rates = self.parameters.time.first_step, self.rates(self.state.time)
        self._steps_to_growth = 0

    def upright(self) -> float:
        """Cranial CSF pressure if the patient stood up now [Pa]; the state is left as it is."""
        found = stand_up(self.model)
        self._enter(self.state)
        return found

    def shorten(self, volume: float) -> None:
        """Let the last injection have another volume [m^3], here and wherever a step is rolled back to."""
        self.course.shorten(volume)
        self.state.course = self.course.state.copy()

    def mark(self, length: float) -> Mark:
        """The present point, before a step of some length."""
        return Mark(self.state.copy(), length, self._steps_to_growth, list(self._rates), self.state.extrapolation)

    def resume(self, mark: Mark) -> None:
        """Go on from a mark as if nothing had come between."""
        self.restore(mark.state)
        self._last_step, self._steps_to_growth, self._rates = mark.length, mark.steps_to_growth, list(mark.rates)
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
        control, time = self.parameters.time, self.state.time
        ended = [i.end for i in self.course.state.injections if i.end <= time + TIME_RESOLUTION]
        return max(control.max_step, control.late_step * (time - max(ended, default=0.0)))

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
                    self._steps_to_growth = 0
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
                        raise type(error)(error.reason, self.state.time + taken, taken) from error
                    self._steps_to_growth = solver.steps_to_growth
                    self.state.extrapolation = None
                    continue
                self.step_length = self.state.time - (target - rest)
                after_step()
                if stopped:
                    self._last_step = control.first_step
                    return self.advance(min(until, self.end), after_step, before_step)
                self._steps_to_growth = max(self._steps_to_growth - 1, 0)
                if self.last_iterations <= solver.fast_iterations and self._steps_to_growth == 0:
                    length = max(length, taken) * solver.growth
                elif self.last_iterations > 2 * solver.fast_iterations:
                    length = taken / 2
        self._last_step = length

    def _stop(self, watched: Sequence[int], begun: Mark, taken: float) -> bool:
        """End the injections whose limit the step has reached, and take the step again up to that point."""
        after = self._excess(watched)
        beyond = [k for k, excess in after.items() if excess >= 0]
        if not beyond:
            return False
        self.resume(begun)
        now = self._excess(beyond)
        # Half the share beyond the limit is aimed at, so that what is accepted has reached it.
        aim = 0.5 * STOP_SHARE
        low, high = max(now.values()) - aim, max(after[k] for k in beyond) - aim
        first, last = 0.0, taken
        for _ in range(STOP_TRIALS):
            share = min(max(-low / (high - low), 0.0), 1.0) if high > low else 1.0
            length = max(first + share * (last - first), self.parameters.solver.smallest_step)
            self.resume(begun)
            self.step(length)
            now = self._excess(beyond)
            excess = max(now.values()) - aim
            if abs(excess) <= aim:
                break
            # Illinois: an end that stays counts half, or the other one creeps where the pressure bends
            if excess > 0:
                last, high, low = length, excess, low / 2
            else:
                first, low, high = length, excess, high / 2
        else:
            if excess < 0:
                self.resume(begun)
                self.step(last)
                now = self._excess(beyond)
        furthest = min(max(now.values()), 0.0)  # below 0 by round-off at most
        # of several limits that the whole step reached the shortened one may have reached the first alone
        self.course.stop([k for k in beyond if now[k] >= furthest], self.state.time)
        self.state.course = self.course.state.copy()
        return True

    def _excess(self, injections: Sequence[int]) -> dict[int, float]:
        """How far injections are beyond what ends each, as a share of that; seen from their own needles."""
        found = {}
        for k in injections:
            stop = self.course.state.injections[k].stop
            assert stop is not None
            found[k] = stop.excess(self.row(self.course.sites[k])[0]) / abs(stop.value)
        return found

    def row(self, tip: Site | None = None) -> tuple[dict[str, float], list[dict[str, float]]]:
        """Row of the series and profile for the present state.

        Args:
            tip: whose needle it is about; that of the latest injection unless given.
        """
        state = self.state
        tip = state.tip if tip is None else tip
        values, profile = self.observer.evaluate(tip, state.volume | state.course.volume)
        head = {
            "time_s": state.time,
            "step_s": self.step_length,
            "newton_iterations": float(state.iterations),
            "injection_rate_mL_per_min": sum(self.rates(state.time)) * 6e7,
        }
        return head | values | self._contributions(), [{"time_s": state.time, **line} for line in profile]

    def _contributions(self) -> dict[str, float]:
        """What pressure and plug each contribute to the CSF pressure."""
        base, pressure = self.model.baseline_pressure["s"], self.state.pressure["cranial"]
        unplugged = pressure if self.state.unplugged is None else self.state.unplugged.pressure["cranial"]
        return {
            "rise_from_pressure_mmHg": (unplugged - base) / MMHG,
            "rise_from_plug_mmHg": (pressure - unplugged) / MMHG,
        }


def build_model(comm: MPI.Comm, spine: SpineMesh, parameters: PatchParameters) -> PatchModel:
    """Compose the model and find its prestress and baseline.

    Raises:
        SolverError: the prestress or the baseline was not found.
        ModelError: the parameters contradict each other.
    """
    return PatchModel(comm, spine, parameters)

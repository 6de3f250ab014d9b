"""The course of a procedure: what is injected when, what leaks, and what becomes of both, step by step.

A course prepares a step (sources, leaks, mobility, state of rest, all from what is known at its beginning), and after
the step's convergence carries, reacts and keeps the accounts. Everything that changes is in :class:`CourseState`, so
that a step can be rolled back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from dolfinx import fem
from scipy.optimize import brentq

from fem.arrays import Array
from fem.clot import Contents, Injectate
from fem.compartments import Compartment, CraniospinalCompartment
from fem.forms import compile_form, integrate
from fem.laws.mobility import SwellingMobility
from fem.leak import Leaks, Openness, drop_form
from fem.needle import needle_table, pressure_drop
from fem.parameters import Injection, PatchParameters
from fem.patch import PatchModel, Site
from fem.quantities import of_each_leak
from fem.sleeve import Sleeve
from fem.species import SpeciesTransport

TIME_RESOLUTION = 1e-9
"""Times closer than this are the same event [s]."""

LEAST_SEAL = 1e-3
"""Share of a leak that clot has to close for its plug to be followed [1]: less holds back a thousandth of the flow."""

REACH = 1e4
"""How far beside a known pressure another one is sought [Pa]."""

ACCURACY = 1e-10
"""Accuracy of a pressure that is sought [Pa]."""

ACCOUNTS = ("injected", "foramina", "ends", "resorbed", "leaked", "entered", "lysed", "lost")
"""Cumulative volumes of the body [m^3]: ``leaked`` is CSF, less what of it flowed back; ``entered`` is injected fluid
that entered the sac; ``lost`` is injected content that left by any way but lysis."""


@dataclass
class CourseState:
    """All of a course that changes in time.

    Attributes:
        injections: as far as they were or will be given; one that was stopped has the volume that went in.
        contents: of the modelled part.
        openness: of the leaks.
        plug: whether clot closes leaks.
        volume: accounts of the body [m^3], by ``ACCOUNTS``.
    """

    injections: tuple[Injection, ...]
    contents: Contents
    openness: Openness
    plug: bool
    volume: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, 0.0))

    def copy(self) -> CourseState:
        """An independent copy."""
        return replace(self, contents=self.contents.copy(), openness=self.openness.copy(), volume=dict(self.volume))

    def unplugged(self) -> CourseState:
        """The same with every leak open for good."""
        open_ = replace(self.openness.copy(), seal=np.zeros_like(self.openness.seal))
        return replace(self.copy(), openness=open_, plug=False)


class Course:
    """Injections, leaks and their fluids on a patch model."""

    def __init__(self, model: PatchModel, parameters: PatchParameters) -> None:
        self.model, self.parameters = model, parameters
        fraction = parameters.materials.fat.initial_mobile_fraction
        self.transport = SpeciesTransport(model.poro, model.epidural, fraction)
        self.injectate = Injectate(self.transport, parameters.materials, parameters.injections)
        self.sites = [model.site(*injection.place, self.transport) for injection in parameters.injections]
        self.leaks = Leaks(model.patches, self.transport, self.transport.vertices(), model.leak_flow, model.leak_uptake)
        self._resorbed: Array = np.zeros(len(self.transport.volume))
        self._sleeve = Sleeve(model, self.transport, parameters)
        self._mask = fem.Function(fem.functionspace(model.domain.mesh, ("DG", 0)))
        self._drop = compile_form(drop_form(model.poro, self._mask))
        poro, leak = model.poro, model.poro.setup.leaks[0]
        pressures, ds = poro.split(poro.state)[1], poro.ds(leak.surfaces)
        self._flow = compile_form(self._mask * poro.leak_flux(leak, pressures) * ds)
        cranial = model.whole["cranial"]
        assert isinstance(cranial, CraniospinalCompartment)
        self._craniospinal = replace(cranial, window_compliance=0.0, share=None)
        self.state = CourseState(
            parameters.injections,
            self.injectate.contents.copy(),
            self.leaks.at_rest(self._on_patches(self._drop) / self._areas()),
            parameters.mechanisms.plug,
        )

    def _areas(self) -> Array:
        return np.array([patch.area for patch in self.model.patches])

    def _on_patches(self, form: object) -> Array:
        found = np.zeros(len(self.model.patches))
        for k, patch in enumerate(self.model.patches):
            self._mask.x.array[:] = patch.cells
            found[k] = integrate(form, self.model.comm)
        return found

    # -- injections --------------------------------------------------------------------------------------------------

    def rates(self, time: float) -> list[float]:
        """Rate of each injection just after a time [m^3/s]."""
        eps = TIME_RESOLUTION
        return [i.rate if i.start - eps <= time < i.end - eps else 0.0 for i in self.state.injections]

    def active(self, time: float) -> list[Site]:
        """Sites that are injected just after a time."""
        return [site for rate, site in zip(self.rates(time), self.sites, strict=True) if rate]

    def stopping(self, time: float) -> list[int]:
        """Injections under way just after a time that a quantity may end."""
        return [k for k, rate in enumerate(self.rates(time)) if rate and self.state.injections[k].stop is not None]

    def stop(self, indices: Sequence[int], time: float) -> None:
        """End injections at a time; those that follow them begin then."""
        course: list[Injection] = []
        for k, injection in enumerate(self.state.injections):
            if k in indices:
                injection = replace(injection, volume=(time - injection.start) * injection.rate)
            elif injection.follows and course:
                injection = replace(injection, start=course[-1].end)
            course.append(injection)
        self.state.injections = tuple(course)

    def needle_drop(self) -> float:
        """Largest drop in a needle of the course [Pa]; NaN where no gauge is given."""
        drops = [
            pressure_drop(needle_table()[i.gauge], self.parameters.materials.rheology[i.material], i.rate)
            for i in self.parameters.injections
            if i.gauge is not None
        ]
        return max(drops, default=float("nan"))

    def shorten(self, volume: float) -> None:
        """Let the last injection have another volume [m^3]."""
        *earlier, last = self.state.injections
        self.state.injections = (*earlier, replace(last, volume=volume))

    def end_of_last(self, volume: float) -> float:
        """Time at which the last injection ends if its volume is another one [m^3], [s]."""
        return replace(self.state.injections[-1], volume=volume).end

    @property
    def injection_end(self) -> float:
        """Time at which all injections have ended [s]."""
        return max(injection.end for injection in self.state.injections)

    # -- one step ----------------------------------------------------------------------------------------------------

    def restore(self, state: CourseState) -> None:
        """Go back to a state."""
        self.state = state.copy()
        self.injectate.contents = self.state.contents
        self._write()

    def _write(self) -> None:
        """Set what the next step takes beside its sources."""
        model = self.model
        fluidity = self.injectate.fluidity()
        self.transport.to_function(fluidity, model.poro.fluidity["e"])
        self.transport.to_function(self.injectate.rest(), model.rest)
        self.leaks.set(model.leaks, self.state.openness, model.copies, fluidity)

    def prepare(self, time: float, step: float) -> float:
        """Set the sources of a step; return the volume injected up to its end [m^3]."""
        model = self.model
        supply = model.poro.supply["e"]
        rise = self.transport.pressure() - model.baseline_pressure["e"]
        self._resorbed = self.injectate.resorbed(step, rise)
        taken = self._resorbed * sum(self.injectate.watery())
        supply.x.array[:] = 0.0
        self.transport.to_function(-taken / (step * self.transport.volume), supply)
        rates = self.rates(time)
        for rate, site in zip(rates, self.sites, strict=True):
            supply.x.array[:] += rate / model.copies * site.density
        return self.state.volume["injected"] + step * sum(rates)

    def mobility_change(self) -> float:
        """Factor by which a step changes the epidural mobility most [1]; the step itself took that of its beginning."""
        law = self.model.epidural.mobility  # the model's own: the linear mode has no growth, whatever the table says
        assert isinstance(law, SwellingMobility)
        return float(np.exp(float(law.growth.value) * np.abs(self.transport.swelling()).max(initial=0.0)))

    def compartments(self) -> dict[str, Compartment]:
        """Compartments whose pressure a step finds; not the cranial one where pressure is switched off."""
        whole = self.model.compartments
        if self.parameters.mechanisms.pressure:
            return dict(whole)
        return {name: part for name, part in whole.items() if name != "cranial"}

    @property
    def plugged(self) -> bool:
        """Whether clot closes a leak to an extent that shows."""
        return bool((self.state.openness.seal > LEAST_SEAL).any())

    def _leaking_only(self, before: float, step: float, now: Openness) -> float:
        """Cranial CSF pressure after a step in which nothing is displaced, from formation, absorption and leaks [Pa].

        Args:
            before: at the beginning [Pa].
            step: its length [s].
            now: flows and drops of the leaks at ``before``.
        """
        space = self._craniospinal
        slope = sum(
            patch.leak.conductance * (1 - seal)
            for patch, seal, drop in zip(self.model.patches, now.seal, now.drop, strict=True)
            if drop > 0 or not patch.leak.flap
        )
        flow = self.model.copies * float(now.flow.sum())

        def defect(pressure: float) -> float:
            lost = flow + slope * (pressure - before)
            return space.volume(pressure) - space.volume(before) - step * (space.inflow(pressure) - lost)

        if defect(before) == 0.0:
            return before
        return float(brentq(defect, before - REACH, before + REACH, xtol=ACCURACY))

    def commit(self, time: float, step: float, before: float) -> None:
        """Carry, react and keep the accounts after a step has converged.

        Args:
            time: at its beginning [s].
            step: its length [s].
            before: cranial CSF pressure at its beginning [Pa].
        """
        model, transport, injectate = self.model, self.transport, self.injectate
        copies, rates = model.copies, self.rates(time)
        gained = np.zeros_like(injectate.contents.mobile)
        for k, (rate, site) in enumerate(zip(rates, self.sites, strict=True)):
            gained[injectate.row_of[k]] += step * rate / copies * site.weights
        ours, others = (float(self._resorbed @ part) for part in injectate.watery())
        forward, back = transport.leak_rates()
        uptake = transport.surface_integrals(model.leaks.uptake.x.array)
        entering, drawn = self.leaks.beyond_uptake(forward, uptake)
        outflow = transport.outflow_rates() | {"leak": back, "uptake": drawn}
        left = injectate.carry(step, gained, step * entering, self._resorbed, outflow)
        count = len(injectate.species)
        lysed = injectate.react(step)
        volume = dict(self.state.volume)
        through = {name: copies * step * float(np.sum(rate)) for name, rate in outflow.items()}
        entered = copies * float(left["leak"][:count].sum())
        volume["injected"] += step * sum(rates)
        volume["foramina"] += through.get("foramina", 0.0)
        volume["ends"] += sum(flow for name, flow in through.items() if name.startswith("end_"))
        volume["resorbed"] += copies * (ours + others + step * float(uptake.sum()))
        volume["leaked"] += copies * step * float(np.sum(forward - back)) + entered
        volume["entered"] += entered
        volume["lysed"] += copies * lysed
        volume["lost"] += copies * (ours + sum(float(part[:count].sum()) for part in left.values()))
        now = replace(
            self.state.openness,
            flow=self._on_patches(self._flow),
            drop=self._on_patches(self._drop) / self._areas(),
        )
        plug = self.state.plug
        openness = self.leaks.next(now, injectate.clotted(), injectate.holding_pressure(), plug)
        if not self.parameters.mechanisms.pressure:
            model.newton.pressure["cranial"] = self._leaking_only(before, step, now)
        self.state = CourseState(self.state.injections, injectate.contents, openness, plug, volume)
        self._write()

    # -- what is reported --------------------------------------------------------------------------------------------

    def coverage(self, threshold: float) -> dict[str, float]:
        """How far injected content of at least a threshold [1] covers the leaks and the sleeve that is aimed at."""
        injected = self.injectate.injected()
        covered = self.leaks.coverage(injected, threshold)
        return {
            "leak_coverage": min(covered, default=float("nan")),
            "sleeve_coverage": self._sleeve.coverage(injected, threshold),
            **of_each_leak("leak_coverage", covered),
        }

    def leaking(self) -> dict[str, float]:
        """What leaks do, and the clot on them; NaN without."""
        nothing, openness = float("nan"), self.state.openness
        flow = openness.flow * self.model.copies * 6e7
        thickness = [each * 1e3 for each in self.leaks.thickness(self.injectate.contents.clot.sum(axis=0))]
        return {
            "leak_flow_mL_per_min": flow.sum() if self.model.patches else nothing,
            "leak_openness": self.leaks.openness(openness),
            "leak_clot_thickness_mm": min(thickness, default=nothing),
            **of_each_leak("leak_flow_mL_per_min", flow),
            **of_each_leak("leak_openness", 1 - openness.seal),
            **of_each_leak("leak_clot_thickness_mm", thickness),
        }

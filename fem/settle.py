"""The baseline of a leaking patient: steady flow towards the leaks, sustained by formation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from dolfinx import fem

from fem.compartments import ElasticCompartment
from fem.errors import ModelError
from fem.forms import compile_form, integrate
from fem.newton import Tolerances

if TYPE_CHECKING:
    from fem.patch import PatchModel

SETTLING_TIME = 1e6
"""Length of the one step in which the flow becomes steady [s]; what is stored over it is 1e-7 of what flows."""

SHARE_LEFT = 1e-8
"""Share of the leak's flow that the steady state leaves out of balance [1]; round-off leaves 1e-9, and 3e-9 in a window
of eighteen levels."""

ROUND_OFF_LEFT = 1e-11
"""Volume that round-off leaves out of balance over the settling time, whatever leaks [m^3]: 1.7e-12 in two levels,
8e-12 in eighteen. A leak of less than 0.12 mL/min (0.06 in a model of both halves) would be asked for less."""

AGREEMENT = 3e-4
"""Share of what formation sustains by which a leak's flow and its uptake may differ [1]."""

REPEATS = 5
"""Solves with the mobility of the state before at most."""

SOLVES = 8
"""Corrections of the conductances at most."""

YIELDING = 1e-18
"""Capacity of a compartment that takes up nothing over the settling time [m^3/Pa]."""


def settle_leaks(model: PatchModel) -> None:
    """Set conductances, flows and formation of a model that is at its baseline but for the flow towards its leaks.

    What leaks at rest is taken up where it leaks. The drop of pressure along the sac is small beside that across the
    dura, but not nothing: the conductances are corrected until formation sustains their flow at the patient's pressure.

    Raises:
        ModelError: no conductance does, or formation leaves nothing for leaks at that pressure.
        SolverError: a steady state was not found.
    """
    poro, newton = model.poro, model.newton
    pressure = model.parameters.csf.baseline_pressure
    given = np.array([patch.leak.conductance for patch in model.patches]) / model.copies
    sustained = model.regulation.sustained(pressure) / model.copies
    taken = sustained * given / given.sum()
    compartments = dict(newton.compartments)
    # The cranial pressure is held; what is cut off below takes up nothing.
    newton.compartments = {name: ElasticCompartment(YIELDING) for name in compartments if name != "cranial"}
    poro.step.value = SETTLING_TIME
    left = max(SHARE_LEFT * sustained * SETTLING_TIME, ROUND_OFF_LEFT)
    tolerances = Tolerances(model.tolerances.force, left, model.tolerances.iterations)
    leak = poro.setup.leaks[0]
    mask = fem.Function(fem.functionspace(model.domain.mesh, ("DG", 0)))
    flux = poro.leak_flux(leak, poro.split(poro.state)[1])
    through = compile_form(mask * flux * poro.ds(leak.surfaces))
    factor, tried = 1.0, list[tuple[float, float]]()
    for _ in range(SOLVES):
        model.leaks.set(model.patches, factor * given, taken)
        flow = np.zeros(len(given))
        # the mobility is that of the state before: both are to agree
        for _ in range(REPEATS):
            poro.previous.x.array[:] = poro.state.x.array
            newton.start = dict(newton.pressure)
            still = newton.solve(tolerances) == 0
            newton.advance_chains()
            if still:
                break
        for k, patch in enumerate(model.patches):
            mask.x.array[:] = patch.cells
            flow[k] = integrate(through, model.comm)
        if np.abs(flow - taken).max() <= AGREEMENT * sustained:
            break
        # A leak in series with the spaces on either side: 1/flow is linear in 1/factor.
        tried.append((1 / factor, 1 / flow.sum()))
        (x0, y0), (x1, y1) = tried[0], tried[-1]
        slope = (y1 - y0) / (x1 - x0) if x1 != x0 else y1 / x1
        factor = 1 / (x1 + (1 / sustained - y1) / slope)
        tried = tried[-1:]
        taken = flow * sustained / flow.sum()
    else:
        raise ModelError("the leaks at the baseline carry no steady flow that formation sustains")
    model.patches = [
        replace(patch, leak=replace(patch.leak, conductance=factor * patch.leak.conductance)) for patch in model.patches
    ]
    model.leak_flow, model.leak_uptake = flow, taken
    newton.compartments = compartments
    # within the same share; what is left goes to formation, so that nothing drifts in three days
    absorbed = model.formation - model.regulation.surplus(pressure)
    model.formation = absorbed - model.copies * newton.exchange("cranial")

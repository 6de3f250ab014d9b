"""A stand-in for the solver: closed-form curves, and cases that misbehave on purpose.

A worker process finds it by name, so what a case does is decided by its rate [mL/min], see the constants, and how long
a step takes by a variable of the environment.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fem.errors import SolverError, ValidityError
from fem.quantities import of_each_leak
from geometry import AnatomyError
from studies.case import Case
from studies.inputs import end_of_injection, planned
from studies.runfolder import RunFolder
from studies.solver import Folders

NAME = "tests.studies.fake:simulate_group"
NOTED = "tests.studies.fake:simulate_noted"
ML = 1e-6
STEP = "BLOODPATCH_TEST_STEP"
"""Seconds that a step takes."""
BULK = "BLOODPATCH_TEST_BULK"
"""Bytes of a file of fields."""
ENTERED = "BLOODPATCH_TEST_ENTERED"
"""Folder in which every rank that enters `simulate_noted` leaves a file."""
LATE = 20.0
"""Seconds that a rank waits for another one before it goes on alone."""

IMPOSSIBLE, HARD, DEADLY, ENDLESS = 13, 14, 15, 16
"""Cannot be posed; fails after two steps on every rung; kills its process; takes for ever."""
BEYOND = 19
"""Leaves what the model holds for after two steps."""
SMALLER, FINER = 17, 18
"""Converges with a first step below 0.6 s; below 0.3 s."""
DEADLY_ONCE, ENDLESS_ONCE = 21, 22
"""As above, at the first attempt only."""
ENDLESS_ABOVE, ENDLESS_BELOW = 11, 12
"""Takes for ever if more, or less, than 10 mL are injected."""


class FakeMesh:
    """The little of a mesh that the provenance asks for."""

    points = np.zeros((4, 3))
    cells = np.arange(4)[None, :]
    region = subregion = np.ones(1, dtype=np.int8)
    facets = np.zeros((0, 3), dtype=np.int64)
    facet_tag = np.zeros(0, dtype=np.int32)


class FakeSnapshot:
    """Writes an empty file per region."""

    def __init__(self, moment: float, rank: int = 0) -> None:
        self.time, self.rank = moment, rank

    def write(self, folder: Any, stem: str) -> list[Any]:
        """One file per region."""
        paths = [folder / f"{stem}_{region}.vtu" for region in ("epidural", "subarachnoid", "cord")]
        for path in paths if self.rank == 0 else []:
            path.write_text("<VTKFile/>".ljust(int(os.environ.get(BULK, "0"))))
        return paths


def injected(case: Case, moment: float) -> float:
    """Volume injected by a time [mL]."""
    given = zip(planned(case), case.injection, strict=True)
    return sum(min(max((moment - start) * step.rate, 0.0), step.volume) / ML for (start, _), step in given)


def row(case: Case, moment: float, step: float) -> dict[str, float]:
    """A row of the series with every name that a summary needs."""
    volume = injected(case, moment)
    decay = math.exp(-max(moment - end_of_injection(case), 0.0) / 600.0)
    base = (case.csf.baseline_pressure or 0.0) / 133.322
    csf, needle = 0.3 * volume * decay, 0.03 * volume**2 * decay
    values = {
        "csf_pressure": csf,
        "csf_pressure_lumbar": csf,
        "epidural_pressure": needle,
        "epidural_pressure_needle": needle,
        "root_pressure_max": needle,
    }
    out = {"time_s": moment, "step_s": step, "newton_iterations": 4.0, "injected_mL": volume}
    given = zip(planned(case), case.injection, strict=True)
    rate = sum(each.rate for (start, end), each in given if start <= moment < end)
    out["injection_rate_mL_per_min"] = rate / ML * 60
    for name, rise in values.items():
        out[f"{name}_mmHg"] = base + rise
        out[f"{name}_rise_mmHg"] = rise
    zeros = "epidural_swelling venous_displaced foraminal_outflow end_outflow resorbed"
    zeros += " leaked_csf injectate_intrathecal clot_volume lysed"
    out |= {f"{name}_mL": 0.0 for name in zeros.split()}
    out |= {"csf_displaced_mL": 0.5 * volume * decay, "csf_displaced_lumbosacral_mL": 0.45 * volume * decay}
    out |= {"csf_to_cranial_mL": 0.0, "csf_to_caudal_mL": 0.0, "cord_uptake_mL": 0.0, "volume_balance_error": 0.0}
    out |= {"sac_area_min_mm2": 200.0 - volume, "sac_area_min_ratio": 1 - 0.01 * volume * decay}
    out |= {"cord_displacement_max_mm": 0.0, "cord_area_min_ratio": 1.0, "cord_ap_min_ratio": 1.0}
    out |= {"canal_occupancy_max": 0.02 * volume, "canal_injected_max": 0.01 * volume}
    out |= {"spread_cranial_segments": 1.0, "spread_caudal_segments": 1.0, "spread_ventral_fraction": 0.2}
    covered = [1.0 / (1 + k) for k in range(len(case.leak))]
    if covered:
        out |= {"leak_coverage": min(covered), **of_each_leak("leak_coverage", covered)}
    return out


def simulate_group(comm: Any, cases: Sequence[Case], folders: Folders) -> list[RunFolder]:
    """As `studies.solver.simulate_group`."""
    rate = round(cases[0].injection[-1].rate / ML * 60)
    if rate == IMPOSSIBLE:
        raise AnatomyError("L3: sac 25.0 mm wide does not fit the canal, 23.0 mm wide")
    sinks = [folders(case, FakeMesh(), time.monotonic()) for case in cases]  # type: ignore[arg-type]
    try:
        for case, sink in reversed(list(zip(cases, sinks, strict=True))):  # the smallest volume first, as the solver
            _simulate(case, sink, rate)
    except KeyboardInterrupt:
        for sink in sinks:
            sink.end("interrupted", "stopped by the user")
        raise
    return sinks


def simulate_well(comm: Any, cases: Sequence[Case], folders: Folders) -> list[RunFolder]:
    """As above, and nothing goes wrong whatever the rate."""
    sinks = [folders(case, FakeMesh(), time.monotonic()) for case in cases]  # type: ignore[arg-type]
    for case, sink in zip(cases, sinks, strict=True):
        _simulate(case, sink, 0)
    return sinks


def simulate_noted(comm: Any, cases: Sequence[Case], folders: Folders) -> list[RunFolder]:
    """As `simulate_group`, and every rank that enters is known."""
    (Path(os.environ[ENTERED]) / str(comm.rank)).touch()
    return simulate_group(comm, cases, folders)


def simulate_torn(comm: Any, cases: Sequence[Case], folders: Folders) -> list[RunFolder]:
    """One rank fails while the first waits for it, if not for ever."""
    if comm.rank == 1:
        raise RuntimeError("lost a rank")
    time.sleep(LATE)
    return simulate_group(comm, cases, folders)


def _first_time(sink: RunFolder) -> bool:
    """Whether a folder was not here before; it then was."""
    marker = sink.path / ".been-here"
    if marker.exists():
        return False
    marker.touch()
    return True


def _endless(case: Case, sink: RunFolder, rate: int) -> bool:
    volume = round(case.injection[-1].volume / ML)
    for_this = {ENDLESS: True, ENDLESS_ABOVE: volume > 10, ENDLESS_BELOW: volume < 10}
    return for_this.get(rate, rate == ENDLESS_ONCE and _first_time(sink))


def _simulate(case: Case, sink: RunFolder, rate: int) -> None:
    end = end_of_injection(case)
    stops = {end + delay for _, end in planned(case) for delay in (0.0, 20.0)} | {60.0, 300.0}
    last = end + case.time.follow_up
    moments = sorted(stop for stop in {*stops, *np.linspace(end, last, 6)} if 0 < stop <= last)
    before = 0.0
    pause = float(os.environ.get(STEP, "0"))
    coarsest = {SMALLER: 0.6, FINER: 0.3}.get(rate, math.inf)
    sink.row(row(case, 0.0, 0.0))
    for number, moment in enumerate(moments):
        time.sleep(pause)
        if number == 2 and (rate == HARD or case.time.first_step > coarsest):
            sink.failed(SolverError("Newton's method did not converge", moment, 0.001))
            return
        if number == 2 and rate == BEYOND:
            sink.failed(ValidityError("the window alone is more compliant", moment, 0.001))
            return
        if number == 2 and (rate == DEADLY or (rate == DEADLY_ONCE and _first_time(sink))):
            os._exit(11)
        while number == 2 and _endless(case, sink, rate):
            time.sleep(60)
        sink.row(row(case, moment, moment - before))
        before = moment
    sink.profile([{"time_s": before, "z_mm": 1.0, "sac_area_mm2": 200.0}])
    sink.fields(FakeSnapshot(before, sink.rank))
    sink.finished(
        {"degrees_of_freedom": 1000.0, "newton_iterations": 20.0, "wall_time_s": 1.0, "mesh_quality_min": 0.3}
    )

"""Cases from baseline to end, rows to a sink; those that differ in their last volume only share a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from fem.course import TIME_RESOLUTION
from fem.errors import SolverError, ValidityError
from fem.observe import ML
from fem.output import FieldSnapshot
from fem.parameters import MMHG, PatchParameters
from fem.patch import PatchModel
from fem.quantities import INJECTION_FRAMES, READ_OUTS, STATIC_DELAY
from fem.simulation import Simulation


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

    Raises:
        ValueError: several volumes of an injection that a limit may stop; each takes a path of its own.
    """
    volumes = sorted(sinks)
    earlier, last = parameters.injections[:-1], parameters.injections[-1]
    if last.stop is not None and len(volumes) > 1:
        raise ValueError("volumes of an injection that may be stopped do not share a path")

    def case(volume: float) -> PatchParameters:
        return replace(parameters, injections=(*earlier, replace(last, volume=volume)))

    path = Simulation(model, case(volumes[-1]))
    lying_down = float("nan")
    upright_before = path.upright() if parameters.stand_up else lying_down
    failures: dict[float, SolverError] = {}
    together = list(volumes)

    shown = dict.fromkeys(volumes, -np.inf)

    def is_due(volume: float) -> bool:
        """Whether fields are wanted now: at the times asked for; else often enough to see the injection."""
        now, injections = path.state.time, path.course.state.injections
        end = min(path.course.end_of_last(volume), path.course.injection_end)
        if parameters.time.output_times:
            due = any(abs(now - t) <= TIME_RESOLUTION for t in (0.0, *parameters.time.output_times))
        else:
            stops = (0.0, *(i.end for i in injections[:-1]), end, end + STATIC_DELAY, *READ_OUTS, path.end)
            apart = (end - injections[0].start) / INJECTION_FRAMES
            due = any(abs(now - t) <= TIME_RESOLUTION for t in stops)
            due |= now < end and now - shown[volume] >= apart - TIME_RESOLUTION
        if due:
            shown[volume] = now
        return due

    def deliver(receivers: Sequence[float]) -> None:
        row, profile = path.row()
        if row["sac_area_min_ratio"] <= 0:
            raise ValidityError("small strain has squeezed the sac to nothing: finite strain holds", row["time_s"])
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
            end = path.course.end_of_last(volume)
            if end < target + TIME_RESOLUTION and end - path.state.time <= 2 * length + TIME_RESOLUTION:
                together.remove(volume)
                mark = path.mark(length)
                path.parameters = case(volume)
                path.resume(mark)
                path.shorten(volume)
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
        upright_after = path.upright() if parameters.stand_up else lying_down
        for volume in receivers:
            sinks[volume].finished(
                {
                    "degrees_of_freedom": float(model.degrees_of_freedom),
                    "newton_iterations": float(path.state.iterations),
                    "window_compliance_mL_per_mmHg": model.window_compliance / ML * MMHG,
                    "balancing_force_share": model.balancing_share,
                    "baseline_sac_area_ratio": path.observer.baseline_sac_ratio,
                    "mesh_quality_min": model.spine.quality().minimum,
                    "csf_pressure_posture_shift_mmHg": model.posture_shift / MMHG,
                    "csf_pressure_upright_before_mmHg": upright_before / MMHG,
                    "csf_pressure_upright_after_mmHg": upright_after / MMHG,
                    "needle_pressure_drop_mmHg": path.course.needle_drop() / MMHG,
                }
            )

    # At the baseline an injection begins, but not that of no volume.
    for volumes_there in ([v for v in volumes if v == 0.0], [v for v in volumes if v > 0.0]):
        if volumes_there:
            path.parameters = case(volumes_there[-1])
            path.shorten(volumes_there[-1])
            deliver(volumes_there)
    follow(together, part)
    return failures

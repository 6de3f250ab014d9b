"""Fitted parameters with their uncertainty: `bloodpatch calibrate STUDY.toml --out DIR`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from studies.calibrate.fit import Array, Fit, gauss_newton, summary
from studies.calibrate.study import NORMAL_95, Calibration, Datum, read_calibration
from studies.console import complain, say
from studies.errors import InputError
from studies.files import locked, read_json, write_json, write_text
from studies.protocols import COMPRESSION, DISPLACED, Outcome, outcomes, read_compression, read_higuchi, read_pratt
from studies.provenance import commit, mesh_note, version
from studies.reading import case_hash
from studies.study import plan_study
from studies.sweep import execute, prepare
from studies.worker import DONE, FAILED, INTERRUPTED, SIMULATOR

RESULT: Final = "calibration.json"
TABLE: Final = "calibration.csv"
FITTED: Final = "fitted.toml"
IDENTITY: Final = "identity.json"
NARROWED: Final = 0.9
"""A posterior wider than this share of its prior says that the data have not told about the parameter."""


class _StoppedError(Exception):
    """The solver gave up, or the user stopped it; the status says which."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def calibrate(
    path: Path, out: Path, settings: Sequence[str] = (), jobs: int | None = None, simulator: str = SIMULATOR
) -> int:
    """Fit, and write `calibration.json`, `calibration.csv` and `fitted.toml`; a second call goes on where one stopped.

    Returns:
        Exit status: 0 done, 3 the solver gave up or the fit did not converge, 130 interrupted.

    Raises:
        InputError: the study or the folder cannot be used; nothing was written.
    """
    asked = read_calibration(path, settings)
    identity = _identity(asked)
    _check_folder(out, identity)
    with locked(out):
        write_json(out / IDENTITY, {"identity": identity})
        runs = _Runs(asked, out, jobs, simulator)
        try:
            fit = gauss_newton(
                runs,
                np.array([item.measurement.value for item in asked.data]),
                np.array([item.error for item in asked.data]),
                np.log([item.median for item in asked.parameters]),
                np.array([item.sigma for item in asked.parameters]),
                asked.section.step,
                asked.section.tolerance,
                asked.section.max_iterations,
            )
        except _StoppedError as stop:
            if stop.status != INTERRUPTED:
                complain(f"{out}: the fit needs every run; what was reached is kept, and the same command tries again")
            return stop.status
        _write(asked, fit, out, runs.notes)
    for line in told(asked, fit):
        say(line)
    if not fit.converged:
        complain(
            f"{out}: not converged after {fit.iterations} steps; raise calibrate.max_iterations or look at the runs"
        )
    return DONE if fit.converged else FAILED


class _Runs:
    """Predictions of all data at points: a sweep per evaluation and datum, kept in the folder."""

    def __init__(self, asked: Calibration, out: Path, jobs: int | None, simulator: str) -> None:
        self.asked, self.out, self.jobs, self.simulator = asked, out, jobs, simulator
        self.evaluation = 0
        self.notes: set[str] = set()

    def __call__(self, points: list[Array]) -> list[Array]:
        self.evaluation += 1
        folders = [self.out / "runs" / f"{self.evaluation:03d}-{item.measurement.id}" for item in self.asked.data]
        sweeps = []
        for item, folder in zip(self.asked.data, folders, strict=True):
            cases = [
                {p.key: p.written(float(value)) for p, value in zip(self.asked.parameters, point, strict=True)}
                for point in points
            ]
            plan = plan_study(item.tree | {"sweep": {"mode": "list", "cases": cases}}, self.asked.path)
            sweeps.append(prepare(plan, folder, resume=True))
        status = execute(
            sweeps, self.jobs, resume=True, simulator=self.simulator, label=f"evaluation {self.evaluation}"
        )
        if status != DONE:
            raise _StoppedError(status)
        columns = []
        for item, folder in zip(self.asked.data, folders, strict=True):
            found = sorted(outcomes(folder), key=lambda outcome: outcome.path.name)
            self.notes |= {mesh_note(outcome.case) for outcome in found}
            values = [read_datum(item, outcome) for outcome in found]
            if len(values) != len(points) or not all(map(math.isfinite, values)):
                complain(f"{folder}: {item.measurement.id} cannot be read off a run")
                raise _StoppedError(FAILED)
            columns.append(values)
        return [np.array(row) for row in zip(*columns, strict=True)]


def read_datum(item: Datum, outcome: Outcome) -> float:
    """The prediction of a datum, read as its protocol says; NaN where the run did not get there."""
    row = item.measurement
    if row.quantity == DISPLACED:
        return read_higuchi(outcome).value
    if row.quantity in COMPRESSION:
        return read_compression(outcome, row.quantity)
    return next((step.value for step in read_pratt(outcome) if abs(step.volume_mL - row.volume_mL) < 1e-6), math.nan)


def _identity(asked: Calibration) -> str:
    import fem

    texts = [f"{item.key} {item.median!r} {item.sigma!r}" for item in asked.parameters]
    texts += [f"{item.measurement!r} {item.error!r} {item.tree!r}" for item in asked.data]
    section = asked.section
    texts += [fem.MODEL_VERSION, repr((section.step, section.tolerance, section.max_iterations))]
    from studies.reading import validate_case

    return case_hash(validate_case(asked.data[0].tree), *texts)


def _check_folder(out: Path, identity: str) -> None:
    allowed = "allowed is a new or empty folder, or one that holds the same calibration"
    if out.exists() and not out.is_dir():
        raise InputError("--out", f'"{out}", a file', allowed)
    names = {path.name for path in out.iterdir()} - {".lock"} if out.is_dir() else set()
    if IDENTITY not in names and names:
        raise InputError("--out", f'"{out}", which holds other files', allowed)
    held = read_json(out / IDENTITY) if IDENTITY in names else None
    if held is not None and held.get("identity") != identity:
        raise InputError("--out", f'"{out}", which holds another calibration', allowed)


def rows(asked: Calibration, fit: Fit) -> list[dict[str, Any]]:
    """One row per parameter: prior and posterior median with 95 % interval, and how much narrower it got."""
    made = []
    for item, mode, sigma in zip(asked.parameters, fit.mode, fit.sigma, strict=True):
        ratio = float(sigma / item.sigma)
        made.append(
            {
                "key": item.key,
                "unit": item.unit,
                "prior": item.median,
                "prior_low": item.median * math.exp(-NORMAL_95 * item.sigma),
                "prior_high": item.median * math.exp(NORMAL_95 * item.sigma),
                "posterior": math.exp(mode),
                "posterior_low": math.exp(mode - NORMAL_95 * sigma),
                "posterior_high": math.exp(mode + NORMAL_95 * sigma),
                "width_ratio": ratio,
                "told_by_data": "yes" if ratio < NARROWED else "hardly: the posterior is the prior",
            }
        )
    return made


def _write(asked: Calibration, fit: Fit, out: Path, notes: set[str]) -> None:
    names = [item.key for item in asked.parameters]
    pd.DataFrame(rows(asked, fit)).to_csv(out / TABLE, index=False, lineterminator="\n")
    data = [
        {
            "id": item.measurement.id,
            "quantity": item.measurement.quantity,
            "unit": item.measurement.unit,
            "measured": item.measurement.value,
            "error": item.error,
            "predicted": float(predicted),
            "tag": item.measurement.tag,
        }
        for item, predicted in zip(asked.data, fit.predicted, strict=True)
    ]
    result = {
        "parameters": rows(asked, fit),
        "data": data,
        **summary(fit, names, np.array([item.sigma for item in asked.parameters])),
        "jacobian_of_logarithms": fit.jacobian.tolist(),
        "cost": fit.cost,
        "iterations": fit.iterations,
        "converged": fit.converged,
        "path": [{"logarithms": list(point), "cost": cost} for point, cost in fit.path],
        "error_of_a_datum": asked.section.spread,
        "method": "Gauss-Newton on logarithms, log-normal priors, posterior linearised at the mode",
        "mesh": sorted(notes),
        "bloodpatch": version(),
        **commit(),
    }
    write_json(out / RESULT, result)
    lines = [f"# Fitted parameters of {out.name}: put them into a case file, or copy them to the table of parameters."]
    for item, mode in zip(asked.parameters, fit.mode, strict=True):
        section, _, name = item.key.rpartition(".")
        value = item.written(float(mode))
        lines += [f"[{section}]", f"{name} = {value!r}" if isinstance(value, float) else f'{name} = "{value}"']
    write_text(out / FITTED, "\n".join(_grouped(lines)) + "\n")


def _grouped(lines: list[str]) -> list[str]:
    """Keys of one table under one heading, in the order in which the tables come."""
    tables: dict[str, list[str]] = {}
    for heading, entry in zip(lines[1::2], lines[2::2], strict=True):
        tables.setdefault(heading, []).append(entry)
    return [lines[0], *(line for heading, entries in tables.items() for line in ("", heading, *entries))]


def _ranged(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.3g} ({row[f'{name}_low']:.3g} to {row[f'{name}_high']:.3g})"


def told(asked: Calibration, fit: Fit) -> list[str]:
    """What a user is told at the end."""
    lines = [
        f"{row['key']}: {_ranged(row, 'posterior')} {row['unit']}, prior {_ranged(row, 'prior')}, "
        f"width {row['width_ratio']:.2f} of it"
        for row in rows(asked, fit)
    ]
    for item, predicted in zip(asked.data, fit.predicted, strict=True):
        row = item.measurement
        lines.append(f"{row.id}: predicted {predicted:.3g}, measured {row.value:.3g} ± {item.error:.2g} {row.unit}")
    for i, a in enumerate(asked.parameters):
        for j, b in enumerate(asked.parameters[:i]):
            lines.append(f"correlation of {b.key} and {a.key}: {fit.correlation[i, j]:+.2f}")
    return lines

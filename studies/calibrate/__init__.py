"""Fitted parameters with their uncertainty: `bloodpatch calibrate STUDY.toml --out DIR`."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

import fem
from studies.calibrate.fit import Array, Fit, NoPredictionError, gauss_newton, summary
from studies.calibrate.study import NORMAL_95, Calibration, Datum, read_calibration
from studies.console import complain, say
from studies.errors import InputError
from studies.files import locked, read_json, write_json, write_text
from studies.protocols import (
    BOLUS,
    COMPRESSION,
    DISPLACED,
    Outcome,
    outcomes,
    read_bolus,
    read_compression,
    read_higuchi,
    read_pratt,
)
from studies.provenance import commit, mesh_note, version
from studies.reading import case_hash
from studies.study import Plan, plan_study
from studies.sweep import KEY_DIGITS, execute, prepare
from studies.worker import DONE, FAILED, SIMULATOR

RESULT: Final = "calibration.json"
TABLE: Final = "calibration.csv"
FITTED: Final = "fitted.toml"
IDENTITY: Final = "identity.json"
NARROWED: Final = 0.9
"""A posterior wider than this share of its prior says that the data have not told about the parameter."""


class _StoppedError(Exception):
    """The user stopped it, with the exit status that says so."""

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
                [item.likelihood for item in asked.data],
                np.log([item.median for item in asked.parameters]),
                np.array([item.sigma for item in asked.parameters]),
                asked.section.step,
                asked.section.tolerance,
                asked.section.max_iterations,
                np.log([item.start for item in asked.parameters]),
            )
        except _StoppedError as stop:
            return stop.status
        except NoPredictionError:
            complain(f"{out}: the fit needs every run; what was reached is kept, and the same command tries again")
            return FAILED
        _write(asked, fit, out, runs.notes)
    for line in told(asked, fit):
        say(line)
    if not fit.converged:
        complain(
            f"{out}: not converged after {fit.iterations} steps; raise calibrate.max_iterations or look at the runs"
        )
    return DONE if fit.converged else FAILED


class _Runs:
    """Predictions of all data at points, NaN where a run did not get there.

    A folder per point, and in it a sweep per path: data that differ in the volume of their case only share one. A point
    that comes again, in this call or a later one, is read and not computed.
    """

    def __init__(self, asked: Calibration, out: Path, jobs: int | None, simulator: str) -> None:
        self.asked, self.out, self.jobs, self.simulator = asked, out, jobs, simulator
        self.evaluation = 0
        self.notes: set[str] = set()
        self.paths = _paths(asked.data)

    def __call__(self, points: list[Array]) -> list[Array]:
        self.evaluation += 1
        folders = [[self._folder(point) / name for name in self.paths] for point in points]
        sweeps = [
            prepare(self._plan(data, point), folder, resume=True)
            for point, row in zip(points, folders, strict=True)
            for folder, data in zip(row, self.paths.values(), strict=True)
        ]
        status = execute(
            sweeps, self.jobs, resume=True, simulator=self.simulator, label=f"evaluation {self.evaluation}"
        )
        if status not in (DONE, FAILED):
            raise _StoppedError(status)
        return [self._read(row) for row in folders]

    def _written(self, point: Array) -> dict[str, Any]:
        return {item.key: item.written(float(value)) for item, value in zip(self.asked.parameters, point, strict=True)}

    def _folder(self, point: Array) -> Path:
        name = hashlib.sha256(repr(self._written(point)).encode()).hexdigest()[:KEY_DIGITS]
        return self.out / "runs" / name

    def _plan(self, data: list[Datum], point: Array) -> Plan:
        last = len(data[0].tree["injection"]) - 1
        volumes = {item.measurement.volume_mL: item.tree["injection"][last]["volume"] for item in data}
        cases = [{f"injection.{last}.volume": volume, **self._written(point)} for volume in volumes.values()]
        return plan_study(data[0].tree | {"sweep": {"mode": "list", "cases": cases}}, self.asked.path)

    def _read(self, folders: list[Path]) -> Array:
        values: dict[str, float] = {}
        for folder, data in zip(folders, self.paths.values(), strict=True):
            for outcome in outcomes(folder):
                self.notes.add(mesh_note(outcome.case))
                at_volume = [item for item in data if abs(item.measurement.volume_mL - outcome.volume_mL) < 1e-6]
                values |= {item.measurement.id: read_datum(item, outcome) for item in at_volume}
        return np.array([values.get(item.measurement.id, math.nan) for item in self.asked.data])


def _paths(data: Sequence[Datum]) -> dict[str, list[Datum]]:
    """Data by the path of volumes that their cases share, under the name of the first."""
    found: dict[str, tuple[str, list[Datum]]] = {}
    for item in data:
        tree = copy.deepcopy(item.tree)
        tree["injection"][-1]["volume"] = ""
        found.setdefault(repr(tree), (item.measurement.id, []))[1].append(item)
    return dict(found.values())


def read_datum(item: Datum, outcome: Outcome) -> float:
    """The prediction of a datum, read as its protocol says; NaN where the run did not get there."""
    row = item.measurement
    if row.quantity == DISPLACED:
        return read_higuchi(outcome).value
    if row.quantity == BOLUS:
        return read_bolus(outcome)
    if row.quantity in COMPRESSION:
        return read_compression(outcome, row.quantity)
    return next((step.value for step in read_pratt(outcome) if abs(step.volume_mL - row.volume_mL) < 1e-6), math.nan)


def _identity(asked: Calibration) -> str:
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
    """One row per parameter: prior and posterior median with 95 % interval, how much narrower it got, whose model."""
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
                "told_by_data": "yes" if ratio < NARROWED else "hardly: the posterior is as wide as the prior",
                "range_low": item.low,
                "range_high": item.high,
                "within_range": "no" if item.outside(math.exp(mode)) else "yes",
                "model_version": fem.MODEL_VERSION,
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
            "sense": item.measurement.sense,
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
        "method": "Gauss-Newton on logarithms, log-normal priors, normal errors of figures, probit of statements, "
        "posterior linearised at the mode",
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
        + (f"; OUTSIDE its range, {row['range_low']:g} to {row['range_high']:g}" if row["within_range"] == "no" else "")
        for row in rows(asked, fit)
    ]
    for item, predicted in zip(asked.data, fit.predicted, strict=True):
        lines.append(f"{item.measurement.id}: predicted {predicted:.3g}, {item.told}")
    for i, a in enumerate(asked.parameters):
        for j, b in enumerate(asked.parameters[:i]):
            lines.append(f"correlation of {b.key} and {a.key}: {fit.correlation[i, j]:+.2f}")
    return lines

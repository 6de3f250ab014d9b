"""What a fit leaves open of its parameters, carried into every line of the comparison: `bloodpatch uncertainty`.

The posterior is normal in the logarithms of the parameters, linearised at the mode. Along each of its principal axes
the clinical protocols are run one standard deviation to either side; half the difference of a prediction there is its
standard deviation from that axis, and axes add by squares. Nothing is fitted, and no measurement enters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import fem
from studies.calibrate import RESULT
from studies.calibrate.outcome import MODE
from studies.calibrate.study import NORMAL_95, written
from studies.compare import Comparison, gather
from studies.console import complain, say
from studies.demo import CASES
from studies.errors import InputError
from studies.files import read_json, replacing
from studies.study import Plan, read_study
from studies.sweep import check, execute, prepare
from studies.worker import DONE, FAILED, INTERRUPTED, SIMULATOR

TABLE: Final = "uncertainty.csv"

PROTOCOLS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "higuchi": ("higuchi.toml", ()),
    "pratt": ("pratt.toml", ()),
    "volume": ("demo.toml", ("injection.0.level=L3/L4",)),
    "compression": ("compression.toml", ()),
}
"""Studies that the lumbar lines of a comparison are read off, with what replaces their axes."""


@dataclass(frozen=True)
class Posterior:
    """Outcome of a fit, normal in the logarithms of the parameters.

    Attributes:
        keys: parameters.
        units: of their values.
        mode: logarithm of the most probable values, shape (n,).
        covariance: of the logarithms, shape (n, n).
    """

    keys: tuple[str, ...]
    units: tuple[str, ...]
    mode: NDArray[np.float64]
    covariance: NDArray[np.float64]


def read_posterior(calibration: Path) -> Posterior:
    """Read the outcome of a calibration.

    Args:
        calibration: folder that `bloodpatch calibrate` wrote.

    Raises:
        InputError: the folder holds no outcome of a calibration.
    """
    refused = InputError(
        "--calibration", f'"{calibration}"', f"allowed is a folder of bloodpatch calibrate, with its {RESULT}"
    )
    try:
        found = read_json(calibration / RESULT)
        rows = found["parameters"]
        keys = [row["key"] for row in rows]
        with np.errstate(all="raise"):
            mode = np.log([row["posterior"] for row in rows])
            sigma = np.log([row["posterior_high"] / row["posterior"] for row in rows]) / NORMAL_95
        correlation = np.array([[found["correlation"][one][other] for other in keys] for one in keys])
        posterior = Posterior(
            tuple(keys), tuple(str(row["unit"]) for row in rows), mode, correlation * np.outer(sigma, sigma)
        )
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise refused from error
    if not keys:
        raise refused
    return posterior


def points(posterior: Posterior) -> dict[str, dict[str, Any]]:
    """Values of the fitted parameters one standard deviation along either side of each principal axis, by name."""
    variances, axes = np.linalg.eigh(posterior.covariance)
    made = {}
    for number, (variance, axis) in enumerate(zip(variances[::-1], axes.T[::-1], strict=True), start=1):
        for side, sign in (("minus", -1.0), ("plus", 1.0)):
            values = np.exp(posterior.mode + sign * math.sqrt(max(variance, 0.0)) * axis)
            made[f"axis-{number}-{side}"] = {
                key: written(float(value), unit)
                for key, value, unit in zip(posterior.keys, values, posterior.units, strict=True)
            }
    return made


def uncertainty(calibration: Path, out: Path, jobs: int | None = None, simulator: str = SIMULATOR) -> int:
    """Run the protocols at every point, and write the table; a second call goes on where one stopped.

    Returns:
        Exit status: 0 done, 3 a prediction is missing at some point, 130 interrupted.

    Raises:
        InputError: the calibration or the folder cannot be used.
    """
    posterior = read_posterior(calibration)
    chosen = points(posterior)
    plans = {out / point / name: plan for point, values in chosen.items() for name, plan in _plans(values).items()}
    for folder, plan in plans.items():
        check(plan, folder, resume=False)
    status = execute(
        [prepare(plan, folder) for folder, plan in plans.items()], jobs, simulator=simulator, label=out.name
    )
    if status == INTERRUPTED:
        return status
    table = spread({point: gather(out / point) for point in chosen})
    for key, logarithm in zip(posterior.keys, posterior.mode, strict=True):  # what the deviations are about
        table[f"{MODE}{key}"] = math.exp(logarithm)
    with replacing(out / TABLE) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    say(f"{out / TABLE}: {len(table)} predictions")
    if (missing := int(table["sd"].isna().sum())) > 0:
        complain(f"{out / TABLE}: {missing} of them lack a point and have no standard deviation")
    return DONE if status == DONE and not missing else FAILED


def _plans(values: Mapping[str, Any]) -> dict[str, Plan]:
    settings = [f"{key}={value}" for key, value in values.items()]
    return {name: read_study(CASES / file, vary, settings) for name, (file, vary) in PROTOCOLS.items()}


def spread(comparisons: Mapping[str, Comparison]) -> pd.DataFrame:
    """Standard deviation of every prediction, from its values at the points; one row per measurement.

    A prediction that no protocol here computes (it is missing at every point) has no row.
    """
    predicted = pd.DataFrame(
        {point: {line.measurement: line.predicted for line in found.lines} for point, found in comparisons.items()}
    ).dropna(how="all")
    axes = sorted({point.rsplit("-", 1)[0] for point in comparisons})
    halves = [(predicted[f"{axis}-plus"] - predicted[f"{axis}-minus"]) / 2 for axis in axes]
    frame = pd.DataFrame({"sd": np.sqrt(sum(half**2 for half in halves))})
    units = {line.measurement: line.unit for found in comparisons.values() for line in found.lines}
    frame.insert(0, "unit", [units[name] for name in frame.index])
    frame = frame.join(predicted)
    frame["model_version"] = fem.MODEL_VERSION
    return frame.rename_axis("measurement").reset_index()

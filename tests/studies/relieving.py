"""Runs with known rises and coverages, for the tests of relief."""

import math
from pathlib import Path

import pandas as pd

from studies.case import Case
from studies.protocols import Outcome
from studies.relief.data import relief_rows

ROWS = relief_rows()


BY_NAME = {row.row_id: row for row in ROWS}


def run(level: str, volume: float, rise: float, patient: str = "pdph", **summary: float) -> Outcome:
    case = Case.model_validate({"patient": patient, "injection": [{"level": level, "volume": f"{volume} mL"}]})
    values = {"csf_pressure_rise_mmHg": rise, "csf_pressure_half_decay_s": 600.0} | summary
    return Outcome(case, Path("x"), "done", "", dict(values), pd.DataFrame())


def leaking(patient: str, level: str, leak: str, volume: float = 20.0, **summary: float) -> Outcome:
    tree = {"patient": patient, "injection": [{"level": level, "volume": f"{volume} mL"}]}
    case = Case.model_validate(tree | {"leak": [{"level": leak, "site": "dorsal"}]})
    values = {"csf_pressure_rise_mmHg": 99.0, "csf_pressure_half_decay_s": 600.0} | summary
    covered = summary.get("leak_coverage", math.nan)
    series = pd.DataFrame({"time_s": [0.0, 60.0, 600.0], "leak_coverage": [0.0, covered, covered]})
    return Outcome(case, Path("x"), "done", "", dict(values), series)


RUNS = [run(level, v, slope * v) for level, slope in (("L2/L3", 0.2), ("L3/L4", 0.4)) for v in (10.0, 20.0, 30.0)]

"""A stand-in for the solver whose answers depend on three parameters in a known way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studies.case import Case
from studies.inputs import end_of_injection, material_values
from studies.runfolder import RunFolder
from studies.solver import Folders
from tests.studies import fake

NAME = "tests.studies.fake_calibrate:simulate_group"
MOBILITY, STORAGE, OUTFLOW = "fat.mobility", "veins.slope", "foramina.conductance"
REFERENCE = {MOBILITY: 3e-7, STORAGE: 5e-5, OUTFLOW: 3e-13}
POWERS = {
    "displaced": {MOBILITY: -0.1, STORAGE: -0.2, OUTFLOW: -0.3},
    "needle": {MOBILITY: -0.2, STORAGE: 0.1, OUTFLOW: -0.6},
    "bolus": {MOBILITY: 0.05, STORAGE: -0.1, OUTFLOW: -0.5},
    "recovery": {MOBILITY: -0.3, STORAGE: 0.1, OUTFLOW: -0.2},
}
DISPLACED, NEEDLE, BOLUS, RECOVERY = 4.0, 9.0, 0.8, 86400.0
"""At the reference values: lumbosacral CSF displaced by 10 mL [mL]; needle rise [mmHg] at 15 mL of blood and after 2 mL
of saline; time [s] in which the sac recovers."""

_row = fake.row


def factor(values: dict[str, float], kind: str) -> float:
    """How much larger a result is than at the reference values."""
    product = 1.0
    for key, power in POWERS[kind].items():
        product *= (values[key] / REFERENCE[key]) ** power
    return product


def row(case: Case, moment: float, step: float) -> dict[str, float]:
    """As `fake.row`, with displaced CSF and needle pressure of its own and no decay; the sac recovers evenly."""
    out = _row(case, moment, step)
    volume, values = fake.injected(case, moment), material_values(case)
    out["csf_displaced_lumbosacral_mL"] = DISPLACED * volume / 10 * factor(values, "displaced")
    after = max(moment - end_of_injection(case), 0.0) / (RECOVERY * factor(values, "recovery"))
    out["sac_area_min_ratio"] = 1 - 0.01 * volume * max(1 - after, 0.0)
    stepwise, bolus = (
        NEEDLE * (volume / 15) ** 2 * factor(values, "needle"),
        BOLUS * volume / 2 * factor(values, "bolus"),
    )
    out["epidural_pressure_needle_rise_mmHg"] = bolus if case.injection[0].material == "saline" else stepwise
    return out


def simulate_group(comm: Any, cases: Sequence[Case], folders: Folders) -> list[RunFolder]:
    """As `fake.simulate_group`."""
    fake.row = row
    return fake.simulate_group(comm, cases, folders)

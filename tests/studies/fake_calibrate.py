"""A stand-in for the solver whose answers depend on two parameters in a known way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studies.case import Case
from studies.resolve import material_values
from studies.runfolder import RunFolder
from studies.solver import Folders
from tests.studies import fake

NAME = "tests.studies.fake_calibrate:simulate_group"
OUTFLOW, STORAGE = "foramina.conductance", "veins.slope"
REFERENCE = {OUTFLOW: 3e-13, STORAGE: 5e-5}
POWERS = {"displaced": {OUTFLOW: -0.3, STORAGE: -0.2}, "needle": {OUTFLOW: -0.6, STORAGE: 0.1}}
DISPLACED, NEEDLE = 4.0, 9.0
"""At the reference values: lumbosacral CSF displaced by 10 mL [mL], needle rise at 15 mL [mmHg]."""

_row = fake.row


def factor(values: dict[str, float], kind: str) -> float:
    """How much larger a result is than at the reference values."""
    product = 1.0
    for key, power in POWERS[kind].items():
        product *= (values[key] / REFERENCE[key]) ** power
    return product


def row(case: Case, moment: float, step: float) -> dict[str, float]:
    """As `fake.row`, with displaced CSF and needle pressure of its own and no decay."""
    out = _row(case, moment, step)
    volume, values = fake.injected(case, moment), material_values(case)
    out["csf_displaced_lumbosacral_mL"] = DISPLACED * volume / 10 * factor(values, "displaced")
    out["epidural_pressure_needle_rise_mmHg"] = NEEDLE * (volume / 15) ** 2 * factor(values, "needle")
    return out


def simulate_group(comm: Any, cases: Sequence[Case], folders: Folders) -> list[RunFolder]:
    """As `fake.simulate_group`."""
    fake.row = row
    return fake.simulate_group(comm, cases, folders)

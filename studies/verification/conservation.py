"""Conservation, read back from the files of a run: nothing is lost, per step and in total.

The case is run as a user runs it, into a run folder, and only ``series.csv`` and ``summary.json`` are looked at:

    injected + leaked CSF = swelling + venous + foraminal + ends + resorbed + entered the sac,
    displaced CSF = cranial outflow + caudal outflow + leak + cord uptake,

where the uptake is the swelling of the cord, mostly negative: what the cord is squeezed out of leaves with the CSF.

Both are recomputed from the columns of every row, and for the differences between rows. What the columns say of the
species is held against the model in ``tests/fem``.
"""

from __future__ import annotations

import csv
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpi4py import MPI

from studies.case import Case
from studies.meshnote import MESH
from studies.runner import run_resolved
from studies.verification.problem import Check, Problem, Result
from studies.verification.spine import LUMBAR, THORACIC, case_of

GAINS = ("injected_mL", "leaked_csf_mL")
USES = (
    "epidural_swelling_mL",
    "venous_displaced_mL",
    "foraminal_outflow_mL",
    "end_outflow_mL",
    "resorbed_mL",
    "injectate_intrathecal_mL",
)
"""Columns of the epidural balance; names of the contract."""

FOLLOW_UP = 60.0
"""Time after the injection [s]: pressures turn round in it."""


@dataclass
class Conservation(Problem):
    """2 mL into short windows."""

    name: str = "conservation"
    title: str = "Conservation in series.csv"
    axis: str = "spans"
    levels: tuple[int, ...] = (1,)
    full_levels: tuple[int, ...] = (2,)

    def checks(self) -> Sequence[Check]:
        """Over the volume injected so far."""
        return [
            Check("epidural balance, total", 1e-8, None, "acceptance at finite strain"),
            Check("epidural balance, a step", 1e-8, None, "acceptance at finite strain"),
            Check("CSF balance, total", 1e-7, None, "the sum of 2e-9 of each step's tolerance over some twenty steps"),
            Check("CSF balance, a step", 1e-8, None, "2e-9 of the injected volume is left out of balance by a step"),
            Check("balance that the file states", 1e-8, None, "acceptance at finite strain"),
        ]

    def run(self, level: int) -> Result:
        """One span, or two."""
        worst: dict[str, float] = {}
        for span, interspace in (LUMBAR, THORACIC)[:level]:
            case = case_of(span, interspace, volume="2 mL")
            shorter = case.time.model_copy(update={"follow_up": FOLLOW_UP})
            unseen = case.output.model_copy(update={"fields": False})
            found = self._run(case.model_copy(update={"time": shorter, "output": unseen}))
            worst = {name: max(value, worst.get(name, 0.0)) for name, value in found.items()}
        return Result(worst)

    def _run(self, case: Case) -> dict[str, float]:
        """Run on all ranks of the process; the first one has the files."""
        comm = MPI.COMM_WORLD
        with tempfile.TemporaryDirectory() as folder:
            out = Path(comm.bcast(folder)) / "run"
            status = run_resolved(case, out, quiet=True)
            unsolved = dict.fromkeys((check.quantity for check in self.checks()), math.inf)
            found = balances(out) if comm.rank == 0 and status == 0 else unsolved
            return dict(comm.bcast(found))


def balances(folder: Path) -> dict[str, float]:
    """Largest errors of both balances over the volume injected so far, from the files of a run folder."""
    with (folder / "series.csv").open(newline="", encoding="utf-8") as stream:
        rows = [
            {name: float(text or "nan") for name, text in row.items() if name != MESH} for row in csv.DictReader(stream)
        ]
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    epidural, csf = [epidural_defect(row) for row in rows], [csf_defect(row) for row in rows]
    injected = [row["injected_mL"] for row in rows]
    late = [k for k, volume in enumerate(injected) if volume > 0]

    def total(defects: Sequence[float]) -> float:
        return max(abs(defects[k]) / injected[k] for k in late)

    def step(defects: Sequence[float]) -> float:
        return max(abs(defects[k] - defects[k - 1]) / injected[k] for k in late)

    stated = summary["volume_balance_error_max"]["value"]
    return {
        "epidural balance, total": total(epidural),
        "epidural balance, a step": step(epidural),
        "CSF balance, total": total(csf),
        "CSF balance, a step": step(csf),
        "balance that the file states": abs(stated),
    }


def epidural_defect(row: Mapping[str, float]) -> float:
    """What came into the epidural space less what became of it [mL]."""
    return sum(row[name] for name in GAINS) - sum(row[name] for name in USES)


def csf_defect(row: Mapping[str, float]) -> float:
    """CSF displaced from the window less what left it and what the cord took up [mL]."""
    left = row["csf_to_cranial_mL"] + row["csf_to_caudal_mL"] + row["leaked_csf_mL"] + row["cord_uptake_mL"]
    return row["csf_displaced_mL"] - left

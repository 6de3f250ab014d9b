"""One, two and three MPI ranks give the same numbers.

Under ``mpirun`` every rank also solves the whole problem by itself, and the distributed solution is held against that;
run alone, the test starts ``mpirun`` with two and with three ranks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mpi4py import MPI

from studies.verification.bending import Bending
from studies.verification.coaxial import CoaxialPatch
from studies.verification.jump import PressureJump
from studies.verification.manufactured import ALL, ManufacturedTime
from studies.verification.marmarou import Infusion
from studies.verification.problem import Problem
from studies.verification.sliding import Sliding
from studies.verification.tangent import Tangent, everything

ALIKE = 1e-8
"""Acceptance; sums in another order and other pivots leave 1e-12 of a solution."""


def problems() -> list[tuple[Problem, int]]:
    return [
        (CoaxialPatch(), 4),
        (Infusion(), 8),
        (PressureJump(), 2),
        (Sliding(), 2),
        (Bending(), 4),
        (ManufacturedTime(variants=(ALL[4],)), 4),
    ]


@pytest.mark.mpi
@pytest.mark.parametrize(("problem", "level"), problems(), ids=lambda p: p.name if isinstance(p, Problem) else str(p))
def test_distributed_as_alone(problem: Problem, level: int) -> None:
    alone = problem.run(level).errors
    problem.comm = MPI.COMM_WORLD
    together = problem.run(level).errors
    # errors are relative to exact values of order one, so that solutions differ by what errors differ by
    for quantity, error in alone.items():
        assert abs(together[quantity] - error) < ALIKE, quantity


@pytest.mark.mpi
def test_jacobian_and_bordered_solve_on_every_rank() -> None:
    problem = Tangent(directions=1)
    problem.comm = MPI.COMM_WORLD
    errors = problem.run(1).errors
    for check in problem.checks():
        assert errors[check.quantity] < check.limit


@pytest.mark.mpi
def test_residual_norms_do_not_depend_on_ranks() -> None:
    alone = everything(MPI.COMM_SELF, 1)[1].evaluate()
    together = everything(MPI.COMM_WORLD, 1)[1].evaluate()
    assert together.force == pytest.approx(alone.force, rel=1e-12)  # a sum of squares in another order
    assert together.volume == pytest.approx(alone.volume, rel=1e-12)
    assert together.defects == pytest.approx(alone.defects, rel=1e-12)


@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="this run is distributed already")
@pytest.mark.parametrize(
    ("ranks", "which"),
    [(2, ""), (3, "coaxial or norms")],  # three ranks on two cores are slow: the coupled ones only
    ids=["2 ranks", "3 ranks"],
)
def test_under_mpirun(ranks: int, which: str) -> None:
    mpirun = shutil.which("mpirun")
    assert mpirun is not None, "the environment has no mpirun"
    # variables that tie a process to the MPI of its parent would make the children singletons
    loose = {k: v for k, v in os.environ.items() if not k.startswith(("PMIX_", "OMPI_COMM_", "PMI_", "HYDRA_"))}
    loose["OMPI_MCA_mpi_yield_when_idle"] = "1"  # more ranks than cores: a rank that waits lets the others work
    done = subprocess.run(
        [
            mpirun,
            "-n",
            str(ranks),
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-m",
            "mpi",
            "-k",
            which,
            str(Path(__file__)),
        ],
        env=loose,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "passed" in done.stdout

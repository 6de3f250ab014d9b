"""The cheap half of the verification: problems with known answers on the coarser levels, and the digits themselves.

A problem's own checks hold limits and design orders (within 0.1); the reason of each stands beside it in
studies/verification. Where a coarser level than that of the command is run here, the limit is widened with the square
of the cell size, and said so.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI

from studies.verification import PROBLEMS
from studies.verification.biot import COMPRESSIBLE, INCOMPRESSIBLE
from studies.verification.coaxial import CASES
from studies.verification.consolidation import Mandel, MandelSlab, Terzaghi, TerzaghiColumn
from studies.verification.manufactured import ALL, ManufacturedSpace, ManufacturedTime, Variant
from studies.verification.marmarou import Marmarou
from studies.verification.membranes import CylinderMembrane, RivlinBalloon, ramp
from studies.verification.point_source import PointSource, Rudnicki
from studies.verification.problem import Problem, Study
from studies.verification.tube import Lame, LameTube


def judge(problem: Problem, widened: float = 1.0) -> None:
    """Every check of a problem holds on its daily levels, its limits widened by a factor; distributed under mpirun."""
    problem.comm = MPI.COMM_WORLD
    study = Study.of(problem, full=False)
    for outcome in study.outcomes():
        assert math.isfinite(outcome.error)
        assert outcome.error <= widened * outcome.limit, outcome
        if outcome.expected is not None and outcome.error > 1e-11:  # round-off has no order
            assert outcome.order >= outcome.expected - 0.1, outcome


# -- the digits of the closed forms; they are given to six decimals, hence half a unit of the last one ---------------


@pytest.mark.parametrize(
    ("time", "terzaghi", "mandel"),
    [(0.001, 0.857143, 0.468561), (0.05, 0.854459, 0.496896), (0.1, 0.813690, 0.489263), (0.5, 0.317809, 0.242281)],
)
def test_digits_of_consolidation(time: float, terzaghi: float, mandel: float) -> None:
    assert Terzaghi(COMPRESSIBLE).pressure(np.array(1.0), time)[0] == pytest.approx(terzaghi, abs=5.1e-7)
    assert Mandel(COMPRESSIBLE).pressure(np.array(0.0), time)[0] == pytest.approx(mandel, abs=5.1e-7)


@pytest.mark.parametrize(
    ("time", "terzaghi", "mandel"), [(0.01, 1.0, 0.516537), (0.05, 0.996869, 0.536583), (0.1, 0.949305, 0.528830)]
)
def test_digits_of_incompressible_consolidation(time: float, terzaghi: float, mandel: float) -> None:
    assert Terzaghi(INCOMPRESSIBLE).pressure(np.array(1.0), time)[0] == pytest.approx(terzaghi, abs=5.1e-7)
    assert Mandel(INCOMPRESSIBLE).pressure(np.array(0.0), time)[0] == pytest.approx(mandel, abs=5.1e-7)


def test_digits_of_the_coaxial_patch() -> None:
    # given to eight decimals, for a sac without a skeleton
    u, p, csf = replace(CASES["alpha 1"], network=0.0).solution()
    assert (u, p, csf) == pytest.approx((-0.02122066, 0.36502731, 0.2), abs=5.1e-9)
    u, p, csf = replace(CASES["alpha .9"], network=0.0).solution()
    assert (u, p, csf) == pytest.approx((-0.00706698, 0.08255763, 0.06660476), abs=5.1e-9)


def test_digits_of_the_tube_and_of_marmarou() -> None:
    for nu, inner, outer in ((0.3, 1.906667, 1.213333), (0.4999, 1.999967, None)):
        assert float(Lame(nu).radial(np.array(1.0))) == pytest.approx(inner, abs=5.1e-7)
        if outer is not None:
            assert float(Lame(nu).radial(np.array(2.0))) == pytest.approx(outer, abs=5.1e-7)
    assert float(Marmarou().pressure(20.0)) == pytest.approx(21.834678987, abs=5.1e-10)


def test_point_source_is_the_steady_one_in_the_end() -> None:
    # Q/(4 pi kappa r); erfc(e) = 1 - 2 e/sqrt(pi), e = 5e-4 at this time
    far = np.array([[0.0], [1.0], [0.0]])
    steady = 1 / (4 * np.pi * COMPRESSIBLE.mobility)
    assert Rudnicki(COMPRESSIBLE).pressure(far, 1e6)[0] == pytest.approx(steady, rel=6e-4)


# -- the production code against them --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TerzaghiColumn, MandelSlab])
def test_consolidation(kind: type[TerzaghiColumn] | type[MandelSlab]) -> None:
    judge(kind(media={"M 5": COMPRESSIBLE}))


def test_point_source() -> None:
    # 12 and 24 cells instead of 24 and 48: four times the error
    judge(PointSource(levels=(12, 24)), widened=4.2)


def test_tube() -> None:
    judge(LameTube(levels=(16, 32), ratios=(0.3,)))


def test_nearly_incompressible_tube() -> None:
    # 32 cells: 1.05e-5 measured against an acceptance of 1e-5 that 64 cells meet
    found = LameTube(ratios=(0.4999,)).run(32)
    assert found.errors["u(a), nu 0.4999"] < 2e-5


@pytest.mark.parametrize(
    "name", ["sliding", "bending", "coaxial", "marmarou", "jump", "tension_only", "fibres", "transport", "jacobian"]
)
def test_problem_as_the_command_runs_it(name: str) -> None:
    judge(PROBLEMS[name]())


@pytest.mark.parametrize(
    "name",
    ["baseline", "bolus", "patch_jacobian", "conservation", pytest.param("invariance", marks=pytest.mark.slow)],
)
def test_patient_model_as_the_command_runs_it(name: str) -> None:
    judge(PROBLEMS[name]())


def test_cylinder() -> None:
    judge(CylinderMembrane())


def test_balloon() -> None:
    judge(RivlinBalloon(stretches=(1.2, 1.6)))


def test_ramp_of_the_tests_is_not_that_of_the_law() -> None:
    # the balance of the membrane problems rests on this one; values by hand for a toe of 0.03
    assert [ramp(x, 0.03) for x in (-1.0, 0.0, 0.015, 0.03, 0.05)] == pytest.approx([0, 0, 0.00375, 0.015, 0.035])


@pytest.mark.parametrize("variant", [ALL[0], ALL[3], ALL[4], ALL[7]], ids=lambda variant: variant.label)
def test_manufactured_in_time(variant: Variant) -> None:
    judge(ManufacturedTime(variants=(variant,), levels=(16, 32)))


@pytest.mark.parametrize("variant", [ALL[0], ALL[3], ALL[4], ALL[7]], ids=lambda variant: variant.label)
def test_manufactured_in_space(variant: Variant) -> None:
    judge(ManufacturedSpace(variants=(variant,)))


@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="scikit-fem has the whole system in one process")
def test_scikit_fem_solves_the_same_system() -> None:
    pytest.importorskip("skfem", reason="development requirement")
    judge(PROBLEMS["scikit_fem"]())

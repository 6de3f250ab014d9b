"""The whole patch model gives the same answer on one, two and three ranks."""

import json
import shutil
import subprocess
import sys

import pytest

CASE = "tests.fem.ranks_case"


def row_on(ranks: int, root) -> dict[str, float]:
    launcher = [] if ranks == 1 else [shutil.which("mpirun"), "-n", str(ranks)]
    done = subprocess.run(
        [*launcher, sys.executable, "-m", CASE], cwd=root, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("ROW "))
    return json.loads(line[4:])


@pytest.fixture(scope="module")
def one(pytestconfig):
    return row_on(1, pytestconfig.rootpath)


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.slow)])  # three ranks crowd two cores
def test_ranks_agree(ranks, one, pytestconfig):
    many = row_on(ranks, pytestconfig.rootpath)
    assert one["csf_displaced_mL"] > 0.02
    assert one["rise_from_plug_mmHg"] > 1e-3
    for name, value in one.items():
        if name in {"newton_iterations", "volume_balance_error"}:
            continue
        # 1e-8 of the quantity's own size; zero quantities and NaN alike
        assert many[name] == pytest.approx(value, rel=1e-8, abs=1e-9, nan_ok=True), name

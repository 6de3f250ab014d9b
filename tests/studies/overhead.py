"""What the sweep layer costs: many cases that wait instead of computing, and the time that is not theirs.

`env/run python -m tests.studies.overhead --cases 200 --seconds 30 --jobs 16` prints it. A case waits for `--seconds`,
in a path of its own; its own time is what its status says (from the start of its simulation to its end), everything
else is the sweep layer's: planning, starting workers, run folders, watching, tables.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

from studies.standing import case_states
from studies.study import plan_study
from studies.sweep import execute, prepare
from tests.studies.fake import NAME, STEP

STEPS_PER_CASE = 9
"""Steps that the stand-in takes for a case of one injection and the default follow-up."""


def measure(cases: int, seconds: float, jobs: int, folder: Path) -> tuple[float, float, float]:
    """Run that many cases.

    Returns:
        Wall time from reading the study to its tables, own time of all cases, processor time of the layer [s].
    """
    os.environ[STEP] = str(seconds / STEPS_PER_CASE)
    rates = [f"{20 + 1e-3 * number:.3f} mL/min" for number in range(cases)]
    tree = {
        "injection": [{"level": "L3/L4", "volume": "5 mL"}],
        "sweep": {"vary": {"injection.0.rate": rates}},
    }
    begun = time.monotonic()
    status = execute([prepare(plan_study(tree, folder / "study.toml"), folder / "out")], jobs, simulator=NAME)
    wall = time.monotonic() - begun
    assert status == 0
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor = sum(use.ru_utime + use.ru_stime for use in used)
    own = sum(case.status.wall_time_s for case in case_states(folder / "out") if case.status is not None)
    return wall, own, processor


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the overhead of the sweep layer.")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--jobs", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wall, own, processor = measure(options.cases, options.seconds, options.jobs, Path(folder))
    rounds = -(-options.cases // options.jobs) * options.jobs / options.cases  # the last round may not be full
    lost = wall * options.jobs / rounds - own
    print(
        f"{options.cases} cases, {own / options.cases:.2f} s of their own each, {options.jobs} at a time: {wall:.1f} s"
    )
    print(f"overhead {lost / own:.2%} of the cases' own time, {lost / options.cases:.2f} s per case")
    print(f"processor time of the sweep layer {processor / options.cases:.2f} s per case, {processor / own:.2%}")


if __name__ == "__main__":
    main()

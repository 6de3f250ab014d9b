"""A study to sweep with the stand-in, and workers without processes of their own."""

import os

from studies.launcher import Launcher, Worker
from studies.results import table
from studies.study import plan_study
from studies.worker import main as work


class Inline(Launcher):
    """Runs a worker where it is started: the same command, without a process of its own."""

    started: list[list[str]]

    def __init__(self):
        super().__init__()
        self.started = []

    def start(self, arguments, log):
        arguments = [argument for argument in arguments if argument != "--leash"]
        self.started.append(arguments)
        return Worker(os.getpid(), work(arguments))

    def wait(self, timeout):
        pass


def plan(tmp_path, rates=(20,), volumes=("5 mL", "10 mL"), **sweep):
    tree = {
        "injection": [{"level": "L3/L4", "volume": "1 mL"}],
        "sweep": {
            "vary": {"injection.0.rate": [f"{rate} mL/min" for rate in rates], "injection.0.volume": list(volumes)},
            **sweep,
        },
    }
    return plan_study(tree, tmp_path / "study.toml")


def by_rate(out):
    return table(out).set_index("injection.0.rate_mL_per_min")

"""Where the paths of a sweep are computed; a new place is a class in a file of its own, and its name here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from studies.errors import InputError, shown
from studies.pool import Pool
from studies.slurm import Slurm


class Executor(Protocol):
    """Computes what is due of a pool's sweeps."""

    def need(self) -> None:
        """Refuse to begin where the place is not to be had.

        Raises:
            InputError: what is missing.
        """

    def run(self, pool: Pool, jobs: int | None, watch: Callable[[Pool, bool], None]) -> None:
        """Compute until nothing is due any more.

        Args:
            pool: of the sweeps.
            jobs: paths at a time.
            watch: called now and then; its second argument says whether a path has ended.

        Raises:
            StoppedError: it cannot go on.
        """


class Local:
    """Worker processes of this machine."""

    def need(self) -> None:
        """They are always to be had."""

    def run(self, pool: Pool, jobs: int | None, watch: Callable[[Pool, bool], None]) -> None:
        """As the protocol says; the pool knows how many at a time."""
        pool.run(watch)


EXECUTORS: Final[Mapping[str, Executor]] = {"local": Local(), "slurm": Slurm()}
"""By the name that `--executor` takes."""


def named_executor(name: str) -> Executor:
    """An executor by its name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in EXECUTORS:
        raise InputError("--executor", shown(name), f"allowed is {' or '.join(EXECUTORS)}")
    return EXECUTORS[name]

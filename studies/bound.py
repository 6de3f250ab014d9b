"""What the anatomy lets a patch fill, level by level: `python -m studies.bound CASE.toml`.

Bone is rigid, cord and roots stay. With all of the epidural space filled the occupancy of a slice is 1 - sac/canal; it
grows only as the sac loses area, and ends where nothing but the cord (from L1/L2 down: the cauda equina, whose area
without CSF is the one at which root pressure first rises) is left in it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fem.tolerance import limits
from geometry import Anatomy
from studies.answer import answer
from studies.case import Case
from studies.console import say
from studies.errors import InputError
from studies.inputs import build_anatomy
from studies.reading import read_case
from studies.resolve import resolve
from studies.values import LEVELS
from studies.worker import DONE

OCCUPANCY_GOAL: Final = 0.5
"""Canal filled to a half in the two-level patch; teaching thread, item 12."""

SAC_GOAL: Final = 0.75
"""Sac area ratio by which the sac counts as compressed; issue 4."""


@dataclass(frozen=True)
class Bound:
    """Bounds of one interspace; areas [m^2], shares of the canal's area [1].

    Attributes:
        untouched: occupancy with all of the epidural space filled and the sac as it is.
        at_goal: the same with the sac at ``SAC_GOAL`` of its area.
        most: with nothing but cord or roots left in the sac.
        needed: sac area ratio at which the occupancy can reach ``OCCUPANCY_GOAL``.
    """

    interspace: str
    canal: float
    sac: float
    content: float

    @property
    def untouched(self) -> float:
        """See the class."""
        return 1 - self.sac / self.canal

    @property
    def at_goal(self) -> float:
        """See the class."""
        return 1 - SAC_GOAL * self.sac / self.canal

    @property
    def most(self) -> float:
        """See the class."""
        return 1 - self.content / self.canal

    @property
    def needed(self) -> float:
        """See the class."""
        return (1 - OCCUPANCY_GOAL) * self.canal / self.sac

    @property
    def verdict(self) -> str:
        """Whether the goal can be reached there, and what stops it."""
        if self.most < OCCUPANCY_GOAL:
            return "out of reach: cord or roots fill the rest"
        if self.needed < self.content / self.sac:
            return "out of reach: the sac cannot lose so much"
        return f"within reach at a sac area ratio of {min(self.needed, SAC_GOAL):.2f}"


def bound(anatomy: Anatomy, interspace: str) -> Bound:
    """Bounds of one interspace."""
    z = np.array([anatomy.interspace_z(interspace)])
    canal, sac, cord = (float(getattr(anatomy.sections, f"{name}_area")(z)[0]) for name in ("canal", "sac", "cord"))
    lumbar = LEVELS.index(interspace.split("/")[0]) >= LEVELS.index("L1")
    roots = limits()["sac_area"].value * 1e-6 if lumbar else 0.0
    return Bound(interspace, canal, sac, min(max(cord, roots), sac))


def report(case: Case) -> list[str]:
    """One line per interspace of the anatomy; a star where the case injects."""
    anatomy = build_anatomy(case)
    injected = {injection.level for injection in case.injection}
    lines = ["  interspace  canal  sac  cord or roots [mm2]  occupancy untouched  at sac 0.75  at most  goal"]
    for interspace in anatomy.interspaces:
        b = bound(anatomy, interspace)
        lines.append(
            f"{'*' if interspace in injected else ' '} {interspace:>10} "
            f"{b.canal * 1e6:6.0f} {b.sac * 1e6:4.0f} {b.content * 1e6:20.0f} {b.untouched:20.2f} "
            f"{b.at_goal:12.2f} {b.most:8.2f}  {b.verdict}"
        )
    return lines


def main(arguments: Sequence[str]) -> int:
    """Print the bounds of a case file's levels."""
    try:
        if len(arguments) != 1:
            raise InputError("CASE.toml", f"{len(arguments)} files", "allowed is python -m studies.bound CASE.toml")
        say("\n".join(report(resolve(read_case(Path(arguments[0]))))))
        return DONE
    except Exception as error:
        return answer(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

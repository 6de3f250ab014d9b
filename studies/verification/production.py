"""How sure the numbers of the production case are: what discretisation, window and assumptions do to each of them.

Reads a sweep of ``studies/cases/production.toml``: a reference case and cases that differ from it in one thing. A
*series* refines (mesh; steps in time) and gives orders, extrapolated values and grid-convergence indices; a *band*
changes what was assumed (window, network, slack tension, spinal share, source radius) and gives the change. A quantity
is any number of ``summary.json`` that is not about the computation itself.

The size of a mesh is the cube root of the volume per cell, here in units of that of a mesh of a thousand cells: ratios
of sizes follow from numbers of cells [1]. A step's size is that of the largest step of the injection, with which the
other two shrink.

[1] I. B. Celik et al. 2008, J Fluids Eng 130:078001, doi:10.1115/1.2960953.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fem.quantities import QUANTITIES
from studies.errors import InputError
from studies.files import read_json
from studies.standing import CaseState, case_states, read_summary
from studies.study import numeric_column
from studies.values import LEVELS
from studies.verification.convergence import Convergence, convergence

HEADLINES: Final = (
    "csf_pressure_rise_mmHg",
    "csf_displaced_peak_mL",
    "epidural_pressure_needle_peak_mmHg",
    "epidural_pressure_static_rise_mmHg",
    "root_pressure_max_peak_mmHg",
    "sac_area_min_ratio",
    "canal_occupancy_max",
    "cord_displacement_max_mm",
)
"""Quantities that the terminal shows; files hold all."""

NOT_PHYSICAL: Final = frozenset(
    {
        "degrees_of_freedom",
        "injected_mL",
        "mesh_quality_min",
        "newton_iterations",
        "volume_balance_error",
        "volume_balance_error_max",
        "wall_time_s",
    }
)
"""Numbers of a summary that are given, or about the computation."""

WINDOW_LIMIT: Final = 0.02
"""Change of a headline figure that a window wider by two segments may bring; acceptance of the model's description."""

CORD: Final = "cord_displacement_max_mm"
"""Reported with the band of the network's stiffness, whatever else is."""

LEAST: Final = 3
"""Members of a series that an order needs."""


@dataclass(frozen=True)
class Kind:
    """One of the studies: which keys of a case it changes, and how it is read.

    Attributes:
        name: of the study.
        keys: dotted keys that its members may change.
        size: key of which the number is the size; empty for the number of cells.
        order: of the design; None for a band.
        title: in tables and figures.
    """

    name: str
    keys: frozenset[str]
    size: str
    order: float | None
    title: str


MESH: Final = Kind("mesh", frozenset({"mesh.size"}), "", 2.0, "Mesh")
STEPS: Final = Kind(
    "steps",
    frozenset({"time.first_step", "time.injection_step", "time.max_step", "time.late_step"}),
    "time.injection_step",
    1.0,
    "Steps in time",
)


def _band(name: str, key: str, title: str) -> Kind:
    return Kind(name, frozenset({key}), key, None, title)


WINDOW: Final = _band("window", "anatomy.span", "Window")
NETWORK: Final = _band("network", "materials.network.youngs_modulus", "Stiffness of the network (third medium)")
SHARE: Final = _band("share", "csf.spinal_share", "Spinal share of the compliance")
KINDS: Final = (
    MESH,
    STEPS,
    WINDOW,
    NETWORK,
    _band("bending", "materials.dura.bending_stiffness", "Bending stiffness of the dura"),
    _band("slack", "materials.dura.slack_tension", "Slack tension of the dura"),
    SHARE,
    _band("radius", "solver.source_radius", "Radius of the source"),
)
"""Studies, in the order of the tables."""


@dataclass(frozen=True)
class Member:
    """One finished case of a study.

    Attributes:
        label: its setting, as the case file writes it.
        size: number that orders it; NaN where the setting has none.
        values: its summary.
    """

    label: str
    size: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Part:
    """A study: its members, the reference among them, in the order of their sizes (fine or small first).

    Attributes:
        reference: index of the reference case.
    """

    kind: Kind
    members: tuple[Member, ...]
    reference: int

    def values(self, name: str) -> tuple[float, ...]:
        """A quantity of every member; NaN where a member has none."""
        return tuple(member.values.get(name, math.nan) for member in self.members)

    def convergence(self, name: str) -> Convergence | None:
        """What the series says of a quantity; None of a band, or where some have it not."""
        values = self.values(name)
        if self.kind.order is None or not all(map(math.isfinite, values)):
            return None
        return convergence([member.size for member in self.members], values, self.kind.order)

    def change(self, name: str) -> float:
        """Largest change from the reference over the reference; NaN where there is none."""
        values = self.values(name)
        known = [value for value in values if math.isfinite(value)]
        base = values[self.reference]
        if not math.isfinite(base) or base == 0 or len(known) < 2:
            return math.nan
        return max(abs(value - base) for value in known) / abs(base)

    def at_zero(self, name: str) -> float:
        """A quantity on the line through its two softest (smallest) settings, at zero."""
        (a, b), (fa, fb) = (self.members[0].size, self.members[1].size), self.values(name)[:2]
        return fa - a * (fb - fa) / (b - a)


@dataclass(frozen=True)
class Production:
    """All studies of a sweep.

    Attributes:
        parts: those with at least two members, a series with at least three.
        quantities: that the reference has, by name in the order of the summary.
        missing: what was asked for and is not there, a line each.
        model_version: of the model that was run, empty where its provenance does not say.
    """

    parts: tuple[Part, ...]
    quantities: tuple[str, ...]
    missing: tuple[str, ...] = field(default=())
    model_version: str = ""

    def part(self, name: str) -> Part | None:
        """A study by its name."""
        return next((part for part in self.parts if part.kind.name == name), None)

    def verdicts(self) -> list[tuple[str, bool]]:
        """Sentences about what has a limit, and whether it holds."""
        window = self.part(WINDOW.name)
        if window is None:
            return []
        found = []
        for name in HEADLINES:
            change = window.change(name)
            if math.isfinite(change):
                text = f"window {window.members[-1].label}: {name} changes by {100 * change:.2g} %, allowed 2 %"
                found.append((text, change < WINDOW_LIMIT))
        return found


def read_production(folder: Path) -> Production:
    """The studies of a sweep folder.

    Args:
        folder: of a sweep of ``studies/cases/production.toml``, finished or not.

    Raises:
        InputError: no sweep, or its reference case, the first, has not finished.
    """
    states = case_states(folder)
    first = states[0]
    if first.state != "done":
        raise InputError(
            str(folder), f"{first.name}, {first.state}", "allowed is a sweep whose first case, the reference, is done"
        )
    base = flat(tomllib.loads(first.entry["case"]))
    changed = {case.name: _changed(base, case) for case in states[1:]}
    missing = [
        f"{case.name}: {case.state}{f' ({case.reason})' if case.reason else ''}"
        for case in states
        if case.state != "done"
    ]
    reference = read_summary(first.path)
    quantities = tuple(name for name in QUANTITIES if name not in NOT_PHYSICAL and _says(reference.get(name)))
    parts = []
    for kind in KINDS:
        chosen = [first, *(case for case in states[1:] if changed[case.name] and changed[case.name] <= kind.keys)]
        done = [case for case in chosen if case.state == "done"]
        part = _part(kind, done, first)
        needed = LEAST if kind.order is not None else 2
        different = len({member.size for member in part.members})
        if different < needed or different < len(part.members):
            missing.append(f"{kind.title}: {different} different cases, at least {needed} and none twice are needed")
        else:
            parts.append(part)
    ran = str((read_json(first.path / "provenance.json") or {}).get("model_version", ""))
    return Production(tuple(parts), quantities, tuple(missing), ran)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of a case by dotted key."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves


def _changed(base: Mapping[str, Any], case: CaseState) -> frozenset[str]:
    other = flat(tomllib.loads(case.entry["case"]))
    return frozenset(key for key in base.keys() | other.keys() if base.get(key) != other.get(key))


def _says(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value != 0


def _part(kind: Kind, done: Sequence[CaseState], first: CaseState) -> Part:
    members = sorted(((_member(kind, case), case is first) for case in done), key=lambda pair: pair[0].size)
    return Part(kind, tuple(member for member, _ in members), [is_first for _, is_first in members].index(True))


def _member(kind: Kind, case: CaseState) -> Member:
    setting = flat(tomllib.loads(case.entry["case"]))
    values = {k: float(v) for k, v in read_summary(case.path).items() if isinstance(v, int | float)}
    if kind is MESH:
        cells = (read_json(case.path / "provenance.json") or {}).get("mesh", {}).get("cells", 0)
        if not cells:
            raise InputError(str(case.path / "provenance.json"), "no number of cells", "allowed is a run of a mesh")
        size = (cells / 1000) ** (-1 / 3)
        return Member(str(setting["mesh.size"]), size, values)
    value = setting.get(kind.size)
    if value is None:
        return Member("as measured", -math.inf, values)
    if isinstance(value, list):
        return Member("-".join(value), float(LEVELS.index(value[1]) - LEVELS.index(value[0])), values)
    column = numeric_column(kind.size, value)
    return Member(str(value), column[1] if column is not None else float(value), values)

"""A finished or interrupted run folder as the pictures and the report read it."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from studies.case import Case
from studies.errors import InputError
from studies.inputs import build_anatomy, end_of_injection
from studies.meshnote import MESH
from studies.plot.fields import Fields, read_fields
from studies.quantities import MMHG
from studies.reading import validate_case
from studies.results import is_run
from studies.runfolder import CASE, STATUS, SUMMARY, Status, read_status
from studies.series import read_series

MM: Final = 1e3
ML: Final = 1e-6
HOUR: Final = 3600.0
DAY: Final = 86400.0
FOLDER: Final = "allowed is a folder that a run was written to"
DAMAGED_TABLE: Final = ("a damaged file", "allowed is the table that the run wrote")


@dataclass(frozen=True)
class Places:
    """Where levels and interspaces are along the canal [mm], as far as they are known."""

    levels: dict[str, tuple[float, float]] = field(default_factory=dict)
    interspaces: dict[str, float] = field(default_factory=dict)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Middle of every level with its name, caudal to cranial."""
        return sorted((0.5 * (low + high), name) for name, (low, high) in self.levels.items())

    @property
    def borders(self) -> list[float]:
        """Heights between levels."""
        return sorted({z for bounds in self.levels.values() for z in bounds})


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Attributes:
        path: the folder.
        case: as resolved.
        status: how it ended; None where it did not.
        summary: entries of `summary.json` by name.
        provenance: `provenance.json`; empty where there is none.
        series: a row per accepted step; the first is the baseline.
        profile: a row per axial slice and output time; empty where none was written.
        fields: what `fields.pvd` names.
    """

    path: Path
    case: Case
    status: Status | None
    summary: dict[str, dict[str, Any]]
    provenance: dict[str, Any]
    series: pd.DataFrame
    profile: pd.DataFrame
    fields: Fields

    @property
    def title(self) -> str:
        """The course of injections in words."""
        parts = [
            f"{item.volume / ML:g} mL {item.material} at {item.level}, {item.approach}" for item in self.case.injection
        ]
        return "; ".join(dict.fromkeys(parts)) if len(set(parts)) < 4 else f"{len(parts)} injections"

    @property
    def state(self) -> str:
        """State in one word."""
        return self.status.state if self.status else "not ended"

    @property
    def end(self) -> float:
        """Time that was reached [s]."""
        return float(self.series["time_s"].iloc[-1])

    @property
    def peak_time(self) -> float:
        """Time of the largest CSF pressure [s]; the end of the last injection where it is not known."""
        value = self.value("csf_pressure_peak_time_s")
        if math.isfinite(value):
            return value
        return min(end_of_injection(self.case), self.end)

    def value(self, name: str) -> float:
        """Number of the summary; NaN where it has none."""
        value = self.summary.get(name, {}).get("value")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan

    def shows(self, name: str) -> bool:
        """Whether a column of the series says something: it is there and not constant zero."""
        if name not in self.series:
            return False
        values = self.series[name].to_numpy(float)
        return bool(np.isfinite(values).any() and np.nanmax(np.abs(values)) > 0.0)

    @cached_property
    def places(self) -> Places:
        """Levels and interspaces from the anatomy of the case; of a mesh of the user's own, from that mesh."""
        if self.case.anatomy.mesh is not None:
            return _places_of_mesh(self.case.anatomy.mesh)
        assert self.case.anatomy.span is not None
        anatomy = build_anatomy(self.case)
        names = anatomy.span_levels(self.case.anatomy.span)
        low, high = anatomy.span_bounds(self.case.anatomy.span)
        inside = {
            name: anatomy.interspace_z(name) * MM
            for name in anatomy.interspaces
            if low - 1e-9 <= anatomy.interspace_z(name) <= high + 1e-9
        }
        borders = sorted({round(z, 6) for z in (low * MM, high * MM, *inside.values())}, reverse=True)
        levels = {name: (borders[i + 1], borders[i]) for i, name in enumerate(names) if i + 1 < len(borders)}
        return Places(levels, inside)

    @property
    def injected_heights(self) -> dict[str, float]:
        """Height of every injected interspace [mm], cranial first; those whose place is not known are left out."""
        return self._heights([item.level for item in self.case.injection])

    @property
    def leak_heights(self) -> dict[str, float]:
        """Height of every interspace with a leak [mm], cranial first."""
        return self._heights([item.level for item in self.case.leak])

    def _heights(self, levels: list[str]) -> dict[str, float]:
        names = dict.fromkeys(levels)
        known = {name: self.places.interspaces[name] for name in names if name in self.places.interspaces}
        return dict(sorted(known.items(), key=lambda item: -item[1]))


def _places_of_mesh(path: str) -> Places:
    from geometry import read_mesh

    try:
        mesh = read_mesh(path)
    except (ValueError, OSError):
        return Places()  # the mesh has gone: pictures do without levels
    z = mesh.points[:, 2]
    levels = {}
    for index, name in enumerate(mesh.levels):
        inside = mesh.cells[mesh.level == index]
        if len(inside):
            middle = z[inside].mean(axis=1)
            levels[name] = (float(middle.min()) * MM, float(middle.max()) * MM)
    return Places(levels, {name: height * MM for name, height in mesh.interspace_z.items()})


def read_run(folder: Path) -> Run:
    """Everything of a run folder.

    Raises:
        InputError: it holds no run, nothing was reached, or a file is damaged.
    """
    if not folder.is_dir():
        raise InputError(str(folder), "no such folder" if not folder.exists() else "a file", FOLDER)
    if not is_run(folder):
        raise InputError(str(folder), "no run", FOLDER)
    try:
        case = validate_case(tomllib.loads((folder / CASE).read_text(encoding="utf-8")))
    except InputError as error:
        version = f"a case that this version does not read ({error})"
        raise InputError(str(folder / CASE), version, "allowed is a run of this version") from None
    except (OSError, ValueError) as error:
        raise InputError(str(folder / CASE), "a damaged file", FOLDER) from error
    series = read_series(folder)
    if series is None:
        path, status = folder / "series.csv", read_status(folder)
        if path.is_file() and path.stat().st_size:
            raise InputError(str(path), *DAMAGED_TABLE)
        given = f"a run that reached nothing{f' ({status.reason})' if status and status.reason else ''}"
        raise InputError(str(folder), given, "allowed is a run that got at least to its baseline")
    return Run(
        path=folder,
        case=case,
        status=read_status(folder) if (folder / STATUS).is_file() else None,
        summary=_entries(folder / SUMMARY),
        provenance=_object(folder / "provenance.json"),
        series=series.drop(columns=MESH, errors="ignore").astype(float),
        profile=_table(folder / "profile.csv"),
        fields=read_fields(folder),
    )


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file() or path.stat().st_size == 0:
        return pd.DataFrame()
    try:
        return pd.read_csv(path).drop(columns=MESH, errors="ignore").astype(float)
    except (ValueError, OSError) as error:
        raise InputError(str(path), *DAMAGED_TABLE) from error


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError(path)
        return data
    except (ValueError, OSError) as error:
        raise InputError(str(path), "a damaged file", "allowed is the file that the run wrote") from error


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    return {name: entry for name, entry in _object(path).items() if isinstance(entry, dict)}


def duration(seconds: float) -> str:
    """A time as a reader says it: 20 s, 5 min, 3 h, 3 d."""
    if seconds < 2 * 60:
        return f"{seconds:.3g} s"
    if seconds < 2 * HOUR:
        return f"{seconds / 60:.3g} min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.3g} h"
    return f"{seconds / DAY:.3g} d"


def mmhg(pascal: Any) -> Any:
    """Pressure in mmHg from pascal; arrays alike."""
    return pascal / MMHG

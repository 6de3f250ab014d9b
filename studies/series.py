"""The series of a run, and those of all cases of a sweep as one netCDF file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from fem.quantities import quantity
from studies.files import replacing
from studies.meshnote import MESH
from studies.standing import CaseState, read_summary
from studies.study import numeric_column

if TYPE_CHECKING:
    import xarray as xr

SERIES: Final = "series.nc"
TIME: Final = "time_s"


def read_series(path: Path) -> pd.DataFrame | None:
    """The series of a run folder, all of it numbers but the mesh; None where no row can be read.

    Text among numbers, or what is no text at all, is damage and becomes NaN; a row without a time is none.
    """
    try:
        frame = pd.read_csv(path / "series.csv", on_bad_lines="skip", encoding_errors="replace")
    except (OSError, ValueError):
        return None
    for name in frame.columns.drop(MESH, errors="ignore"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame = frame.dropna(subset=TIME) if TIME in frame else frame[:0]
    return frame if len(frame) else None


def series_of(states: Sequence[CaseState]) -> xr.Dataset:
    """Series of all cases that have one, by case and step; cases with fewer steps end in NaN.

    Coordinates are the case, its state, its mesh with the stated error, and every varied key (a quantity as a number,
    its unit in the name).
    """
    import xarray as xr

    frames = {case.name: frame for case in states if (frame := read_series(case.path)) is not None}
    held = [case for case in states if case.name in frames]
    steps = max((len(frame) for frame in frames.values()), default=0)
    columns = list(dict.fromkeys(name for frame in frames.values() for name in frame.columns if name != MESH))
    data: dict[str, Any] = {}
    for name in columns:
        values = np.full((len(held), steps), np.nan)
        for index, case in enumerate(held):
            if name in frames[case.name]:
                values[index, : len(frames[case.name])] = frames[case.name][name].to_numpy(dtype=float)
        known = quantity(name)
        attributes = {"units": known.unit, "long_name": known.definition} if known else {}
        data[name] = (("case", "step"), values, attributes)
    coordinates: dict[str, Any] = {
        "case": _texts(case.name for case in held),
        "state": ("case", _texts(case.state for case in held)),
        MESH: ("case", _texts(_mesh(frames[case.name], case.path) for case in held)),
    }
    for key in dict.fromkeys(key for case in states for key in case.entry["varied"]):
        numbers = [numeric_column(key, case.entry["varied"].get(key)) for case in held]
        names = {number[0] for number in numbers if number is not None}
        if len(names) == 1:
            numbered = np.array([np.nan if number is None else number[1] for number in numbers])
            coordinates[_name(names.pop())] = ("case", numbered)
        else:
            coordinates[_name(key)] = ("case", _texts(str(case.entry["varied"].get(key, "")) for case in held))
    attributes = {"title": "bloodpatch sweep", "use": "research use only; nothing here decides about a patient"}
    return xr.Dataset(data, coordinates, attributes)


def write_series(folder: Path, states: Sequence[CaseState]) -> None:
    """Write `series.nc` of a sweep."""
    dataset = series_of(states)
    # The classic format is written by scipy; it has no empty dimension but the unlimited one, so nothing is no file.
    if dataset.sizes["case"] == 0:
        (folder / SERIES).unlink(missing_ok=True)
        return
    with replacing(folder / SERIES) as temporary:
        dataset.to_netcdf(temporary, engine="scipy", format="NETCDF3_64BIT")


def _mesh(frame: pd.DataFrame, path: Path) -> str:
    """The mesh of a series with its error; runs of before it had the column say it in their summary only."""
    return str(frame[MESH].iloc[0] if MESH in frame else read_summary(path).get(MESH, ""))


def _texts(values: Any) -> Any:
    """Texts as an array of ASCII of one width, which the classic format holds."""
    return np.array([value.encode("ascii", "replace").decode() for value in values], dtype=str)


def _name(key: str) -> str:
    """A key as the name of a variable."""
    return key.replace("/", "_")

"""Pictures of a run or of a sweep: `bloodpatch plot DIR`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from studies.errors import InputError
from studies.plot.animation import animate
from studies.plot.axial import axial_figure
from studies.plot.curves import canal_figure, time_figure
from studies.plot.run import Run, read_run
from studies.plot.sagittal import sagittal_figure
from studies.plot.space import space_figure
from studies.plot.style import Picture, save, styled
from studies.plot.sweep import draw_sweep
from studies.recorded import recorded
from studies.results import is_run, is_sweep

PICTURES: Final = "figures"
"""Folder of the pictures in the folder of the run or of the sweep."""

FIGURES: Final[tuple[tuple[str, Callable[[Run], tuple[Figure, str] | None]], ...]] = (
    ("axial", axial_figure),
    ("sagittal", sagittal_figure),
    ("space", space_figure),
    ("over_time", time_figure),
    ("along_canal", canal_figure),
)


def note_of(run: Run) -> str:
    """What stands below every picture of a run: mesh with its error, and what it is for."""
    ended = "" if run.state == "done" else f" Run {run.state}: what was reached is shown."
    return f"Mesh: {recorded(run.case, run.provenance).mesh_note}.{ended} Research use only."


def draw_run(run: Run, folder: Path, moving: bool = True) -> list[Picture]:
    """Write every picture that a run has data for; fields that were not written cost the pictures of fields."""
    with styled():
        # All are made before one is written: a damaged file leaves nothing.
        made = [(name, figure) for name, make in FIGURES if (figure := make(run)) is not None]
        folder.mkdir(parents=True, exist_ok=True)
        drawn = [save(figure, folder, name, caption, note_of(run)) for name, (figure, caption) in made]
        film = animate(run, folder) if moving else None
    if film is not None:
        path, caption = film
        drawn.append(Picture("injection", caption, (path,)))
    return drawn


def plot(folder: Path, moving: bool = True) -> list[Picture]:
    """Write the pictures of a run folder or of a sweep folder into its `figures/`.

    Raises:
        InputError: the folder holds neither, or nothing that can be drawn.
    """
    if is_sweep(folder):
        return draw_sweep(folder, folder / PICTURES)
    if is_run(folder):
        return draw_run(read_run(folder), folder / PICTURES, moving)
    given = "no run and no sweep" if folder.is_dir() else "no such folder"
    raise InputError(str(folder), given, "allowed is a folder that a run or a sweep was written to")

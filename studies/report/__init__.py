"""One self-contained page about a run, a sweep or a comparison: `bloodpatch report DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from studies.errors import InputError
from studies.protocols import sweeps_in
from studies.results import is_run, is_sweep

PAGE: Final = "report.html"


def report(folder: Path) -> Path:
    """Write `report.html` into a folder and give its path.

    Raises:
        InputError: the folder holds no run, no sweep and nothing to compare.
    """
    from studies.report.page import comparison_page, run_page, sweep_page

    page = folder / PAGE
    if is_sweep(folder):
        sweep_page(folder, page)
    elif is_run(folder):
        run_page(folder, page)
    elif sweeps_in(folder):
        comparison_page(folder, page)
    else:
        given = "no run and no sweep" if folder.is_dir() else "no such folder"
        raise InputError(str(folder), given, "allowed is the folder of a run, of a sweep, or of several sweeps")
    return page

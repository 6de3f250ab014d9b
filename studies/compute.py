"""One idempotent command per case, for any scheduler: `bloodpatch compute DIR CASE...`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studies.console import complain, say
from studies.errors import InputError, shown
from studies.pool import Pool, StoppedError
from studies.standing import read_plan
from studies.worker import DONE, FAILED, INTERRUPTED, SIMULATOR


def compute(folder: Path, names: Sequence[str], simulator: str = SIMULATOR) -> int:
    """Compute the paths of some cases of a sweep, one after another, each tried again by cause.

    Any number of these may run at a time, on any machines that see the folder: a path that another one computes is
    waited for. Tables are left to `bloodpatch collect`.

    Args:
        folder: of a sweep that was prepared.
        names: of cases or of paths.
        simulator: what simulates.

    Returns:
        Exit status: 0 all done, 3 some failed or invalid, 130 interrupted.

    Raises:
        InputError: there is no such sweep or case.
    """
    entries = read_plan(folder)["cases"]
    groups = []
    for name in names:
        found = [entry["group"] for entry in entries if name in (entry["name"], entry["group"])]
        if not found:
            raise InputError("CASE", shown(name), f"allowed is a case or a path of the sweep in {folder}")
        groups.append(found[0])
    pool = Pool([folder], 1, simulator, {folder: groups})
    try:
        pool.run(lambda pool, ended: None)
    except KeyboardInterrupt:
        complain("interrupted; the same command goes on from here")
        return INTERRUPTED
    except StoppedError as stop:
        complain(str(stop))
        return FAILED
    for case in pool.states.values():
        text = f"{case.path}: {case.state}"
        if case.state == "done":
            say(text)
        else:
            complain(f"{text}: {case.reason}")
    return DONE if all(case.state == "done" for case in pool.states.values()) else FAILED

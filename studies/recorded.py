"""What runs recorded of themselves: the version of their model, and the mesh with the error that holds for both.

A page is often made later than its runs. The table of mesh errors may by then be that of another version of the model,
in which even a named size may be another length.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fem
from studies.case import Case
from studies.files import read_json
from studies.provenance import UNMEASURED, error_table, of_version, step_note
from studies.reading import validate_case
from studies.runfolder import SUMMARY
from studies.standing import CaseState

NOT_RECORDED: Final = "not recorded"
"""Version of the model of a run whose record does not tell it."""

BETWEEN: Final = " | "
"""Between notes that stand together; each has semicolons of its own."""

_OF_VERSION: Final = re.compile(r" \(of model version (\S+?)[;,] this is \S+\)")
"""What `studies.provenance.of_version` adds to an error when a run begins."""


@dataclass(frozen=True)
class Recorded:
    """A case with what its run wrote down.

    Attributes:
        case: as resolved.
        version: of the model it was computed with.
        error: discretisation error of its mesh as known when it began; empty where none was written down.
        begun: whether there is a run; a case without one would be of this model.
    """

    case: Case
    version: str
    error: str = ""
    begun: bool = True

    @property
    def mesh_note(self) -> str:
        """Size of the mesh and its error, with the versions of the model where they are not one; without a comma."""
        size = self.case.mesh.size if self.case.anatomy.mesh is None else "own mesh"
        error, measured = self._error(size)
        known = error not in ("not known", UNMEASURED)
        said = of_version(measured, [self.version]) if known else ""
        if not said and self.version != fem.MODEL_VERSION:
            said = f" (these runs: model version {self.version}; this is {fem.MODEL_VERSION})"
        return f"{size}; discretisation error {error}{said}"

    def _error(self, size: str) -> tuple[str, str]:
        """The error that is known for the mesh, and the version of the model that it was measured with.

        The table's where it is of the run's own version, else what the run wrote down, else the table's all the same.
        """
        if self.case.anatomy.mesh is not None:
            return "not known", self.version
        stated = error_table().get(size, ("not known", self.version))
        if stated[1] == self.version or not self.error or self.error.startswith("not "):
            return stated
        measured = _OF_VERSION.search(self.error)
        return _OF_VERSION.sub("", self.error), measured[1] if measured else self.version


def recorded(case: Case, record: Mapping[str, Any]) -> Recorded:
    """A case with the record of its run.

    Args:
        case: as resolved.
        record: `provenance.json`, empty where there is none.
    """
    mesh = record.get("mesh")
    error = mesh.get("discretisation_error", "") if isinstance(mesh, dict) else ""
    return Recorded(case, str(record.get("model_version", NOT_RECORDED)), str(error))


def recorded_in(case: Case, folder: Path) -> Recorded:
    """A case with what its run folder holds."""
    record = read_json(folder / "provenance.json")
    if not isinstance(record, dict):
        ran = (folder / SUMMARY).is_file()
        return Recorded(case, NOT_RECORDED if ran else fem.MODEL_VERSION, begun=ran)
    return recorded(case, record)


def recorded_of(states: Iterable[CaseState]) -> list[Recorded]:
    """The cases of a sweep with what their runs wrote down."""
    return [recorded_in(validate_case(tomllib.loads(state.entry["case"])), state.path) for state in states]


def begun(cases: Iterable[Recorded]) -> list[Recorded]:
    """Those of some cases that have a run; all where none has."""
    every = list(cases)
    return [case for case in every if case.begun] or every


def mesh_notes(runs: Iterable[Recorded]) -> tuple[str, ...]:
    """Every mesh among some runs with its error, each once."""
    return tuple(sorted({run.mesh_note for run in begun(runs)}))


def step_notes(runs: Iterable[Recorded]) -> tuple[str, ...]:
    """Every choice of steps in time among some runs with its error, each once."""
    return tuple(sorted({step_note(run.case, [run.version]) for run in begun(runs)}))


def versions(runs: Iterable[Recorded]) -> frozenset[str]:
    """Versions of the model that some runs were computed with."""
    return frozenset(run.version for run in begun(runs))

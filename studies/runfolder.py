"""The run folder: every file of one case, and how its state is known.

`status.json` is written last and atomically: a folder without it belongs to a run that is going on or was cut off.
"""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol, get_args

from fem.quantities import quantity, summarise
from studies.errors import InputError
from studies.files import (
    LOCK,
    content_mark,
    finite,
    is_temporary,
    locked,
    read_json,
    sync,
    write_json,
    write_text,
)
from studies.ladder import LADDER, Cause, cause_of, next_rung
from studies.meshnote import MESH, say_mesh, xml_comment

__all__ = ["RunFolder", "Snapshot", "Status", "check_folder", "locked", "read_status", "write_json", "write_text"]

State = Literal["done", "failed", "invalid", "interrupted"]
STATUS: Final = "status.json"
CASE: Final = "case.toml"
SUMMARY: Final = "summary.json"
RETRY: Final = "retry.json"
"""On which rung of the ladder a case is being solved, if not on the first: written before anything is computed."""
FIELDS: Final = "fields"
WRITTEN: Final = ("series.csv", "profile.csv", "fields.pvd", "steps.jsonl")
"""What is written as a run goes on, beside its log and fields."""
OWN: Final = (CASE, "provenance.json", SUMMARY, *WRITTEN)
KEPT_WHOLE: Final = (".json", ".csv", ".toml", ".jsonl", ".pvd")
"""Files whose content is checked by hash; of fields only the size."""


class Snapshot(Protocol):
    """Fields at one time, on all ranks."""

    time: float

    def write(self, folder: Path, stem: str) -> list[Path]:
        """Write one `.vtu` per region and give their paths; collective."""
        ...


@dataclass(frozen=True)
class Status:
    """How a run ended.

    Attributes:
        state: done, failed, invalid or interrupted.
        reason: why it is not done.
        key: content key of the case.
        wall_time_s: time that it took [s].
        cause: kind of a failure, which decides how it is tried again.
        rung: of the ladder, on which it was solved.
        attempts: how often it was computed on this rung.
        files: size and hash of every file of a run that is done.
    """

    state: State
    reason: str = ""
    key: str = ""
    wall_time_s: float = 0.0
    cause: Cause = ""
    rung: int = 0
    attempts: int = 1
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def again(self) -> int | None:
        """The rung on which a sweep computes it again by itself; None where it does not."""
        return next_rung(self.cause, self.rung, self.attempts) if self.state == "failed" else None


def read_status(folder: Path) -> Status | None:
    """How the run in a folder ended; None where it has not."""
    data = read_json(folder / STATUS)
    try:
        status = Status(
            data["state"],
            str(data.get("reason") or ""),
            str(data.get("key") or ""),
            float(data.get("wall_time_s") or 0.0),
            data.get("cause") or "",
            int(data.get("rung") or 0),
            int(data.get("attempts") or 1),
            {name: dict(mark) for name, mark in (data.get("files") or {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    known = status.state in get_args(State) and status.cause in get_args(Cause)
    return status if known and 0 <= status.rung < len(LADDER) and status.attempts > 0 else None


def write_status(folder: Path, status: Status) -> None:
    """Write `status.json`, the last file of a run."""
    data = {**asdict(status), "wall_time_s": round(status.wall_time_s, 3), "rung_name": LADDER[status.rung].name}
    write_json(folder / STATUS, data)


def damage(folder: Path, status: Status) -> str:
    """What is wrong with the files of a run that says it is done; empty where they are as they were written."""
    for name, mark in status.files.items():
        if not _is_own(name):
            continue  # older runs marked whatever lay there
        try:
            same = content_mark(folder / name, "sha256" in mark) == mark
        except (OSError, ValueError):
            return f"{name} is missing"
        if not same:
            return f"{name} is not as it was written"
    return "" if status.files or (folder / SUMMARY).is_file() else f"{SUMMARY} is missing"


def _is_own(name: str) -> bool:
    """Whether a file is of the run itself: pictures, pages and notes may lie there, too, and change."""
    return name in OWN or (name.startswith(f"{FIELDS}/") and name.endswith(".vtu"))


def check_folder(folder: Path, key: str, case_text: str) -> bool:
    """Whether a folder holds this case finished.

    Args:
        folder: may not exist yet.
        key: content key of the case, with the version of the model.
        case_text: `case.toml` of the case.

    Raises:
        InputError: the folder holds another case, or something else.
    """
    allowed = "allowed is a new or empty folder, or one that holds the same case"
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError("--out", f'"{folder}", a file', allowed)
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
        held = (folder / CASE).read_text(encoding="utf-8") if CASE in names else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("--out", f'"{folder}", which cannot be read', allowed) from error
    if held is None:
        if not all(name == LOCK or is_temporary(name) for name in names):
            raise InputError("--out", f'"{folder}", which holds other files', allowed)
        return False
    if held != case_text:
        raise InputError("--out", f'"{folder}", which holds another case', allowed)
    status = read_status(folder)
    if status is None or status.state != "done" or damage(folder, status):
        return False
    if status.key != key:
        raise InputError(
            "--out", f'"{folder}", which holds this case from another version of the model or of its mesh', allowed
        )
    return True


class RunFolder:
    """Writes the files of one run as the simulation hands them over; it is the simulation's sink.

    Args:
        path: the folder; made, and cleared of an unfinished earlier attempt.
        case_text: `case.toml`.
        provenance: of the run; `provenance.json`.
        key: content key, kept in the status.
        rank: MPI rank; only rank 0 touches the disc, but every rank must reach `fields`.
        fields: whether fields are written.
        injection_end: end of the last injection [s], from which decays and static pressures count.
        mesh_note: size of the mesh and its stated error, said in summary, tables and fields.
        begin: when the work on it began, as of `time.monotonic`; default now.
        rung: of the ladder, on which it is solved.
        attempt: number of this attempt on that rung.
    """

    def __init__(
        self,
        path: Path,
        case_text: str,
        provenance: Mapping[str, Any],
        key: str,
        injection_end: float = 0.0,
        rank: int = 0,
        fields: bool = True,
        mesh_note: str = "",
        begin: float | None = None,
        rung: int = 0,
        attempt: int = 1,
    ) -> None:
        self.path, self.key, self.rank = path, key, rank
        self._rung, self._attempt = rung, attempt
        self.status: Status | None = None
        self.on_row: list[Any] = []
        self._series: list[dict[str, float]] = []
        self._summary: dict[str, float] = {}
        self._fields = fields
        self._injection_end = injection_end
        self._mesh_note = mesh_note
        self._snapshots: list[tuple[float, list[str]]] = []
        self._begin = time.monotonic() if begin is None else begin
        self._streams: dict[str, tuple[IO[str], csv.DictWriter[str]]] = {}
        self._log = logging.getLogger(f"bloodpatch.run.{path}")
        self._log.propagate = False
        if rank == 0:
            self._clear()
            write_text(path / CASE, case_text)
            write_json(path / "provenance.json", provenance)
            handler = logging.FileHandler(path / "run.log", encoding="utf-8")
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
            self._log.addHandler(handler)
            self._log.setLevel(logging.INFO)
            self._log.info("begin; mesh %s", mesh_note)

    def _clear(self) -> None:
        """Make the folder; drop what an unfinished attempt left, the status first."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (STATUS, SUMMARY, *WRITTEN, "run.log"):
            (self.path / name).unlink(missing_ok=True)
        # Whatever a link there points at belongs to somebody else.
        if (self.path / FIELDS).is_symlink():
            (self.path / FIELDS).unlink()
        for path in (*(self.path / FIELDS).glob("*.vtu"), *self.path.glob(".*")):
            if path.suffix == ".vtu" or is_temporary(path.name):
                path.unlink(missing_ok=True)

    def log(self, text: str) -> None:
        """A line in `run.log`."""
        if self.rank == 0:
            self._log.info("%s", text)

    def row(self, row: Mapping[str, float]) -> None:
        """Take the quantities of an accepted step; the first row is the baseline."""
        self._series.append(dict(row))
        if self.rank == 0:
            self._write("series.csv", [row])
            step = {key: row[key] for key in ("time_s", "step_s", "newton_iterations", "phase") if key in row}
            step["wall_time_s"] = round(time.monotonic() - self._begin, 3)
            with (self.path / "steps.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(finite(step)) + "\n")
            self._log.info(
                "t %.6g s, step %.4g s, %s Newton iterations",
                row.get("time_s", 0),
                row.get("step_s", 0),
                row.get("newton_iterations", "-"),
            )
            for watcher in self.on_row:
                watcher(row)

    def profile(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Take the axial slices at an output time."""
        if self.rank == 0:
            self._write("profile.csv", rows)

    def fields(self, snapshot: Snapshot) -> None:
        """Take the fields at an output time; collective."""
        if not self._fields:
            return
        folder = self.path / FIELDS
        if self.rank == 0:
            folder.mkdir(exist_ok=True)
        paths = snapshot.write(folder, f"fields_{len(self._snapshots):04d}")
        if self.rank == 0 and self._mesh_note:
            for path in paths:
                say_mesh(path, self._mesh_note)
        self._snapshots.append((snapshot.time, [path.relative_to(self.path).as_posix() for path in paths]))
        if self.rank == 0:
            self._write_pvd()

    def finished(self, extra: Mapping[str, float]) -> None:
        """Write the summary and say that the run is done."""
        self._summary = {**summarise(self._series, self._injection_end), **extra}
        self._close(self._status("done"))

    def failed(self, error: Exception | str) -> None:
        """Keep what was reached and say why the run ended."""
        self.end("failed", str(error), cause_of(error) if isinstance(error, Exception) else "fault")

    def end(self, state: State, reason: str, cause: Cause = "") -> None:
        """End the run early; what was reached is kept and summarised."""
        if self.status is not None:
            return
        with contextlib.suppress(Exception):  # a series cut short may lack what a summary needs
            self._summary = summarise(self._series, self._injection_end)
        self._close(self._status(state, " ".join(reason.split()), cause))

    def _status(self, state: State, reason: str = "", cause: Cause = "") -> Status:
        taken = time.monotonic() - self._begin
        return Status(state, reason, self.key, taken, cause, self._rung, self._attempt)

    def _close(self, status: Status) -> None:
        if self.rank != 0:
            self.status = status
            return
        for stream, _ in self._streams.values():
            stream.close()
        write_json(self.path / SUMMARY, self._summary_data(status))
        self._log.info(
            "%s%s after %.1f s", status.state, f": {status.reason}" if status.reason else "", status.wall_time_s
        )
        for handler in list(self._log.handlers):
            handler.close()
            self._log.removeHandler(handler)
        if status.state == "done":
            status = replace(status, files=self._marks())
        write_status(self.path, status)
        self.status = status

    def _marks(self) -> dict[str, dict[str, Any]]:
        """Size and hash of what was written, once it is on the disk."""
        marks = {}
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if path.is_file() and _is_own(name):
                sync(path)
                marks[name] = content_mark(path, path.suffix in KEPT_WHOLE)
        return marks

    def _summary_data(self, status: Status) -> dict[str, Any]:
        values: dict[str, Any] = dict(self._summary)
        values["wall_time_s"] = status.wall_time_s
        data: dict[str, Any] = {}
        for name, value in values.items():
            known = quantity(name)
            data[name] = {
                "value": value,
                "unit": known.unit if known else "",
                "definition": known.definition if known else "",
                "version": known.version if known else 1,
            }
        if self._mesh_note:
            data[MESH] = {
                "value": self._mesh_note,
                "unit": "",
                "definition": "size of the mesh and its discretisation error",
                "version": 1,
            }
        return data

    def _write(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        if not rows:
            return
        if self._mesh_note:
            rows = [{**row, MESH: self._mesh_note} for row in rows]
        if name not in self._streams:
            opened = (self.path / name).open("w", newline="", encoding="utf-8")
            writer = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            self._streams[name] = (opened, writer)
        stream, writer = self._streams[name]
        writer.writerows({key: _text(value) for key, value in row.items()} for row in rows)
        stream.flush()

    def _write_pvd(self) -> None:
        lines = [
            f'    <DataSet timestep="{moment:.9g}" part="{part}" file="{file}"/>'
            for moment, files in self._snapshots
            for part, file in enumerate(files)
        ]
        body = "\n".join(lines)
        note = f"{xml_comment(self._mesh_note)}\n" if self._mesh_note else ""
        write_text(
            self.path / "fields.pvd",
            f'<?xml version="1.0"?>\n{note}<VTKFile type="Collection" version="1.0">\n  <Collection>\n'
            f"{body}\n  </Collection>\n</VTKFile>\n",
        )


def _text(value: object) -> object:
    """A number with all its digits; empty where there is none."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return repr(value) if isinstance(value, float) else value

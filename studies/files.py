"""Files that survive what happens: written whole or not at all, locked by one process, known again by their content."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from studies.errors import InputError

LOCK: Final = ".lock"
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that mean that the disk, or this user's share of it, is full."""
LOCK_POLL: Final = 0.1
_TEMPORARY: Final = re.compile(r"\..+\.\d+")


def is_no_space(error: BaseException) -> bool:
    """Whether an error means that the disk is full."""
    return isinstance(error, OSError) and error.errno in _NO_SPACE


def temporary_name(path: Path) -> Path:
    """A name beside a file for what this process writes and removes again; see `is_temporary`."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def is_temporary(name: str) -> bool:
    """Whether a file is a temporary one: of a process that writes it, or was killed meanwhile."""
    return _TEMPORARY.fullmatch(name) is not None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of `path` once it is written: readers see the old one or the new one."""
    temporary = temporary_name(path)
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: object) -> None:
    """Write JSON atomically; a number that is not finite becomes null."""
    write_text(path, json.dumps(finite(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def finite(data: Any) -> Any:
    """A tree without numbers that JSON does not have."""
    if isinstance(data, Mapping):
        return {str(key): finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    if hasattr(data, "item"):
        data = data.item()
    return None if isinstance(data, float) and (data != data or abs(data) == float("inf")) else data


def read_json(path: Path) -> Any:
    """A JSON file; None where it is missing, half-written or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def sync(path: Path) -> None:
    """Have a file on the disk before another one says that it is there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def content_mark(path: Path, whole: bool = True) -> dict[str, Any]:
    """Size of a file and, where `whole`, the hash of its content."""
    mark: dict[str, Any] = {"bytes": path.stat().st_size}
    if whole:
        mark["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return mark


def make_way(path: Path) -> None:
    """Remove a link or a file where a folder is to be written; what a link points at belongs to somebody else."""
    if path.is_symlink() or path.is_file():
        path.unlink()


class BusyError(InputError):
    """Another process holds a folder."""


@contextlib.contextmanager
def locked(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold a folder for one process; the lock goes with the process, however it ends.

    Args:
        folder: made where it is missing.
        patience: how long to wait for another process [s].

    Raises:
        BusyError: another process holds it.
        InputError: the folder cannot be made.
        OSError: the disk is full.
    """
    deadline = time.monotonic() + patience
    stream = None
    while stream is None:
        made = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            made = True
            stream = (folder / LOCK).open("w")
        except OSError as error:
            if made and isinstance(error, FileNotFoundError):
                continue  # the holder before removed the folder between two lines
            if is_no_space(error):
                raise
            raise InputError(
                "--out", f'"{folder}"', f"allowed is a folder that can be written ({error.strerror})"
            ) from error
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before may have removed the file that was opened here: only the one that is there counts.
            if os.fstat(stream.fileno()).st_ino == (folder / LOCK).stat().st_ino:
                break
        except FileNotFoundError:
            pass
        except OSError as error:
            if time.monotonic() >= deadline:
                stream.close()
                raise BusyError("--out", f'"{folder}"', "another run is writing there") from error
            time.sleep(LOCK_POLL)
        stream.close()
        stream = None
    with stream:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink()
                folder.rmdir()  # where nothing came of it

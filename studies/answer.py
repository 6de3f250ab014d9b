"""What a fault is answered with: one line and an exit status, never a traceback."""

from __future__ import annotations

import tempfile
import traceback
from typing import Any, Final

import typer

from studies.console import complain, say
from studies.errors import InputError
from studies.files import is_no_space
from studies.worker import BAD_INPUT, FAILED, INTERRUPTED

_ClickException: Final[Any] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def answer(error: Exception) -> int:
    """Say what went wrong in one line and give the exit status that goes with it."""
    if isinstance(error, InputError):
        complain(str(error))
        return BAD_INPUT
    if type(error).__name__ == "NoArgsIsHelpError":
        say(str(getattr(error, "message", "")) or "see bloodpatch --help")
        return BAD_INPUT
    if isinstance(error, _ClickException):
        # typer passes on what pydantic puts before the message
        message = " ".join(str(error.format_message()).split()).replace("Value error, ", "")
        complain(f"{message.rstrip('.')}; see bloodpatch --help")
        return BAD_INPUT
    if isinstance(error, typer.Abort):
        complain("interrupted")
        return INTERRUPTED
    return _unexpected(error)


def _unexpected(error: Exception) -> int:
    """Keep the traceback of a fault in a file; a full disk or a lost folder is told as what it is."""
    if is_no_space(error):
        complain("no space left on the disk; make room and call again")
        return FAILED
    if isinstance(error, OSError) and error.strerror:
        complain(f"{error.filename or 'file'}: {error.strerror}")
        return FAILED
    with tempfile.NamedTemporaryFile("w", prefix="bloodpatch-", suffix=".log", delete=False, encoding="utf-8") as log:
        traceback.print_exc(file=log)
    said = " ".join(str(error).split())[:200]
    complain(f"a fault in the program, {type(error).__name__}: {said}; details are in {log.name}")
    return FAILED

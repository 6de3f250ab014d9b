"""Errors of the geometry, all of them bad input."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AnatomyError(ValueError):
    """Anatomy that cannot exist; the message names the level and the figures."""


class MeshError(ValueError):
    """A mesh that cannot be used; the message gives the reason.

    Attributes:
        height: where the trouble is (m), if it has a place.
    """

    def __init__(self, message: str, height: float | None = None) -> None:
        super().__init__(message)
        self.height = height


def nearest(name: str, known: Iterable[str]) -> str:
    """End of a message about a name that is not known: the one that was meant, or all that are."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"

"""The one error that bad input ends in."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used: its text is one line that names the key, what was given and what is allowed.

    Args:
        key: dotted path of the key, or the name of a file.
        given: what was found there; empty if nothing was.
        allowed: what would have been accepted.
    """

    def __init__(self, key: str, given: str, allowed: str) -> None:
        self.key, self.given, self.allowed = key, given, allowed
        parts = [part for part in (f"got {given}" if given else "", allowed) if part]
        super().__init__(" ".join(f"{key}: {'; '.join(parts)}".split()))


def shown(value: object, limit: int = 60) -> str:
    """The value as a user wrote it, shortened to one line."""
    try:
        text = f'"{value}"' if isinstance(value, str) else str(value)
    except ValueError:
        text = "a number of thousands of digits"  # Python writes no longer ones; TOML has them, as 0xff...
    text = " ".join(text.split())
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= limit else text[: limit - 3] + "..."

"""Errors of the geometry, all of them bad input."""


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

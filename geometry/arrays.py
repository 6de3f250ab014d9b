"""Names of array types; shapes and units are in the docstrings."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

FloatArray = npt.NDArray[Any]
IntArray = npt.NDArray[Any]
BoolArray = npt.NDArray[Any]
NameArray = npt.NDArray[Any]
"""Strings as objects."""

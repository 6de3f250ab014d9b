"""Which model a result is of: the declared version, and the content of laws and tables."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import fem

ROOT: Final = Path(__file__).parents[1]
CONTENT: Final = ("fem/laws/*.py", "fem/data/*.csv", "geometry/data/*.csv")
"""What decides results beside `fem.MODEL_VERSION`; other changes of numerics change that version."""


@cache
def model_version() -> str:
    """`fem.MODEL_VERSION` and a hash of laws and tables: a result of another one is another result."""
    return f"{fem.MODEL_VERSION}+{content_hash(ROOT)}"


def content_hash(root: Path) -> str:
    """Hash of the laws and tables below `root`; comments and docstrings of Python files do not count."""
    digest = hashlib.sha256()
    for pattern in CONTENT:
        for path in sorted(root.glob(pattern)):
            digest.update(path.name.encode())
            digest.update(_code(path) if path.suffix == ".py" else path.read_bytes())
    return digest.hexdigest()[:12]


def _code(path: Path) -> bytes:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree).encode()

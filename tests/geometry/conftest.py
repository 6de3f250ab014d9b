"""Anatomy and meshes shared by the tests; each is made once."""

from __future__ import annotations

import pytest

from geometry import Anatomy, MeshSize, Source, SpineMesh, build_mesh


@pytest.fixture(scope="session")
def anatomy() -> Anatomy:
    return Anatomy.from_table()


@pytest.fixture(scope="session")
def lumbar(anatomy: Anatomy) -> SpineMesh:
    """The default window of an injection at L3/L4."""
    return build_mesh(anatomy, ("T10", "S2"), MeshSize.named("fine"), sources=[Source(anatomy.needle_tip("L3/L4"))])


@pytest.fixture(scope="session")
def cervical(anatomy: Anatomy) -> SpineMesh:
    """A short window cut at both ends."""
    return build_mesh(anatomy, ("C6", "T1"), MeshSize.named("default"), sources=[Source(anatomy.needle_tip("C7/T1"))])

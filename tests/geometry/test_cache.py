"""The mesh cache: same answer, keyed by everything that matters, damage noticed."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

import geometry.cache
from geometry import Anatomy, MeshSize, Source, build_mesh, cached_mesh, mesh_key

SPAN = ("L3", "L4")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "bloodpatch" / "mesh"


def _refuse_to_build(*_: object) -> None:
    raise AssertionError("built instead of taken from the cache")


def test_the_second_call_reads_what_the_first_one_wrote(
    anatomy: Anatomy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = MeshSize.named("default")
    focus, sources = [anatomy.interspace_z("L3/L4")], [Source(anatomy.needle_tip("L3/L4"))]
    built = build_mesh(anatomy, SPAN, size, focus, sources)
    cached_mesh(anatomy, SPAN, size, focus, sources)
    assert [path.suffix for path in folder.iterdir()] == [".npz"]
    monkeypatch.setattr(geometry.cache, "build_mesh", _refuse_to_build)
    read = cached_mesh(anatomy, SPAN, size, focus, sources)
    for name, value in vars(built).items():
        other = getattr(read, name)
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, other), name
            assert value.dtype == other.dtype, name
        else:
            assert value == other, name


@pytest.mark.parametrize("damage", [b"", b"not a mesh", None])
def test_a_damaged_entry_is_built_anew(anatomy: Anatomy, folder: Path, damage: bytes | None) -> None:
    size = MeshSize.named("default")
    first = cached_mesh(anatomy, SPAN, size)
    path = next(folder.iterdir())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    again = cached_mesh(anatomy, SPAN, size)
    assert np.array_equal(first.points, again.points)
    assert path.read_bytes() == whole


def test_a_flipped_byte_is_noticed(anatomy: Anatomy, folder: Path) -> None:
    size = MeshSize.named("default")
    cached_mesh(anatomy, SPAN, size)
    path = next(folder.iterdir())
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 0xFF
    path.write_bytes(bytes(whole))
    assert np.isfinite(cached_mesh(anatomy, SPAN, size).points).all()


def test_an_unwritable_folder_is_no_error(anatomy: Anatomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert len(cached_mesh(anatomy, SPAN, MeshSize.named("default")).cells) > 0


def test_the_key_depends_on_every_input_but_not_on_the_size_s_name(
    anatomy: Anatomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = MeshSize.named("default")
    base = mesh_key(anatomy, SPAN, size, [0.12])
    assert base == mesh_key(Anatomy.from_table(), SPAN, MeshSize.from_length(4.0e-3, "mine"), [0.12])
    others = {
        mesh_key(Anatomy.from_table({"L3": {"sac_ap": 0.0135}}), SPAN, size, [0.12]),
        mesh_key(anatomy, ("L3", "L5"), size, [0.12]),
        mesh_key(anatomy, SPAN, MeshSize.named("fine"), [0.12]),
        mesh_key(anatomy, SPAN, size, [0.121]),
        mesh_key(anatomy, SPAN, size, [0.12], refine_radius=0.02),
    }
    monkeypatch.setattr(geometry.cache, "_gmsh_version", lambda: "another")
    others.add(mesh_key(anatomy, SPAN, size, [0.12]))
    assert len(others | {base}) == 7


def test_the_version_of_gmsh_is_known_without_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_package(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    version = geometry.cache._gmsh_version.__wrapped__
    assert version()
    monkeypatch.setattr(importlib.metadata, "version", no_package)
    assert version()[0].isdigit()

"""What is written is read back; a mesh that lacks something is refused with one line."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import meshio
import numpy as np
import pytest

from geometry import Anatomy, MeshError, MeshSize, Region, SpineMesh, build_mesh, read_mesh, write_mesh

NEEDS_HDF = pytest.mark.skipif(importlib.util.find_spec("h5py") is None, reason="meshio needs h5py for XDMF")
SUFFIXES = ["msh", "vtu", "inp", "vtk", pytest.param("xdmf", marks=NEEDS_HDF)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_written_mesh_is_read_back(lumbar: SpineMesh, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"spine.{suffix}"
    write_mesh(lumbar, path)
    read = read_mesh(path)
    for region, volume in lumbar.region_volumes().items():
        assert read.region_volumes()[region] == pytest.approx(volume, rel=1e-6)
    assert set(read.surfaces) == set(lumbar.surfaces)
    for name in lumbar.surfaces:
        assert read.surface_area(name) == pytest.approx(lumbar.surface_area(name), rel=1e-6), name
    assert read.levels == lumbar.levels
    assert read.sac_closed
    assert read.continuation == lumbar.continuation
    assert read.anatomy is None
    for name, height in lumbar.interspace_z.items():
        assert read.interspace_z[name] == pytest.approx(height, abs=5e-4)


def test_files_are_in_millimetres_with_names(lumbar: SpineMesh, tmp_path: Path) -> None:
    write_mesh(lumbar, tmp_path / "spine.msh")
    mesh = meshio.read(tmp_path / "spine.msh")
    assert np.ptp(mesh.points[:, 2]) == pytest.approx(1e3 * np.ptp(lumbar.points[:, 2]))
    names = {name for name, (_, dim) in mesh.field_data.items() if dim == 3}
    assert names == {"epidural", "subarachnoid", "cord"}
    assert {name for name, (_, dim) in mesh.field_data.items() if dim == 2} == set(lumbar.surfaces)


def test_subregions_slabs_and_tips_are_recovered(lumbar: SpineMesh, tmp_path: Path) -> None:
    write_mesh(lumbar, tmp_path / "spine.vtu")
    read = read_mesh(tmp_path / "spine.vtu")
    same = read.subregion == lumbar.subregion
    assert np.average(same, weights=lumbar.volumes) > 0.97
    total = (read.canal_area * np.diff(read.slab_edges)).sum()
    assert total == pytest.approx((lumbar.canal_area * np.diff(lumbar.slab_edges)).sum(), rel=0.03)
    for interspace in lumbar.interspace_z:
        tip, own = read.needle_tip(interspace), lumbar.needle_tip(interspace)
        assert tip.subregions == own.subregions
        assert np.linalg.norm(tip.point - own.point) < 2e-3


def test_a_mesh_below_the_conus_needs_no_cord(anatomy: Anatomy, tmp_path: Path) -> None:
    write_mesh(build_mesh(anatomy, ("L3", "L5"), MeshSize.named("default")), tmp_path / "spine.msh")
    read = read_mesh(tmp_path / "spine.msh")
    assert not (read.region == Region.CORD).any()
    assert not read.sac_closed


def _content(mesh: SpineMesh) -> dict[str, object]:
    sets = {}
    for region in Region:
        sets[region.name.lower()] = ("cells", np.flatnonzero(mesh.region == region))
    for name, tag in mesh.surfaces.items():
        sets[name] = ("facets", np.flatnonzero(mesh.facet_tag == tag))
    return {"points": 1e3 * mesh.points, "cells": mesh.cells, "facets": mesh.facets, "sets": sets}


def _write(content: dict, path: Path) -> Path:
    data = {}
    for name, (kind, members) in content["sets"].items():
        prefix = "region:" if kind == "cells" else "surface:"
        columns = [np.zeros(len(content["cells"]), dtype=int), np.zeros(len(content["facets"]), dtype=int)]
        columns[0 if kind == "cells" else 1][members] = 1
        data[prefix + name] = columns
    cells = [("tetra", content["cells"]), ("triangle", content["facets"])]
    meshio.write(path, meshio.Mesh(content["points"], cells, cell_data=data))
    return path


def _rename(old: str, new: str) -> Callable[[dict], None]:
    return lambda content: content["sets"].update({new: content["sets"].pop(old)})


def _drop(name: str) -> Callable[[dict], None]:
    return lambda content: content["sets"].pop(name) and None


def _scale(factor: float) -> Callable[[dict], None]:
    return lambda content: content.update(points=factor * content["points"])


def _shorten(name: str) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        kind, members = content["sets"][name]
        content["sets"][name] = (kind, members[1:])

    return change


def _both(content: dict) -> None:
    kind, members = content["sets"]["bone"]
    content["sets"]["foramen_C6C7_left"] = (kind, np.append(content["sets"]["foramen_C6C7_left"][1], members[0]))


def _no_regions(content: dict) -> None:
    for region in Region:
        content["sets"].pop(region.name.lower())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop("cord"), "tetrahedra belong to no region|no region 'cord'"),
        (_rename("cord", "cords"), "region 'cords' is unknown; did you mean 'cord'"),
        (_no_regions, "no named regions"),
        (_drop("dura"), "no surface 'dura'"),
        (_drop("pia"), "no surface 'pia'"),
        (_drop("bone"), "no surface 'bone'"),
        (_drop("cut_cranial_epidural"), "no surface 'cut_cranial_epidural'"),
        (_drop("cut_cranial_cord"), "boundary facets belong to no surface"),
        (_rename("bone", "bones"), "surface 'bones' is unknown; did you mean 'bone'"),
        (_rename("foramen_C7T1_left", "foramen_7"), "not the name of a foramen"),
        (_shorten("dura"), "surface 'dura' is not the border between .*: 1 facets differ"),
        (_shorten("bone"), "1 boundary facets belong to no surface"),
        (_both, "a cell is named both"),
        (_scale(1e-3), "coordinates must be in millimetres"),
    ],
)
def test_an_incomplete_mesh_is_refused_with_one_line(
    cervical: SpineMesh, tmp_path: Path, change: Callable[[dict], None], message: str
) -> None:
    content = _content(cervical)
    change(content)
    path = _write(content, tmp_path / "own.vtu")
    with pytest.raises(MeshError, match=message) as caught:
        read_mesh(path)
    assert "\n" not in str(caught.value)


def test_left_and_right_exchanged_are_noticed(cervical: SpineMesh, tmp_path: Path) -> None:
    content = _content(cervical)
    content["points"] = content["points"] * np.array([-1.0, 1.0, 1.0])
    with pytest.raises(MeshError, match="x must point left"):
        read_mesh(_write(content, tmp_path / "own.vtu"))


def test_cells_of_either_orientation_and_unused_points_are_accepted(cervical: SpineMesh, tmp_path: Path) -> None:
    content = _content(cervical)
    content["cells"] = np.where(
        np.arange(len(cervical.cells))[:, None] % 2, content["cells"][:, [0, 1, 3, 2]], content["cells"]
    )
    content["points"] = np.vstack([content["points"], [[0.0, 0.0, 9e3]]])
    read = read_mesh(_write(content, tmp_path / "own.vtu"))
    assert (read.volumes > 0.0).all()
    assert len(read.points) == len(cervical.points)


def test_files_that_are_no_meshes_are_refused(tmp_path: Path, cervical: SpineMesh) -> None:
    with pytest.raises(MeshError, match="no such file"):
        read_mesh(tmp_path / "none.msh")
    for name in ("bad.msh", "bad.vtu", "bad.xyz"):
        (tmp_path / name).write_text("not a mesh\n")
        with pytest.raises(MeshError, match="cannot be read") as caught:
            read_mesh(tmp_path / name)
        assert "\n" not in str(caught.value)
    surface = meshio.Mesh(cervical.points, [("triangle", cervical.facets)])
    meshio.write(tmp_path / "surface.vtu", surface)
    with pytest.raises(MeshError, match="has no tetrahedra"):
        read_mesh(tmp_path / "surface.vtu")
    with pytest.raises(MeshError, match=r"mesh format '\.xyz1' is unknown"):
        write_mesh(cervical, tmp_path / "spine.xyz1")
    with pytest.raises(OSError, match="directory"):
        write_mesh(cervical, tmp_path / "nowhere" / "spine.msh")

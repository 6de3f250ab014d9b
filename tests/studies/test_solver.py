"""Where cases meet meshes."""

import numpy as np
import pytest
from mpi4py import MPI

from geometry import Anatomy, MeshSize, Source, build_mesh, read_mesh, write_mesh
from studies.case import Case
from studies.errors import InputError
from studies.reading import validate_case
from studies.resolve import resolve
from studies.solver import mesh_identity, mesh_of, simulate_group

PLACES = [("interlaminar", "midline"), ("transforaminal", "left"), ("foraminal", "right")]


def case(approach: str, side: str, **more) -> Case:
    injection = {"level": "L3/L4", "volume": "5 mL", "approach": approach, "side": side}
    return resolve(validate_case({"injection": [injection], **more}))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "spine.msh"
    write_mesh(build_mesh(Anatomy.from_table(), ("L2", "L5"), MeshSize.named("default")), path)
    return path


@pytest.mark.parametrize(("approach", "side"), PLACES)
def test_a_mesh_of_ones_own_is_refined_where_it_is_injected_and_the_needle_stays(own, approach, side):
    tip = read_mesh(own).needle_tip("L3/L4", approach, side)
    mesh = mesh_of(case(approach, side, anatomy={"mesh": str(own)}))
    assert np.array_equal(mesh.needle_tip("L3/L4", approach, side).point, tip.point)
    assert 0.0 < Source(tip).longest_edge(mesh) <= 2e-3 < Source(tip).longest_edge(read_mesh(own))


def test_the_radius_of_the_source_is_part_of_the_mesh():
    usual = case("interlaminar", "midline")
    wide = usual.model_copy(update={"solver": usual.solver.model_copy(update={"source_radius": 6e-3})})
    assert mesh_identity(usual) != mesh_identity(wide)
    tip = Anatomy.from_table().needle_tip("L3/L4")
    meshes = [mesh_of(posed) for posed in (usual, wide)]
    assert [Source(tip, r).longest_edge(m) <= r / 2 for r, m in zip((4e-3, 6e-3), meshes, strict=True)] == [True, True]
    assert len(meshes[0].cells) != len(meshes[1].cells)


def test_a_corner_of_a_design_that_its_mesh_has_no_place_for_leaves_no_folder(own):
    leaking = case(
        "interlaminar",
        "midline",
        anatomy={"mesh": str(own)},
        patient="sih",
        leak=[{"level": "T8/T9", "site": "dorsal"}],
    )

    def folders(*_):
        raise AssertionError("made a folder")

    with pytest.raises(InputError, match=r"leak\.0"):
        simulate_group(MPI.COMM_SELF, [leaking], folders)

"""Needle tips: inside their subregion, on their side, in the parametric mesh and in a mesh without anatomy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import geometry.landmarks
from geometry import APPROACHES, Anatomy, AnatomyError, SpineMesh, Subregion, foramen_name
from geometry.landmarks import _inside

PLACES = [(a, s) for a in APPROACHES for s in ("midline", "left", "right") if a == "interlaminar" or s != "midline"]


def _holds(mesh: SpineMesh, subregions: frozenset[Subregion], point: np.ndarray) -> bool:
    cells = np.isin(mesh.subregion, [int(s) for s in subregions])
    return _inside(mesh.points[mesh.cells[cells]], point)


@pytest.mark.parametrize("with_anatomy", [True, False])
@pytest.mark.parametrize(("approach", "side"), PLACES)
def test_tips_lie_in_their_subregion(lumbar: SpineMesh, approach: str, side: str, with_anatomy: bool) -> None:
    mesh = lumbar if with_anatomy else replace(lumbar, anatomy=None)
    for interspace in lumbar.interspace_z:
        tip = mesh.needle_tip(interspace, approach, side)
        assert _holds(lumbar, tip.subregions, tip.point), interspace
        assert np.sign(tip.point[0]) == {"midline": 0, "left": 1, "right": -1}[side]
        assert (tip.interspace, tip.approach, tip.side) == (interspace, approach, side)


def test_places_of_the_approaches(anatomy: Anatomy) -> None:
    z = anatomy.interspace_z("L3/L4")
    midline = anatomy.needle_tip("L3/L4")
    assert midline.point[[0, 2]] == pytest.approx([0.0, z])
    assert midline.point[1] < -0.5 * anatomy.value("L3", "sac_ap")
    assert midline.subregions == {Subregion.DORSAL}
    assert anatomy.needle_tip("L3/L4", side="left", offset=0.003).point[0] == pytest.approx(0.003)
    ventral = anatomy.needle_tip("L3/L4", "transforaminal", "left")
    assert ventral.subregions == {Subregion.VENTRAL}
    assert ventral.point[1] > 0.0
    lateral = anatomy.needle_tip("L3/L4", "transforaminal", "left", offset=0.001)
    assert lateral.point[0] - ventral.point[0] == pytest.approx(0.001)
    foraminal = anatomy.needle_tip("L3/L4", "foraminal", "right")
    assert foraminal.subregions == {Subregion.FORAMINAL}
    assert foraminal.point[2] < z


def test_left_and_right_tips_are_mirror_images(anatomy: Anatomy) -> None:
    for approach in APPROACHES:
        left, right = (anatomy.needle_tip("T8/T9", approach, side).point for side in ("left", "right"))
        assert np.array_equal(left * [-1, 1, 1], right)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("L3/L9",), "unknown"),
        (("L3/L4", "caudal"), "approach 'caudal' is unknown"),
        (("L3/L4", "interlaminar", "dorsal"), "side 'dorsal' is unknown"),
        (("L3/L4", "transforaminal", "midline"), "left or right"),
        (("L3/L4", "interlaminar", "midline", 0.002), "needs a side"),
        (("L3/L4", "interlaminar", "left", 0.02), "outside the dorsal epidural space"),
        (("L3/L4", "interlaminar", "left", -0.002), "not a distance"),
        (("L3/L4", "foraminal", "left", 0.02), "outside the foramen"),
    ],
)
def test_impossible_tips_are_refused(anatomy: Anatomy, arguments: tuple, message: str) -> None:
    with pytest.raises(AnatomyError, match=message):
        anatomy.needle_tip(*arguments)


def test_a_paramedian_tip_of_a_mesh_without_anatomy_is_as_far_beside_the_midline_as_the_table_says(
    lumbar: SpineMesh, anatomy: Anatomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = replace(lumbar, anatomy=None)
    assert mesh.needle_tip("L3/L4", side="left").point[0] == pytest.approx(anatomy.shape.paramedian_offset)
    other = replace(anatomy.shape, paramedian_offset=4e-3)
    monkeypatch.setattr(geometry.landmarks, "read_shape", lambda: (other, {}))
    assert mesh.needle_tip("L3/L4", side="left").point[0] == pytest.approx(4e-3)


def test_a_mesh_with_a_foramen_on_one_side_only_has_a_tip_on_that_side_alone(lumbar: SpineMesh) -> None:
    name = foramen_name("L3/L4", "right")
    surfaces = {other: tag for other, tag in lumbar.surfaces.items() if other != name}
    mesh = replace(lumbar, anatomy=None, surfaces=surfaces)
    assert mesh.needle_tip("L3/L4", "foraminal", "left").point[0] > 0.0
    with pytest.raises(AnatomyError, match="L3/L4: the mesh has no foramen on the right"):
        mesh.needle_tip("L3/L4", "foraminal", "right")


def test_a_mesh_without_anatomy_refuses_an_interspace_it_does_not_have(lumbar: SpineMesh) -> None:
    with pytest.raises(AnatomyError, match="'C5/C6' is not in the mesh"):
        replace(lumbar, anatomy=None).needle_tip("C5/C6")

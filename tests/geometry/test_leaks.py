"""Places of leaks: on the dura, on the face of the sac or the sleeve that they are asked for (x left, y anterior)."""

from __future__ import annotations

import numpy as np
import pytest

from geometry import Anatomy, AnatomyError, MeshSize, Source, SpineMesh, Subregion, cached_mesh, leak_place
from geometry.surfaces import DURA

INTERSPACES = ("L2/L3", "L3/L4")
ON_SAC = [("dorsal", -1.0), ("ventral", 1.0)]


@pytest.fixture(scope="module", params=["draft", "default"])
def spine(anatomy: Anatomy, request: pytest.FixtureRequest) -> SpineMesh:
    size, sources = MeshSize.named(request.param), [Source(anatomy.needle_tip("L3/L4"))]
    return cached_mesh(anatomy, ("L2", "L4"), size, sources=sources)


def _sac(spine: SpineMesh, z: float) -> np.ndarray:
    """Points of the thecal sac's mesh near a height."""
    points = spine.points[np.unique(spine.cells[spine.subregion == Subregion.THECAL])]
    return points[np.abs(points[:, 2] - z) < 6e-3]


@pytest.mark.parametrize("interspace", INTERSPACES)
@pytest.mark.parametrize(("site", "anterior"), ON_SAC)
def test_a_leak_of_the_sac_lies_behind_or_in_front_on_the_midline(
    spine: SpineMesh, interspace: str, site: str, anterior: float
) -> None:
    place = leak_place(spine, interspace, site, "midline")
    sac = _sac(spine, spine.interspace_z[interspace])
    middle, half = 0.5 * (sac.min(axis=0) + sac.max(axis=0)), 0.5 * np.ptp(sac, axis=0)
    assert place.point[[0, 2]] == pytest.approx([0.0, spine.interspace_z[interspace]])
    assert anterior * (place.point[1] - middle[1]) > 0.7 * half[1]
    assert not place.on_sleeve


@pytest.mark.parametrize(("site", "anterior"), ON_SAC)
def test_a_leak_beside_the_midline_lies_on_its_side_of_the_same_face(
    spine: SpineMesh, anatomy: Anatomy, site: str, anterior: float
) -> None:
    left, right = (leak_place(spine, "L3/L4", site, side).point for side in ("left", "right"))
    assert left[0] == pytest.approx(anatomy.shape.paramedian_offset)
    assert right == pytest.approx(left * [-1, 1, 1])
    assert anterior * (left[1] - _sac(spine, left[2])[:, 1].mean()) > 0


@pytest.mark.parametrize("interspace", INTERSPACES)
def test_a_leak_of_a_sleeve_lies_outside_the_sac_on_its_side(spine: SpineMesh, interspace: str) -> None:
    left, right = (leak_place(spine, interspace, "sleeve", side) for side in ("left", "right"))
    z = spine.interspace_z[interspace]
    assert left.on_sleeve
    assert right.on_sleeve
    assert left.point[0] > _sac(spine, z)[:, 0].max()  # x points to the left
    assert right.point == pytest.approx(left.point * [-1, 1, 1])
    sleeves = spine.points[spine.cells[spine.subregion == Subregion.SLEEVE]].reshape(-1, 3)
    of_this = sleeves[(sleeves[:, 0] > 0) & (np.abs(sleeves[:, 2] - z) < 10e-3)]
    assert (of_this.min(axis=0) <= left.point).all()
    assert (left.point <= of_this.max(axis=0)).all()


@pytest.mark.parametrize("interspace", INTERSPACES)
@pytest.mark.parametrize("side", ["midline", "left"])
@pytest.mark.parametrize("site", ["dorsal", "ventral"])
def test_a_leak_of_the_sac_lies_on_the_dura(spine: SpineMesh, interspace: str, site: str, side: str) -> None:
    corners = spine.points[spine.facets[spine.facet_tag == spine.surfaces[DURA]]]
    edge = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).mean()
    away = np.linalg.norm(corners.mean(axis=1) - leak_place(spine, interspace, site, side).point, axis=1)
    assert away.min() < edge


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("L3/L4", "lateral", "left"), "leak site 'lateral' is unknown"),
        (("L3/L4", "dorsal", "back"), "side 'back' is unknown"),
        (("L3/L4", "sleeve", "midline"), "left or right"),
        (("T8/T9", "dorsal", "midline"), "'T8/T9' is not in the mesh"),
    ],
)
def test_impossible_places_are_refused(spine: SpineMesh, arguments: tuple[str, str, str], message: str) -> None:
    with pytest.raises(AnatomyError, match=message):
        leak_place(spine, *arguments)

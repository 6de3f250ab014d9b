"""What the limits of the figures allow can be meshed; what cannot, is put down to the figures that were overridden."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import geometry.build
from geometry import LEAST_QUALITY, Anatomy, AnatomyError, MeshError, MeshSize, build_mesh
from geometry.limits import LARGEST_FLARE, LEAST_PEDICLE, LONGEST_SEGMENT, RECESS_SHARE
from geometry.tables import read_shape

INSIDE = 1e-6
"""Distance (m) from a limit."""
TABLE = Anatomy.from_table()
SHAPE, _ = read_shape()

Overrides = dict[str, dict[str, float]]


def _least(place: str, quantity: str) -> float:
    return min(TABLE.value(level, quantity) for level in place.split("/"))


def _widest(level: str) -> float:
    index = TABLE.levels.index(level)
    length, trans = TABLE.column("segment_length"), TABLE.column("canal_trans")
    return min(float(trans[i] + LARGEST_FLARE * (length[i] + length[index])) for i in (index - 1, index + 1))


def _at_their_limits() -> Iterator[tuple[str, Overrides]]:
    for place in ("C4/C5", "L3/L4", "S1/S2"):
        root, height = TABLE.value(place, "root_diameter"), TABLE.value(place, "foramen_height")
        width = _least(place, "canal_ap")
        lengths = sum(TABLE.value(level, "segment_length") for level in place.split("/"))
        window = SHAPE.recess_axial_share * 0.5 * lengths
        yield place, {place: {"recess_depth": RECESS_SHARE * window - INSIDE}}
        yield place, {place: {"foramen_width": width}}
        yield place, {place: {"foramen_height": root + 2.0 * SHAPE.gap_floor + INSIDE}}
        yield place, {place: {"root_diameter": SHAPE.least_clearance}}
        thickest = min(width, height - 2.0 * SHAPE.gap_floor) - INSIDE
        yield place, {place: {"foramen_width": width, "root_diameter": thickest}}
        index = TABLE.interspaces.index(place)
        near = TABLE.interspaces[index - 1 : index + 2]
        yield (
            place,
            {name: {"foramen_height": _least(name, "segment_length") - LEAST_PEDICLE - INSIDE} for name in near},
        )
    for level in ("L3", "S1", "C5"):
        yield level, {level: {"canal_trans": _widest(level) - INSIDE}}
    thinnest = SHAPE.conus_cap + INSIDE
    yield "L4", {"L4": {"segment_length": LONGEST_SEGMENT}}
    yield "T5", {"T5": {"cord_ap": thinnest, "cord_trans": thinnest}}
    yield "L3", {"L3": dict.fromkeys(("sac_ap", "sac_trans"), thinnest + 2.0 * SHAPE.least_clearance)}


@pytest.mark.parametrize(("place", "overrides"), list(_at_their_limits()))
def test_figures_at_their_limits_make_a_sound_mesh(place: str, overrides: Overrides) -> None:
    anatomy = Anatomy.from_table(overrides)
    first, *_, last = (TABLE.levels.index(level) for level in (*place.split("/"), place.split("/")[-1]))
    span = TABLE.levels[max(first - 1, 0)], TABLE.levels[min(last + 1, len(TABLE.levels) - 1)]
    for size in ("default", "fine"):  # the lowest counts make too coarse a mesh of some
        assert build_mesh(anatomy, span, MeshSize.named(size)).quality().minimum > LEAST_QUALITY


def test_a_mesh_that_fails_names_the_overridden_figures_near_it() -> None:
    """Nests, but the normals of so flat a sac cross in the wide canal of the sacrum: no check of figures knows that."""
    anatomy = Anatomy.from_table({"S1": {"sac_ap": 0.0031}, "L1": {"sac_ap": 0.0149}})
    with pytest.raises(AnatomyError) as caught:
        build_mesh(anatomy, ("T12", "S2"), MeshSize.named("draft"))
    said = str(caught.value)
    assert said.startswith("S1 sac_ap 3.1 mm (table: 10.5 mm): allowed is what can be meshed, nearer to the table's")
    assert "is inverted" in said
    assert "L1" not in said
    assert "\n" not in said


def test_without_overrides_a_failed_check_stays_one_of_the_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry.build, "VOLUME_TOLERANCE", 0.0)
    monkeypatch.setattr(geometry.build, "_NEGLIGIBLE_VOLUME", 0.0)
    with pytest.raises(MeshError, match="the mesh is too coarse"):
        build_mesh(TABLE, ("L3", "L4"), MeshSize.named("draft"))
    overrides = {"L3": {"canal_area": 2.5e-4}, "T5": {"sac_ap": 0.012, "canal_area": 2.0e-4}}
    with pytest.raises(AnatomyError, match=r"^L3 canal_area 250 mm2 \(table: 236 mm2\): .*too coarse"):
        build_mesh(Anatomy.from_table(overrides), ("L3", "L4"), MeshSize.named("draft"))
    with pytest.raises(
        AnatomyError, match=r"^T5 sac_ap 12\.0 mm .*T5 canal_area 200 mm2 \(table: none\): .*too coarse"
    ):
        build_mesh(Anatomy.from_table(overrides), ("T4", "T6"), MeshSize.named("draft"))

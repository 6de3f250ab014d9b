"""The mesh: names, volumes, nesting, quality, symmetry, and meshes that are refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from geometry import (
    LEAST_QUALITY,
    REGION_OF_SUBREGION,
    Anatomy,
    AnatomyError,
    MeshError,
    MeshSize,
    Region,
    Source,
    SpineMesh,
    Subregion,
    build_mesh,
)
from geometry.quality import cell_volumes, check_cells, dihedral_angles, mean_ratio
from geometry.surfaces import all_facets

BUDGET = {"draft": 13_000, "default": 17_000, "fine": 30_000}
"""Cells with which the default case takes less than one minute (draft), a little more (default), and three (fine)."""


def _interface(mesh: SpineMesh, first: Region, second: Region) -> int:
    facets = all_facets(mesh.cells)
    inside = facets.cells[~facets.on_boundary]
    pair = np.sort(mesh.region[inside], axis=1)
    return int((pair == sorted((first, second))).all(axis=1).sum())


@pytest.mark.parametrize("size", BUDGET)
def test_the_named_sizes_stay_within_their_budget(anatomy: Anatomy, size: str) -> None:
    mesh = build_mesh(anatomy, ("T10", "S2"), MeshSize.named(size), sources=[Source(anatomy.needle_tip("L3/L4"))])
    assert len(mesh.cells) < BUDGET[size]


def test_every_boundary_facet_is_named_once(lumbar: SpineMesh) -> None:
    boundary = all_facets(lumbar.cells)
    outside = {tuple(row) for row in boundary.nodes[boundary.on_boundary].tolist()}
    named = [tuple(row) for row in np.sort(lumbar.facets, axis=1).tolist()]
    assert len(named) == len(set(named))
    assert outside <= set(named)
    membranes = np.isin(lumbar.facet_tag, [lumbar.surfaces["dura"], lumbar.surfaces["pia"]])
    assert {row for row, inner in zip(named, membranes, strict=True) if not inner} == outside


def test_dura_and_pia_are_the_borders_of_the_regions(lumbar: SpineMesh) -> None:
    for name, pair in (("dura", (Region.EPIDURAL, Region.SUBARACHNOID)), ("pia", (Region.SUBARACHNOID, Region.CORD))):
        assert (lumbar.facet_tag == lumbar.surfaces[name]).sum() == _interface(lumbar, *pair)
    assert _interface(lumbar, Region.EPIDURAL, Region.CORD) == 0


def test_the_dura_is_closed_but_for_the_cranial_cut(lumbar: SpineMesh) -> None:
    """Every edge of the dura belongs to two of its facets: sleeves and the end of the sac leave no hole."""
    dura = np.sort(lumbar.facets[lumbar.facet_tag == lumbar.surfaces["dura"]], axis=1)
    edges = np.concatenate([dura[:, [0, 1]], dura[:, [0, 2]], dura[:, [1, 2]]])
    unique, count = np.unique(edges, axis=0, return_counts=True)
    assert (count <= 2).all()
    open_edges = unique[count == 1]
    assert lumbar.points[open_edges][..., 2] == pytest.approx(lumbar.slab_edges[-1])


def test_surfaces_are_those_of_the_contract(lumbar: SpineMesh, cervical: SpineMesh) -> None:
    cranial = {"cut_cranial_epidural", "cut_cranial_subarachnoid", "cut_cranial_cord"}
    assert cranial <= set(lumbar.surfaces)
    assert {name for name in lumbar.surfaces if "caudal" in name} == {"cut_caudal_epidural"}
    assert lumbar.sac_closed
    caudal = {name.replace("cranial", "caudal") for name in cranial}
    assert set(cervical.surfaces) == {
        *("dura", "pia", "bone"),
        *cranial,
        *caudal,
        *(f"foramen_{i}_{s}" for i in ("C6C7", "C7T1") for s in ("left", "right")),
    }
    assert not cervical.sac_closed
    assert lumbar.foramina[:2] == ["foramen_T10T11_left", "foramen_T10T11_right"]
    assert len(lumbar.foramina) == 18


def test_foramina_are_on_their_sides_and_have_their_areas(lumbar: SpineMesh, anatomy: Anatomy) -> None:
    for name in lumbar.foramina:
        corner = lumbar.points[lumbar.facets[lumbar.facet_tag == lumbar.surfaces[name]]]
        assert (corner[..., 0] > 0.0).all() == name.endswith("left")
    place = "T11/T12"
    ellipse = 0.25 * np.pi * anatomy.value(place, "foramen_height") * anatomy.value(place, "foramen_width")
    assert lumbar.surface_area("foramen_T11T12_left") == pytest.approx(ellipse, rel=1e-6)


def test_regions_follow_from_subregions(lumbar: SpineMesh) -> None:
    table = np.array([0, *(REGION_OF_SUBREGION[s] for s in Subregion)])
    assert (table[lumbar.subregion] == lumbar.region).all()
    assert set(np.unique(lumbar.subregion)) == {int(s) for s in Subregion}


def test_each_foramen_has_one_sleeve_that_ends_inside_it(lumbar: SpineMesh) -> None:
    sleeve = lumbar.cells[lumbar.subregion == Subregion.SLEEVE]
    for name in lumbar.foramina:
        outer = np.unique(lumbar.facets[lumbar.facet_tag == lumbar.surfaces[name]])
        assert not np.isin(sleeve, outer).any()
        x, z = np.abs(lumbar.points[outer, 0]).max(), lumbar.points[outer, 2].mean()
        inside = lumbar.points[sleeve].mean(axis=1)
        inside = inside[np.abs(inside[:, 2] - z) < 3e-3]
        assert 0.7 * x < np.abs(inside[:, 0]).max() < x


def test_subregions_lie_where_their_names_say(lumbar: SpineMesh) -> None:
    middle = lumbar.points[lumbar.cells].mean(axis=1)
    assert (middle[lumbar.subregion == Subregion.DORSAL, 1] < 0.0).all()
    assert (middle[lumbar.subregion == Subregion.VENTRAL, 1] > 0.0).all()
    assert (middle[lumbar.subregion == Subregion.LATERAL_LEFT, 0] > 0.0).all()
    assert (middle[lumbar.subregion == Subregion.LATERAL_RIGHT, 0] < 0.0).all()


def test_volumes_agree_with_the_sections(lumbar: SpineMesh, anatomy: Anatomy) -> None:
    z = np.linspace(*anatomy.span_bounds(("T10", "S2")), 4000)
    sections = anatomy.sections
    canal, sac, cord = (np.trapezoid(a(z), z) for a in (sections.canal_area, sections.sac_area, sections.cord_area))
    volumes, parts = lumbar.region_volumes(), lumbar.subregion_volumes()
    assert volumes[Region.CORD] == pytest.approx(cord, rel=0.02)
    assert parts[Subregion.THECAL] == pytest.approx(sac - cord, rel=0.02)
    assert (lumbar.canal_area * np.diff(lumbar.slab_edges)).sum() == pytest.approx(canal, rel=0.02)
    assert sum(volumes.values()) == pytest.approx(sum(parts.values()))


def test_lumbosacral_csf_of_the_mesh_is_that_of_the_sections(lumbar: SpineMesh, anatomy: Anatomy) -> None:
    below = lumbar.level >= lumbar.levels.index("T12")
    volume = lumbar.volumes[below & (lumbar.subregion == Subregion.THECAL)].sum()
    z = np.linspace(0.0, anatomy.interspace_z("T11/T12"), 4000)
    exact = np.trapezoid(anatomy.sections.sac_area(z) - anatomy.sections.cord_area(z), z)
    assert volume == pytest.approx(exact, rel=0.01)


def test_slabs_and_levels_are_by_height(lumbar: SpineMesh, anatomy: Anatomy) -> None:
    assert (np.diff(lumbar.slab_edges) > 0.0).all()
    height = lumbar.points[lumbar.cells][:, :, 2].mean(axis=1)
    assert (height >= lumbar.slab_edges[lumbar.slab] - 1e-12).all()
    assert (height <= lumbar.slab_edges[lumbar.slab + 1] + 1e-12).all()
    assert np.isclose(lumbar.slab_edges, anatomy.interspace_z("T11/T12")).any()
    for level in ("T10", "L3", "S2"):
        low, high = anatomy.level_bounds[anatomy.levels.index(level)]
        inside = (height > low + 4e-3) & (height < high - 4e-3)
        assert (lumbar.level[inside] == lumbar.levels.index(level)).all()


def test_quality_is_above_its_limit_and_reported_with_its_place(lumbar: SpineMesh) -> None:
    report = lumbar.quality()
    # a cell four times as long as wide in a layer whose recess deepens; the percentiles say how few are like it
    assert report.minimum > 3.0 * LEAST_QUALITY
    assert report.percentiles[1.0] > 4.0 * LEAST_QUALITY
    assert report.least_volume > 0.0
    assert report.largest_dihedral < np.radians(176.0)
    assert report.minimum <= report.percentiles[1.0] <= report.percentiles[50.0]
    assert lumbar.points[:, 2].min() <= report.worst_point[2] <= lumbar.points[:, 2].max()


def test_quality_of_known_tetrahedra() -> None:
    regular = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
    cell = np.array([[0, 1, 2, 3]])
    if cell_volumes(regular, cell)[0] < 0.0:
        cell = cell[:, [0, 1, 3, 2]]
    assert mean_ratio(regular, cell)[0] == pytest.approx(1.0)
    assert dihedral_angles(regular, cell)[0] == pytest.approx(np.full(6, np.arccos(1.0 / 3.0)))
    corner = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert cell_volumes(corner, np.array([[0, 1, 2, 3]]))[0] == pytest.approx(1.0 / 6.0)
    assert np.sort(dihedral_angles(corner, np.array([[0, 1, 2, 3]]))[0])[-3:] == pytest.approx(np.full(3, np.pi / 2))


def test_the_mesh_is_its_own_mirror_image(lumbar: SpineMesh) -> None:
    """Points, cells with their labels, and facets with their names, all exactly."""

    def content(mesh: SpineMesh) -> tuple[set[object], set[object]]:
        names = {tag: name for name, tag in mesh.surfaces.items()}
        place = [tuple(row) for row in mesh.points.tolist()]
        cells = {
            (frozenset(place[v] for v in cell), int(s), int(k))
            for cell, s, k in zip(mesh.cells.tolist(), mesh.subregion, mesh.slab, strict=True)
        }
        facets = {
            (frozenset(place[v] for v in facet), names[int(tag)])
            for facet, tag in zip(mesh.facets.tolist(), mesh.facet_tag, strict=True)
        }
        return cells, facets

    assert content(lumbar) == content(lumbar.mirrored())
    assert (lumbar.mirrored().volumes > 0.0).all()


def test_a_moved_mesh_keeps_its_volumes(cervical: SpineMesh) -> None:
    angle = 0.7
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = cervical.transformed(rotation, np.array([0.1, -0.2, 0.3]))
    assert moved.volumes == pytest.approx(cervical.volumes)
    with pytest.raises(ValueError, match="proper"):
        cervical.transformed(np.diag([-1.0, 1.0, 1.0]), np.zeros(3))


def test_building_is_deterministic(cervical: SpineMesh, anatomy: Anatomy) -> None:
    again = build_mesh(anatomy, ("C6", "T1"), MeshSize.named("default"), sources=[Source(anatomy.needle_tip("C7/T1"))])
    for name in ("points", "cells", "region", "subregion", "facets", "facet_tag", "canal_area"):
        assert np.array_equal(getattr(again, name), getattr(cervical, name)), name


@pytest.mark.parametrize(
    "span", [("C2", "S2"), ("C2", "T4"), ("T4", "L1"), ("L3", "L4"), ("L2", "L2"), ("S1", "S2"), ("C2", "C2")]
)
def test_any_span_can_be_meshed(anatomy: Anatomy, span: tuple[str, str]) -> None:
    mesh = build_mesh(anatomy, span, MeshSize.named("default"))
    assert mesh.slab_edges[[0, -1]] == pytest.approx(anatomy.span_bounds(span))
    assert mesh.levels == anatomy.span_levels(span)
    assert mesh.sac_closed == (span[1] == "S2")


@pytest.mark.parametrize("interspace", Anatomy.from_table().interspaces)
def test_every_interspace_can_be_injected(anatomy: Anatomy, interspace: str) -> None:
    span = anatomy.window([interspace], segments=1)
    mesh = build_mesh(anatomy, span, MeshSize.named("fine"), sources=[Source(anatomy.needle_tip(interspace))])
    assert mesh.quality().minimum > LEAST_QUALITY
    assert len(mesh.foramina) == 2


def test_continuation_is_what_the_window_leaves_out(anatomy: Anatomy) -> None:
    mesh = build_mesh(anatomy, ("T10", "L4"), MeshSize.named("default"))
    above, below = mesh.continuation["cranial"], mesh.continuation["caudal"]
    assert above.epidural_length == pytest.approx(anatomy.length - mesh.slab_edges[-1])
    assert above.sac_length == pytest.approx(above.epidural_length)
    assert above.foramina == 2 * anatomy.interspaces.index("T10/T11")
    assert below.foramina == 2 * 3
    assert below.epidural_length == pytest.approx(mesh.slab_edges[0])
    assert below.sac_length == pytest.approx(mesh.slab_edges[0] - anatomy.sac_end_z)
    z = np.linspace(0.0, mesh.slab_edges[0], 2000)
    epidural = np.trapezoid(anatomy.sections.canal_area(z) - anatomy.sections.sac_area(z), z) / mesh.slab_edges[0]
    assert below.epidural_area == pytest.approx(epidural, rel=1e-2)
    whole = build_mesh(anatomy, ("C2", "S2"), MeshSize.named("default"))
    assert {c.epidural_length for c in whole.continuation.values()} == {0.0}


def test_meshes_refine_towards_the_same_geometry(anatomy: Anatomy) -> None:
    """Counts grow with falling length; volumes of all sizes agree, since polygons keep their outlines' areas."""
    meshes = [build_mesh(anatomy, ("L3", "L4"), MeshSize.from_length(h)) for h in (4e-3, 2.5e-3, 1.5e-3)]
    cells = [len(mesh.cells) for mesh in meshes]
    assert cells == sorted(cells)
    for a, b in itertools.combinations(meshes, 2):
        for region in (Region.EPIDURAL, Region.SUBARACHNOID):
            assert a.region_volumes()[region] == pytest.approx(b.region_volumes()[region], rel=0.02)


def test_bad_requests_are_refused_with_the_reason(anatomy: Anatomy) -> None:
    with pytest.raises(MeshError, match="outside the span L3-L4"):
        build_mesh(anatomy, ("L3", "L4"), MeshSize.named("default"), [0.3])
    with pytest.raises(MeshError, match=r"known: draft, default, fine"):
        MeshSize.named("coarse")
    with pytest.raises(MeshError, match=r"outside 0\.5 to 5 mm"):
        MeshSize.from_length(0.02)
    with pytest.raises(AnatomyError, match="unknown"):
        build_mesh(anatomy, ("L3", "L7"), MeshSize.named("default"))


def test_bad_cells_are_refused_with_their_place(cervical: SpineMesh) -> None:
    inverted = cervical.cells.copy()
    inverted[5] = inverted[5][[0, 1, 3, 2]]
    with pytest.raises(MeshError, match="cell 5 is inverted"):
        check_cells(cervical.points, inverted)
    with pytest.raises(MeshError, match="badly shaped: mean ratio"):
        check_cells(cervical.points, cervical.cells, least_quality=0.9)
    points = cervical.points.copy()
    points[7] = np.nan
    with pytest.raises(MeshError, match="not finite"):
        check_cells(points, cervical.cells)

"""Edges within a source are split until the mesh resolves it, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from geometry import Anatomy, MeshSize, Source, SpineMesh, build_mesh, resolved
from geometry.quality import mean_ratio
from geometry.surfaces import all_facets

APPROACHES = [
    ("interlaminar", "midline"),
    ("interlaminar", "right"),
    ("transforaminal", "left"),
    ("foraminal", "right"),
]


@pytest.fixture(scope="module")
def plain(anatomy: Anatomy) -> SpineMesh:
    return build_mesh(anatomy, ("L2", "L5"), MeshSize.named("default"), [anatomy.interspace_z("L3/L4")])


@pytest.mark.parametrize(("approach", "side"), APPROACHES)
def test_a_source_is_resolved_in_the_same_body(plain: SpineMesh, anatomy: Anatomy, approach: str, side: str) -> None:
    source = Source(anatomy.needle_tip("L3/L4", approach, side))
    assert source.longest_edge(plain) > 2 * source.resolving_length
    fine = resolved(plain, [source])
    assert 0.5 * source.resolving_length < source.longest_edge(fine) <= source.resolving_length == 2e-3
    assert fine.region_volumes() == pytest.approx(plain.region_volumes(), rel=1e-12)
    assert fine.subregion_volumes() == pytest.approx(plain.subregion_volumes(), rel=1e-12)
    for name in plain.surfaces:
        assert fine.surface_area(name) == pytest.approx(plain.surface_area(name), rel=1e-12), name
    for slab in range(len(plain.slab_edges) - 1):
        volumes = [float(mesh.volumes[mesh.slab == slab].sum()) for mesh in (plain, fine)]
        assert volumes[1] == pytest.approx(volumes[0], rel=1e-12)


@pytest.mark.parametrize(("approach", "side"), APPROACHES)
def test_a_refined_mesh_conforms_and_is_no_worse(plain: SpineMesh, anatomy: Anatomy, approach: str, side: str) -> None:
    fine = resolved(plain, [Source(anatomy.needle_tip("L3/L4", approach, side))])
    before, after = (mean_ratio(mesh.points, mesh.cells) for mesh in (plain, fine))
    assert after.min() >= before.min() * (1 - 1e-9)
    assert np.percentile(after, 5) >= np.percentile(before, 5)
    # a hanging vertex would leave facets inside the body that one cell alone has
    boundary = [all_facets(mesh.cells) for mesh in (plain, fine)]
    areas = []
    for mesh, facets in zip((plain, fine), boundary, strict=True):
        corner = mesh.points[facets.nodes[facets.on_boundary]]
        areas.append(0.5 * np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1))
    assert areas[1].sum() == pytest.approx(areas[0].sum(), rel=1e-12)
    assert len(np.unique(fine.cells)) == len(fine.points) > len(plain.points)


def test_only_a_source_in_the_midline_leaves_a_mirror_image(plain: SpineMesh, anatomy: Anatomy) -> None:
    assert resolved(plain, [Source(anatomy.needle_tip("L3/L4"))]).left_half is not None
    assert resolved(plain, [Source(anatomy.needle_tip("L3/L4", "foraminal", "left"))]).left_half is None


@pytest.mark.parametrize("approach", ["transforaminal", "foraminal"])
def test_left_and_right_are_mirror_images(plain: SpineMesh, anatomy: Anatomy, approach: str) -> None:
    left, right = (resolved(plain, [Source(anatomy.needle_tip("L3/L4", approach, side))]) for side in ("left", "right"))

    def middles(mesh: SpineMesh) -> np.ndarray:
        return np.unique(np.round(mesh.points[mesh.cells].mean(axis=1) / 1e-9), axis=0)

    assert np.array_equal(middles(left.mirrored()), middles(right))


def test_two_sources_are_both_resolved(plain: SpineMesh, anatomy: Anatomy) -> None:
    sources = [Source(anatomy.needle_tip(level), radius) for level, radius in (("L3/L4", 3e-3), ("L4/L5", 5e-3))]
    fine = resolved(plain, sources)
    for source in sources:
        assert 0.0 < source.longest_edge(fine) <= source.resolving_length

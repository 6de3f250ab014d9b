"""The modelled body: sleeves told apart, half of a symmetric canal, the canal beyond a cut, ligaments' bands."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from fem.arrays import Array
from fem.barriers import mobility_factor
from fem.continuation import Channel
from fem.domain import Domain
from fem.laws.solids import lame
from fem.materials import Materials
from geometry import Region as Part
from geometry import SpineMesh, Subregion
from geometry.mesh import MIRROR_TOLERANCE


def with_sleeves(spine: SpineMesh) -> tuple[Array, Array, dict[str, int]]:
    """Tagged facets of a spine mesh, root sleeves told apart: facets, tags, tag by name.

    The dura's part on the sleeves becomes ``dura_sleeve``; the mouths between sac and sleeves are added as interior
    facets.
    """
    corners = ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2))

    def faces(part: Subregion) -> set[tuple[int, ...]]:
        cells = spine.cells[spine.subregion == part]
        stacked = np.sort(np.concatenate([cells[:, list(face)] for face in corners]), axis=1)
        return set(map(tuple, stacked.tolist()))

    sleeve = faces(Subregion.SLEEVE)
    facets, tags, surfaces = np.sort(spine.facets, axis=1), spine.facet_tag.copy(), dict(spine.surfaces)
    on_dura = np.flatnonzero(tags == surfaces["dura"])
    on_sleeve = [index for index in on_dura if tuple(facets[index].tolist()) in sleeve]
    mouths = np.array(sorted(sleeve & faces(Subregion.THECAL)), dtype=facets.dtype).reshape(-1, 3)
    if on_sleeve:
        surfaces["dura_sleeve"] = max(surfaces.values()) + 1
        tags[on_sleeve] = surfaces["dura_sleeve"]
    if len(mouths):
        surfaces["sleeve_mouth"] = max(surfaces.values()) + 1
        facets = np.concatenate([facets, mouths])
        tags = np.concatenate([tags, np.full(len(mouths), surfaces["sleeve_mouth"], dtype=tags.dtype)])
    return facets, tags, surfaces


MIDSAGITTAL = "midsagittal"
"""Name of the plane that the left half ends at."""


def modelled_domain(comm: MPI.Comm, spine: SpineMesh, half: Array | None) -> Domain:
    """The spine or, given the cells of its left half, that half with the surface ``midsagittal``."""
    facets, tags, surfaces = with_sleeves(spine)
    if half is None:
        return Domain.from_arrays(comm, spine.points, spine.cells, spine.region, facets, tags, surfaces)
    used, cells = np.unique(spine.cells[half], return_inverse=True)
    cells = cells.reshape(-1, 4)
    number = np.full(len(spine.points), -1)
    number[used] = np.arange(len(used))
    facets = number[facets]
    kept = (facets >= 0).all(axis=1)
    in_plane = np.abs(spine.points[used, 0]) < MIRROR_TOLERANCE
    corners = np.concatenate([np.delete(cells, corner, axis=1) for corner in range(4)])
    plane = corners[in_plane[corners].all(axis=1)]
    present = set(tags[kept].tolist())
    surfaces = {name: tag for name, tag in surfaces.items() if tag in present}
    surfaces[MIDSAGITTAL] = max(surfaces.values()) + 1
    return Domain.from_arrays(
        comm,
        spine.points[used],
        cells,
        spine.region[half],
        np.concatenate([facets[kept], plane]),
        np.concatenate([tags[kept], np.full(len(plane), surfaces[MIDSAGITTAL])]),
        surfaces,
        half,
    )


def channel_beyond(spine: SpineMesh, materials: Materials, end: str) -> Channel | None:
    """The epidural canal beyond the ``cranial`` or ``caudal`` cut; None where the anatomy ends there.

    Its fluid meets the barriers of the window: parallel paths across, in series along the canal. Its fat swells in one
    direction only, towards the sac, with the confined modulus lambda + 2 mu.
    """
    rest = spine.continuation[end]
    if rest.epidural_length <= 0 or f"cut_{end}_epidural" not in spine.surfaces:
        return None
    fat, veins, foramina = materials.fat, materials.veins, materials.foramina
    along = (spine.region == Part.EPIDURAL) & (spine.subregion != Subregion.FORAMINAL)
    volume = cell_volumes(spine)[along]
    open_ = np.bincount(spine.slab[along], weights=volume * mobility_factor(spine, materials.barriers)[along])
    whole, height = np.bincount(spine.slab[along], weights=volume), np.diff(spine.slab_edges)
    there = open_ > 0
    share = (height[there] ** 2 / open_[there]).sum() ** -1 / (height[there] ** 2 / whole[there]).sum() ** -1
    mu, lmbda = lame(fat.solid.youngs_modulus, fat.solid.poisson_ratio)
    return Channel(
        length=rest.epidural_length,
        sac_length=rest.sac_length,
        conduction=float(fat.mobility.mobility * share * rest.epidural_area),
        veins=veins.slope * rest.epidural_area,
        fat=rest.epidural_area / (lmbda + 2 * mu),
        foramina=foramina.conductance * rest.foramina / rest.epidural_length,
    )


def cell_volumes(spine: SpineMesh) -> Array:
    """Volume of every cell of a spine mesh [m^3]."""
    a, b, c, d = np.moveaxis(spine.points[spine.cells], 1, 0)
    return np.abs(np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a)) / 6


def denticulate_weight(spine: SpineMesh, candidates: Array) -> Array:
    """Weight [1] that smears a lateral stiffness per length of cord over a coronal band of cells.

    A sheet of modulus E, thickness t and length l has the stiffness E t/l per length of cord; with a band of volume V
    per slab of height d, t = V/(l d) on each side, so that E = k l^2 d/V. The band is the cells of the slab, beside the
    cord, whose midpoint lies within a quarter of the cord's depth of its coronal plane.
    """
    middle = spine.points[spine.cells].mean(axis=1)
    volume = cell_volumes(spine)
    weight = np.zeros(len(spine.cells))
    for slab in np.unique(spine.slab[candidates]):
        here = spine.slab == slab
        cord = here & (spine.region == Part.CORD)
        nodes = spine.points[np.unique(spine.cells[cord])]
        plane, half_width = nodes[:, 1].mean(), np.ptp(nodes[:, 0]) / 2
        half_depth = np.ptp(nodes[:, 1]) / 2
        band = (
            here
            & candidates
            & (np.abs(middle[:, 1] - plane) < half_depth / 2)
            & (np.abs(middle[:, 0] - nodes[:, 0].mean()) > half_width / 2)
        )
        if not band.any():
            continue
        sac = spine.points[np.unique(spine.cells[here & (spine.subregion == Subregion.THECAL)])]
        length = max(np.ptp(sac[:, 0]) / 2 - half_width, 1e-4)
        height = float(spine.slab_edges[slab + 1] - spine.slab_edges[slab])
        weight[band] = length**2 * height / (volume[band].sum() / 2)
    return weight

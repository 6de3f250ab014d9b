"""Bending stiffness of a sheet inside a body, on displacements that are continuous and no smoother.

Energy D/2 |Grad_s Grad_s u|^2 per reference area of the sheet, with D its bending stiffness. It is quadratic in the
displacement, so that its matrix is constant. For a sheet that hardly stretches it is D/2 times the sum of the squares
of both changes of curvature (Bergou et al. 2006 Eurographics Symp Geom Proc p. 227), and what was flat may turn freely;
what was curved is held in its place by nodal forces that do not turn with it, as the healthy sac is.

A P2 displacement bends inside facets and kinks between them, and a kink must not be free: a sheet that is stiff only
inside facets folds along their edges, more easily the finer the mesh. Kinks therefore count, by the interior-penalty
method for fourth-order problems (Engel et al. 2002 Comput Methods Appl Mech Eng 191:3669; Brenner & Sung 2005 J Sci
Comput 22:83). With conormals n1, n2 that point out of the two facets at an edge, kink J(u) = du/dn1 + du/dn2, second
derivative across the edge m(u), the mean of both sides', and H = Grad_s Grad_s,

    a(u, v) = sum over facets D int H(u):H(v) + sum over edges D int [ s/h J(u).J(v) - m(u).J(v) - m(v).J(u) ].

An edge that is held in one direction only lies in a plane of symmetry: its second facet is the mirror image of the
first. At any other edge of the sheet it is free to turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from petsc4py import PETSc
from scipy.sparse import coo_array

from fem.arrays import Array
from fem.domain import Domain
from fem.errors import ModelError
from fem.support import EDGES

PENALTY = 6.0
"""Penalty s on kinks [1]; 3 makes the form positive where h is the smaller height of the facets over the edge."""

SIDES = ((1, 2), (0, 2), (0, 1))
"""Corners of the edge across from each corner of a facet; its middle is node 3 + the number of that corner."""

GAUSS = 0.5 + np.array([-0.5, 0.5]) / np.sqrt(3.0)
"""Places along an edge, equally weighted, that integrate the square of a kink exactly."""


@dataclass(frozen=True)
class Sheet:
    """A sheet with bending stiffness.

    Attributes:
        surfaces: that it is made of; those that the mesh has not are left out.
        stiffness: bending stiffness D [N m].
    """

    surfaces: tuple[str, ...]
    stiffness: float


class Facets(NamedTuple):
    """P2 facets of a sheet, those of all ranks.

    Attributes:
        vertices: numbers of the corners in the mesh as given, (f, 3).
        corners: their places [m], (f, 3, 3).
        dofs: global degrees of freedom of the nodes by direction, (f, 6, 3).
        held: whether these are held, (f, 6, 3).
    """

    vertices: Array
    corners: Array
    dofs: Array
    held: Array


def bending_matrices(
    space: Any, nodes: Array, u_map: Array, fixed: Array, domain: Domain, sheets: Sequence[Sheet]
) -> tuple[Any, Any]:
    """Matrix of the sheets' energy on a mixed space, and the same without what is held.

    Args:
        space: mixed space.
        nodes: nodes of the P2 displacement by local cell, (cells, 10).
        u_map: local degrees of freedom in the mixed space by node and direction, (3 nodes,).
        fixed: local degrees of freedom that are held.
        domain: mesh of straight-sided tetrahedra with the sheets' surfaces.
        sheets: that bend.

    Returns:
        Two symmetric PETSc matrices, distributed like the space: the forces are the first one times the state, the
        second one goes into a Jacobian whose held rows and columns are empty.

    Raises:
        ModelError: more than two facets of a sheet meet at an edge, or cells are no straight-sided tetrahedra.
    """
    geometry = domain.mesh.geometry
    if geometry.dim != 3 or geometry.dofmap.shape[1] != 4:
        raise ModelError("only surfaces of straight-sided tetrahedra have bending stiffness")
    index_map = space.dofmap.index_map
    is_held = np.zeros(index_map.size_local + index_map.num_ghosts, dtype=bool)
    is_held[fixed] = True
    rows, columns, values, held = [], [], [], []
    for sheet in sheets:
        facets = _facets(domain, sheet, nodes, np.asarray(u_map).reshape(-1, 3), is_held, index_map)
        for element in _elements(facets, sheet.stiffness) if len(facets.dofs) else ():
            size = element.dofs.shape[1]
            rows.append(np.repeat(element.dofs, size, axis=1).ravel())
            columns.append(np.tile(element.dofs, (1, size)).ravel())
            values.append(element.entries.ravel())
            held.append((element.held[:, :, None] | element.held[:, None, :]).ravel())
    none = np.empty(0, dtype=np.int64)
    row, column = np.concatenate([none, *rows]), np.concatenate([none, *columns])
    value, fast = np.concatenate([none.astype(float), *values]), np.concatenate([none.astype(bool), *held])
    low, high = index_map.local_range
    own = (row >= low) & (row < high)

    def matrix(kept: Array) -> Any:
        shape = (high - low, index_map.size_global)
        local = coo_array((value[kept], (row[kept] - low, column[kept])), shape=shape).tocsr()
        csr = (local.indptr.astype(PETSc.IntType), local.indices.astype(PETSc.IntType), local.data)
        return PETSc.Mat().createAIJ((shape, shape), csr=csr, comm=domain.comm)

    return matrix(own), matrix(own & ~fast)


def _facets(domain: Domain, sheet: Sheet, nodes: Array, u_map: Array, is_held: Array, index_map: Any) -> Facets:
    """Facets of a sheet. Each rank has all of them: two that share an edge may lie on ranks that share no cell."""
    mesh = domain.mesh
    pairs = np.concatenate(
        [np.empty((0, 2), dtype=np.int32), *(domain.surfaces[n] for n in sheet.surfaces if n in domain.surfaces)]
    )
    corners = np.array([[c for c in range(4) if c != local] for _, local in pairs], dtype=int).reshape(-1, 3)
    middles = [[4 + EDGES.index((own[a], own[b])) for a, b in SIDES] for own in corners.tolist()]
    six = np.concatenate([corners, np.array(middles, dtype=int).reshape(-1, 3)], axis=1)
    local = u_map[np.take_along_axis(nodes[pairs[:, 0]], six, axis=1)]
    places = np.take_along_axis(mesh.geometry.dofmap[pairs[:, 0]], corners, axis=1)
    own = Facets(
        np.asarray(mesh.geometry.input_global_indices)[places],
        mesh.geometry.x[places],
        index_map.local_to_global(local.ravel().astype(np.int32)).reshape(local.shape),
        is_held[local],
    )
    return Facets(*(np.concatenate(part) for part in zip(*domain.comm.allgather(own), strict=True)))


class Element(NamedTuple):
    """Matrices of facets or edges: degrees of freedom (e, n), whether they are held (e, n), entries (e, n, n)."""

    dofs: Array
    held: Array
    entries: Array


def _elements(facets: Facets, stiffness: float) -> Iterator[Element]:
    """What bends inside facets, kinks between two, and kinks against mirror images."""
    area, slopes = _slopes(facets.corners)
    hessian = _hessians(slopes)
    inside = stiffness * np.einsum("f,fiab,fjab->fij", area, hessian, hessian)
    for axis in range(3):
        yield Element(facets.dofs[:, :, axis], facets.held[:, :, axis], inside)

    # from here on by side, three to a facet
    ends = facets.vertices[:, SIDES]
    steepness = np.linalg.norm(slopes, axis=2)
    outwards = -slopes / steepness[:, :, None]
    height = 1 / steepness.ravel()
    length = 2 * np.repeat(area, 3) / height
    turn = np.stack([_turns(slopes, outwards, ends, place) for place in GAUSS], axis=2).reshape(-1, 2, 6)
    curvature = np.einsum("fka,fnab,fkb->fkn", outwards, hessian, outwards).reshape(-1, 6)
    dofs, held = (np.repeat(part, 3, axis=0) for part in (facets.dofs, facets.held))

    one, two, alone = _shared(ends.reshape(-1, 2))
    kink = np.concatenate([turn[one], turn[two]], axis=2)
    mean = np.concatenate([curvature[one], curvature[two]], axis=1) / 2
    penalty = PENALTY / np.minimum(height[one], height[two])
    between = stiffness * _edge_integrals(kink, mean, length[one], penalty)
    both_dofs, both_held = (np.concatenate([part[one], part[two]], axis=1) for part in (dofs, held))
    for axis in range(3):
        yield Element(both_dofs[:, :, axis], both_held[:, :, axis], between)

    # The kink against a mirror image is twice the turn out of the plane, and half of the edge belongs to this side.
    at_middle = held[alone, 3 + alone % 3]
    for normal in range(3):
        mirrored = alone[at_middle[:, normal] & (at_middle.sum(axis=1) == 1)]
        penalty = 2 * PENALTY / height[mirrored]
        against = stiffness * _edge_integrals(turn[mirrored], curvature[mirrored], length[mirrored], penalty)
        for axis in {0, 1, 2} - {normal}:
            yield Element(dofs[mirrored, :, axis], held[mirrored, :, axis], against)


def _shared(ends: Array) -> tuple[Array, Array, Array]:
    """Sides that are the same edge, one of each pair and the other, and sides at the sheet's end.

    Raises:
        ModelError: an edge has more than two facets.
    """
    _, edge, count = np.unique(np.sort(ends, axis=1), axis=0, return_inverse=True, return_counts=True)
    if (count > 2).any():
        raise ModelError("more than two facets of a sheet meet at an edge")
    order = np.argsort(edge.ravel(), kind="stable")
    first = np.cumsum(count) - count
    pairs = first[count == 2]
    return order[pairs], order[pairs + 1], order[first[count == 1]]


def _slopes(corners: Array) -> tuple[Array, Array]:
    """Areas (f,) and surface gradients of the corners' linear functions, (f, 3, 3)."""
    across = np.roll(corners, -2, axis=1) - np.roll(corners, -1, axis=1)  # the edge from the next to the last corner
    normal = np.cross(across[:, 0], across[:, 1])
    double = np.linalg.norm(normal, axis=1)
    slopes = np.cross(normal[:, None, :], across) / (double**2)[:, None, None]
    return double / 2, slopes


def _hessians(slopes: Array) -> Array:
    """Second surface gradients of the six P2 functions, constant in a facet, (f, 6, 3, 3)."""
    products = np.einsum("fia,fjb->fijab", slopes, slopes)
    corners = [4 * products[:, i, i] for i in range(3)]
    middles = [4 * (products[:, a, b] + products[:, b, a]) for a, b in SIDES]
    return np.stack(corners + middles, axis=1)


def _turns(slopes: Array, outwards: Array, ends: Array, place: float) -> Array:
    """Derivatives of the P2 functions out of a facet at a place along each edge, (f, 3, 6).

    Places count from the end with the smaller number, so that both facets of an edge mean the same one.
    """
    turns = []
    for side, (a, b) in enumerate(SIDES):
        share = np.zeros(slopes.shape[:2])
        forwards = ends[:, side, 0] < ends[:, side, 1]
        share[:, b] = np.where(forwards, place, 1 - place)
        share[:, a] = 1 - share[:, b]
        gradients = [(4 * share[:, i, None] - 1) * slopes[:, i] for i in range(3)]
        gradients += [4 * (share[:, i, None] * slopes[:, j] + share[:, j, None] * slopes[:, i]) for i, j in SIDES]
        turns.append(np.einsum("fna,fa->fn", np.stack(gradients, axis=1), outwards[:, side]))
    return np.stack(turns, axis=1)


def _edge_integrals(kink: Array, curvature: Array, length: Array, penalty: Array) -> Array:
    """Integrals of s/h J.J - m.J - J.m over edges, (e, n, n), of kinks (e, 2, n) at two places, curvatures (e, n)."""
    square = np.einsum("eqi,eqj->eij", kink, kink) / 2
    mixed = np.einsum("ei,eqj->eij", curvature, kink) / 2
    whole = penalty[:, None, None] * square - mixed - mixed.transpose(0, 2, 1)
    return np.asarray(length[:, None, None] * whole)

"""Quantities of interest of the present state of a patch model: one row of the series, one profile along the canal."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from mpi4py import MPI

from fem.arrays import Array
from fem.course import Course
from fem.forms import compile_form, integrate
from fem.parameters import MMHG
from fem.patch import PatchModel
from fem.poro import QUADRATURE_DEGREE, STRESS_PAIRS
from fem.quantities import BANDED_PRESSURE, LIMITED_LEVELS, LUMBAR, SACRAL, SPREAD_THRESHOLD, THRESHOLD_BAND
from fem.ranks import joined, largest, smallest
from fem.slabs import segment_coordinate, slab_levels, whole_sections
from geometry import Region as Part
from geometry import Subregion, leak_place

ML = 1e-6
"""Cubic metres in a millilitre."""

LUMBOSACRAL = ("L1", "L2", "L3", "L4", "L5", "S1", "S2")
"""Levels below T11/T12, with T12, over which Higuchi 2005 and Hogan 1996 measured CSF."""

WIDTH_BIN = 1e-3
"""Width of the bins in which the coverage of the ventral space is counted [m]."""


class _Nodes(NamedTuple):
    """Nodes of the displacement: degrees of freedom and places [m], (n, 3), and the slab that each counts in, (n,)."""

    dofs: Array
    points: Array
    slab: Array


class Observer:
    """Evaluates a :class:`~fem.patch.PatchModel`; forms and groupings are made once.

    Every integral is a sum over cells of this rank, one reduction over ranks, and the mirror image where only half of
    the body is modelled.
    """

    def __init__(self, model: PatchModel, course: Course) -> None:
        self.model, self.course, self.transport = model, course, course.transport
        self.comm: MPI.Comm = model.comm
        spine, domain, poro = model.spine, model.domain, model.poro
        mesh = domain.mesh
        owned = domain.owned_cells
        self._cells = domain.original_cell[:owned]
        self._region = spine.region[self._cells]
        self._subregion = spine.subregion[self._cells]
        self._slab = spine.slab[self._cells]
        self.slabs = len(spine.slab_edges) - 1
        self.height = np.diff(spine.slab_edges)
        self._segment = segment_coordinate(spine)
        ventral = (patch.leak for patch in model.patches if patch.leak.site == "ventral")
        places = (leak_place(spine, leak.interspace, leak.site, leak.side) for leak in ventral)
        self._ventral_leak = next((float(place.point[2]) for place in places), None)
        level = np.asarray(spine.levels)[spine.level[self._cells]]
        self._lumbosacral = np.isin(level, (*LUMBOSACRAL, "T12"))
        self._lumbosacral_exists = bool(self.comm.allreduce(int(self._lumbosacral.any()), op=MPI.MAX))
        cellwise = fem.functionspace(mesh, ("DG", 0))
        test = ufl.TestFunction(cellwise)
        self._cellwise = cellwise.dofmap.list[:owned].reshape(-1)
        u, p = poro.split(poro.state)
        metadata = {"quadrature_degree": QUADRATURE_DEGREE}
        dx = ufl.Measure("dx", domain=mesh, metadata=metadata)
        self._volume_form = compile_form(poro.setup.kinematics.volume_ratio(u) * test * dx)
        self._volume_function = fem.Function(cellwise)
        self._stored_form = compile_form(
            model.epidural.storage.content(p["e"] - poro.reference["e"]) * poro.dx(model.epidural)
        )
        self.reference_volume = self._cell_volumes(compile_form(fem.Constant(mesh, 1.0) * test * dx))
        stress = fem.functionspace(mesh, ("DG", 0, (len(STRESS_PAIRS),)))
        self._stress_dofs = (
            stress.dofmap.list[:owned].reshape(-1, 1) * len(STRESS_PAIRS) + np.arange(len(STRESS_PAIRS))
        ).astype(np.int64)
        virtual = ufl.TestFunction(stress)
        self._stress_function = fem.Function(stress)
        self._stress_form = compile_form(
            sum(
                ufl.inner(poro.kirchhoff_stress(region, u, p[region.pressure] + poro.head(region.pressure, u)), virtual)
                * poro.dx(region)
                for region in poro.regions
            )
        )
        self._p_mean = compile_form((p["s"] + poro.head("s", u)) * test * dx), compile_form(p["e"] * test * dx)
        space = self.transport.space
        self._corner_dofs = space.dofmap.list[:owned]
        self._content = fem.Function(space)
        self._cord_nodes = self._nodes(self._region == Part.CORD)
        self._sac_nodes = self._nodes(self._subregion == Subregion.THECAL)
        self._slab_level = slab_levels(spine)
        foraminal = np.unique(space.dofmap.list[np.flatnonzero(self._subregion == Subregion.FORAMINAL)].reshape(-1))
        self._foraminal = np.asarray(model.poro.dofs["e"])[foraminal]
        kept = poro.state.x.array.copy()
        poro.state.x.array[:] = model.baseline
        self._volume0 = self.cell_volumes()
        self._sac0, self._cord0, self._ap0 = self._sections(self._volume0)
        self._whole_sac, self._whole_cord = (
            whole_sections(model.spine.slab_edges, area) for area in (self._sac0, self._cord0)
        )
        self._width0 = self._sac_width()
        self._stored0 = self._stored()
        self._lumbar0 = self._lumbar()
        table = float(self._sum(self.reference_volume[self._in_sac()]))
        self.baseline_sac_ratio = float(self._sum(self._volume0[self._in_sac()])) / table
        poro.state.x.array[:] = kept

    # -- integrals ---------------------------------------------------------------------------------------------------

    def _sum(self, values: Array) -> Any:
        return self.model.copies * self.comm.allreduce(values.sum(), op=MPI.SUM)

    def _stored(self) -> float:
        return self.model.copies * integrate(self._stored_form, self.comm)

    def _cell_volumes(self, form: Any) -> Array:
        return _assembled(form, self._volume_function)[self._cellwise]

    def cell_volumes(self) -> Array:
        """Deformed volume of every owned cell [m^3]."""
        return self._cell_volumes(self._volume_form)

    def cauchy_stress(self) -> Array:
        """Mean total Cauchy stress of every owned cell [Pa], shape (cells, 6): xx, yy, zz, xy, yz, xz."""
        return _assembled(self._stress_form, self._stress_function)[self._stress_dofs] / self.cell_volumes()[:, None]

    def _by_slab(self, values: Array, chosen: Array) -> Array:
        local = np.bincount(self._slab[chosen], weights=values[chosen], minlength=self.slabs)
        return self.model.copies * self.comm.allreduce(local, op=MPI.SUM)

    def _in_sac(self) -> Array:
        return (self._subregion == Subregion.THECAL) | (self._subregion == Subregion.CORD)

    def _sections(self, volume: Array) -> tuple[Array, Array, Array]:
        """Sac area, cord area [m^2] and cord anteroposterior diameter [m] per slab; zero where there is none."""
        sac = self._by_slab(volume, self._in_sac()) / self.height
        cord = self._by_slab(volume, self._subregion == Subregion.CORD) / self.height
        return sac, cord, self._cord_depth()

    def _nodes(self, chosen: Array) -> _Nodes:
        """Nodes of some cells, once in every slab that one of those cells belongs to: between two slabs, in both."""
        space = self.model.poro.vector_space
        cells = np.flatnonzero(chosen)
        nodes = space.dofmap.list[cells]
        slabs = np.broadcast_to(self._slab[cells, None], nodes.shape)
        blocks, slab = np.unique(np.stack([nodes.ravel(), slabs.ravel()]), axis=1).astype(np.int64)
        dofs = np.asarray(self.model.poro.dofs["u"])[blocks[:, None] * 3 + np.arange(3)]
        return _Nodes(dofs, space.tabulate_dof_coordinates()[blocks], slab)

    def _cord_depth(self) -> Array:
        return self._extent(self._cord_nodes, 1)

    def _sac_width(self) -> Array:
        return self.model.copies * self._extent(self._sac_nodes, 0)

    def _extent(self, nodes: _Nodes, axis: int) -> Array:
        """Extent of displaced nodes along an axis, per slab [m]; zero where there are none."""
        y = nodes.points[:, axis] + self.model.poro.state.x.array[nodes.dofs[:, axis]]
        low: Array = np.full(self.slabs, np.inf)
        high: Array = np.full(self.slabs, -np.inf)
        np.minimum.at(low, nodes.slab, y)
        np.maximum.at(high, nodes.slab, y)
        low = smallest(self.comm, low)
        high = largest(self.comm, high)
        return np.where(np.isfinite(low), high - low, 0.0)

    # -- species -----------------------------------------------------------------------------------------------------

    def injected_content(self) -> Array:
        """Injected content per reference volume, mean of the vertices, of every owned cell [1]; zero in the sac."""
        return self._on_cells(self.course.injectate.contents.injected.sum(axis=0))

    def contents(self) -> dict[str, Array]:
        """Content per reference volume of every owned cell [1]: all that was injected, clot, and by material."""
        injectate = self.course.injectate
        injected = injectate.contents.injected
        named = {"injected_content": injected.sum(axis=0), "clot_content": injectate.contents.clot.sum(axis=0)}
        for material in dict.fromkeys(species.material for species in injectate.species):
            rows = [
                row for row, species in zip(injected, injectate.species, strict=True) if species.material == material
            ]
            named[f"injected_content_{material}"] = np.sum(rows, axis=0)
        return {name: self._on_cells(content) for name, content in named.items()}

    def _on_cells(self, content: Array) -> Array:
        """Mean over the vertices of each owned cell of a content [m^3] per reference volume."""
        self._content.x.array[:] = 0.0
        self.transport.to_function(content / self.transport.volume, self._content)
        values = self._content.x.array[self._corner_dofs].mean(axis=1)
        return np.where(self._region == Part.EPIDURAL, values, 0.0)  # cells of the sac share vertices with the dura

    # -- what is reported --------------------------------------------------------------------------------------------

    def evaluate(self, tip: Any, cumulative: dict[str, float]) -> tuple[dict[str, float], list[dict[str, float]]]:
        """Quantities of the present state and their profile along the canal.

        Args:
            tip: the latest injection's :class:`~fem.patch.Site`, None before the first.
            cumulative: volumes so far [m^3]: those of the course, ``cranial`` and ``caudal``.
        """
        model = self.model
        volume = self.cell_volumes()
        change = volume - self._volume0
        epidural = self._region == Part.EPIDURAL
        sac = self._region == Part.SUBARACHNOID
        swelling = float(self._sum(change[epidural]))
        venous = self._stored() - self._stored0
        injected = cumulative["injected"]
        gained = injected + cumulative["leaked"] - cumulative["entered"]
        balance = gained - swelling - venous - cumulative["foramina"] - cumulative["ends"] - cumulative["resorbed"]
        reference = injected if injected > 0 else cumulative["leaked"]
        row = {
            "injected_mL": injected / ML,
            "epidural_swelling_mL": swelling / ML,
            "venous_displaced_mL": venous / ML,
            "foraminal_outflow_mL": cumulative["foramina"] / ML,
            "end_outflow_mL": cumulative["ends"] / ML,
            "resorbed_mL": cumulative["resorbed"] / ML,
            "leaked_csf_mL": cumulative["leaked"] / ML,
            "injectate_intrathecal_mL": cumulative["entered"] / ML,
            "clot_volume_mL": model.copies * float(self.course.injectate.contents.clot.sum()) / ML,
            "lysed_mL": cumulative["lysed"] / ML,
            "volume_balance_error": balance / reference if reference > 0 else 0.0,
            "csf_displaced_mL": -float(self._sum(change[sac])) / ML,
            "csf_displaced_lumbosacral_mL": -float(self._sum(change[sac & self._lumbosacral])) / ML
            if self._lumbosacral_exists
            else float("nan"),
            "csf_to_cranial_mL": cumulative["cranial"] / ML,
            "csf_to_caudal_mL": cumulative["caudal"] / ML,
            "cord_uptake_mL": float(self._sum(change[self._region == Part.CORD])) / ML,
        }
        row |= self._pressures(tip, volume)
        sections = self._sections(volume)
        row |= self._shape(sections)
        content = self.injected_content()
        inside = epidural & (self._subregion != Subregion.FORAMINAL)
        filled = self._by_slab(content * self.reference_volume, inside) / self.height / model.spine.canal_area
        row["canal_injected_max"] = float(filled.max())
        occupancy = {}
        for suffix, threshold in {"": SPREAD_THRESHOLD, **THRESHOLD_BAND}.items():
            occupancy[suffix] = self._by_slab(volume, inside & (content >= threshold)) / self.height
            occupancy[suffix] /= model.spine.canal_area
            found = {
                "canal_occupancy_max": float(occupancy[suffix].max()),
                **self._spread(tip, occupancy[suffix], content >= threshold),
                **self.course.coverage(threshold),
            }
            row |= {f"{name}{suffix}": value for name, value in found.items()}
        row |= self.course.leaking()
        return row, self._profile(volume, sections, occupancy, filled)

    def _pressures(self, tip: Any, volume: Array) -> dict[str, float]:
        model, transport = self.model, self.transport
        base_e, base_s = model.baseline_pressure["e"], model.baseline_pressure["s"]
        p = transport.pressure()
        share = self.course.injectate.injected()

        def mean(threshold: float) -> float:
            wet = share >= threshold
            return float(np.average(p[wet], weights=transport.volume[wet])) if wet.any() else float("nan")

        needle = float(tip.weights @ p) if tip is not None else base_e
        local = model.poro.state.x.array[self._foraminal]
        root = self.comm.allreduce(float(local.max()) if len(local) else -np.inf, op=MPI.MAX)
        lumbar = self._lumbar()
        csf = model.newton.pressure["cranial"]
        values = {
            "csf_pressure": (csf, base_s),
            "csf_pressure_lumbar": (lumbar, self._lumbar0),
            BANDED_PRESSURE: (mean(SPREAD_THRESHOLD), base_e),
            "epidural_pressure_needle": (needle, base_e),
            "root_pressure_max": (root if np.isfinite(root) else float("nan"), base_e),
            **{f"{BANDED_PRESSURE}{suffix}": (mean(limit), base_e) for suffix, limit in THRESHOLD_BAND.items()},
        }
        row = {f"{name}_mmHg": value / MMHG for name, (value, _) in values.items()}
        return row | {f"{name}_rise_mmHg": (value - base) / MMHG for name, (value, base) in values.items()}

    def _lumbar(self) -> float:
        """Mean CSF pressure below T11/T12, of the whole window where that is not in it [Pa]."""
        sac = self._region == Part.SUBARACHNOID
        where = sac & self._lumbosacral if self._lumbosacral_exists else sac
        pressure = self._cell_volumes(self._p_mean[0])
        return float(self._sum(pressure[where]) / self._sum(self.reference_volume[where]))

    def _shape(self, sections: tuple[Array, Array, Array]) -> dict[str, float]:
        sac, cord, depth = sections
        has_sac, has_cord = self._whole_sac, self._whole_cord
        array, base = self.model.poro.state.x.array, self.model.baseline
        cord_dofs = self._cord_nodes.dofs
        moved = np.linalg.norm(array[cord_dofs] - base[cord_dofs], axis=1)
        largest = self.comm.allreduce(float(moved.max()) if len(moved) else 0.0, op=MPI.MAX)
        nothing = float("nan")
        width = self._sac_width()
        above = has_sac & ~np.isin(self._slab_level, SACRAL)
        level = {
            name: float(sac[chosen].min()) * 1e6 if chosen.any() else nothing
            for name, chosen in (
                ("lumbar_min", has_sac & np.isin(self._slab_level, LUMBAR)),
                *((name, has_sac & (self._slab_level == name)) for name in LIMITED_LEVELS),
            )
        }
        return {f"sac_area_{name}_mm2": value for name, value in level.items()} | {
            "sac_width_min_ratio": float((width[has_cord] / self._width0[has_cord]).min())
            if has_cord.any()
            else nothing,
            "sac_area_min_mm2": float(sac[above].min()) * 1e6 if above.any() else nothing,
            "sac_area_min_ratio": float((sac[has_sac] / self._sac0[has_sac]).min()),
            "cord_displacement_max_mm": largest * 1e3,
            "cord_area_min_ratio": float((cord[has_cord] / self._cord0[has_cord]).min()) if has_cord.any() else nothing,
            "cord_ap_min_ratio": float((depth[has_cord] / self._ap0[has_cord]).min()) if has_cord.any() else nothing,
        }

    def _spread(self, tip: Any, occupancy: Array, covered: Array) -> dict[str, float]:
        spine = self.model.spine
        wet = np.flatnonzero(occupancy > 0)
        if tip is None or len(wet) == 0:
            return {
                "spread_cranial_segments": 0.0,
                "spread_caudal_segments": 0.0,
                "spread_ventral_fraction": 0.0,
            }
        edges = spine.slab_edges
        top = self._segment(float(edges[wet.max() + 1]))
        bottom = self._segment(float(edges[wet.min()]))
        here = self._segment(float(tip.point[2]))
        looked_at = float(tip.point[2]) if self._ventral_leak is None else self._ventral_leak
        slab = int(np.clip(np.searchsorted(edges, looked_at) - 1, 0, self.slabs - 1))
        ventral = (self._subregion == Subregion.VENTRAL) & (np.abs(self._slab - slab) <= 1)
        corners = spine.points[spine.cells[self._cells]][:, :, 0]
        bins = np.floor(corners.mean(axis=1) / WIDTH_BIN).astype(int)
        every = joined(self.comm, bins[ventral])
        reached = joined(self.comm, bins[ventral & covered])
        return {
            "spread_cranial_segments": max(here - top, 0.0),
            "spread_caudal_segments": max(bottom - here, 0.0),
            "spread_ventral_fraction": len(reached) / len(every) if every else float("nan"),
        }

    def _profile(
        self, volume: Array, sections: tuple[Array, ...], occupancy: dict[str, Array], filled: Array
    ) -> list[dict[str, float]]:
        spine = self.model.spine
        sac, cord, depth = sections
        epidural = self._region == Part.EPIDURAL
        thecal = self._subregion == Subregion.THECAL
        mean = []
        for form, chosen in zip(self._p_mean, (thecal, epidural), strict=True):
            weight = self._by_slab(self.reference_volume, chosen)
            total = self._by_slab(self._cell_volumes(form), chosen)
            mean.append(np.divide(total, weight, out=np.full(self.slabs, np.nan), where=weight > 0) / MMHG)
        middle = (spine.slab_edges[1:] + spine.slab_edges[:-1]) / 2
        return [
            {
                "z_mm": float(middle[k]) * 1e3,
                "segment": float(self._segment(float(middle[k]))),
                "sac_area_mm2": float(sac[k]) * 1e6,
                "sac_area_baseline_mm2": float(self._sac0[k]) * 1e6,
                "cord_area_mm2": float(cord[k]) * 1e6,
                "cord_area_baseline_mm2": float(self._cord0[k]) * 1e6,
                "cord_ap_mm": float(depth[k]) * 1e3,
                **{f"canal_occupancy{suffix}": float(share[k]) for suffix, share in occupancy.items()},
                "canal_injected": float(filled[k]),
                "patch_area_mm2": float(occupancy[""][k] * spine.canal_area[k]) * 1e6,
                "csf_pressure_mmHg": float(mean[0][k]),
                "epidural_pressure_mmHg": float(mean[1][k]),
            }
            for k in range(self.slabs)
        ]


def _assembled(form: Any, function: Any) -> Array:
    """Values of a compiled linear form, ghosts included, in the place of those of a function."""
    vector = function.x.petsc_vec
    with vector.localForm() as local:
        local.set(0.0)
    fem_petsc.assemble_vector(vector, form)
    return np.array(function.x.array)

"""The one place where cases meet the model: mesh, parameters, simulation."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geometry import Anatomy, MeshSize, Source, SpineMesh, cached_mesh, resolved
from studies.case import Case
from studies.errors import InputError, shown
from studies.inputs import build_anatomy, patch_parameters
from studies.ladder import cause_of
from studies.modelversion import model_version
from studies.posable import check_posable
from studies.quantities import LENGTH
from studies.reading import case_hash
from studies.runfolder import RunFolder
from studies.values import MESH_SIZES

if TYPE_CHECKING:
    from mpi4py import MPI

Folders = Callable[[Case, SpineMesh, float], RunFolder]
"""Makes the run folder of a case once its model stands; the last argument is when the work began, `time.monotonic`."""


def run_key(case: Case) -> str:
    """Content key of a run: the resolved case, the version of the model, and the content of a mesh file."""
    return case_hash(case, model_version(), _file_hash(case.anatomy.mesh) if case.anatomy.mesh else "")


def _file_hash(path: str) -> str:
    try:
        if not Path(path).is_file() and Path(path).exists():
            raise InputError("anatomy.mesh", shown(path, 200), "allowed is a mesh file, not a folder or a device")
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError("anatomy.mesh", shown(path, 200), f"allowed is a mesh file ({error.strerror})") from error


def mesh_identity(case: Case) -> str:
    """What two resolved cases have in common if they have the same mesh; no mesh is made."""
    if case.anatomy.mesh is not None:
        return _file_hash(case.anatomy.mesh)
    places = sorted({(step.level, step.approach, step.side or "", step.offset) for step in case.injection})
    return repr((case.anatomy, case.mesh, places, case.solver.source_radius))


def mesh_of(case: Case) -> SpineMesh:
    """The mesh of a resolved case.

    Raises:
        geometry.AnatomyError: the anatomy is impossible.
        geometry.MeshError: the mesh cannot be read, or is not good enough.
    """
    if case.anatomy.mesh is not None:
        from geometry import read_mesh

        mesh = read_mesh(case.anatomy.mesh)
        sources = _sources(case, mesh)
        return replace(resolved(mesh, sources), tips=tuple(source.tip for source in sources))
    assert case.anatomy.span is not None
    anatomy = build_anatomy(case)
    size = (
        MeshSize.named(case.mesh.size)
        if case.mesh.size in MESH_SIZES
        else MeshSize.from_length(LENGTH.parse(case.mesh.size))
    )
    leaks = sorted({anatomy.interspace_z(leak.level) for leak in case.leak})
    return cached_mesh(anatomy, case.anatomy.span, size, leaks, _sources(case, anatomy))


def _sources(case: Case, body: Anatomy | SpineMesh) -> list[Source]:
    """Where the injections of a resolved case enter."""
    radius = case.solver.source_radius
    places = sorted({(step.level, step.approach, step.side or "midline", step.offset) for step in case.injection})
    return [Source(body.needle_tip(*place), radius) for place in places]


def simulate_group(comm: MPI.Comm, cases: Sequence[Case], folders: Folders) -> list[RunFolder]:
    """Simulate cases that differ in the volume of their last injection only, along one path.

    Args:
        comm: communicator of all ranks.
        cases: the largest volume first.
        folders: called for each case once the model stands.

    Returns:
        The run folders, each with its status.

    Raises:
        InputError, geometry.AnatomyError, geometry.MeshError, fem.errors.ModelError: the cases cannot be posed; no
            folder was made.
    """
    from fem.errors import SolverError
    from fem.paths import simulate, simulate_volumes
    from fem.simulation import build_model

    begin = time.monotonic()
    check_posable(cases[0])
    mesh = mesh_of(cases[0])
    parameters = patch_parameters(cases[0])
    try:
        # Folders come after the model: a case that cannot be posed leaves none.
        model = build_model(comm, mesh, parameters)
    except SolverError as error:
        sinks = [folders(case, mesh, begin) for case in cases]
        for sink in sinks:
            sink.failed(error)
        return sinks
    sinks = [folders(case, mesh, begin) for case in cases]
    try:
        if len(cases) == 1:
            simulate(model, parameters, sinks[0])
        else:
            volumes = {case.injection[-1].volume: sink for case, sink in zip(cases, sinks, strict=True)}
            simulate_volumes(model, parameters, volumes)
    except SolverError as error:
        for sink in sinks:
            sink.failed(error)
    except KeyboardInterrupt:
        for sink in sinks:
            sink.end("interrupted", "stopped by the user")
        raise
    except Exception as error:
        for sink in sinks:
            sink.end("failed", f"{type(error).__name__}: {error}", cause_of(error))
        raise
    for sink in sinks:
        sink.end("failed", "the simulation ended without a result", "fault")
    return sinks

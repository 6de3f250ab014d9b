"""The mesh of a case as a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studies.console import complain, say
from studies.errors import InputError
from studies.ladder import is_invalid
from studies.meshnote import PLACES, say_mesh
from studies.posable import check_posable
from studies.provenance import mesh_note
from studies.reading import read_case
from studies.resolve import resolve
from studies.solver import mesh_of
from studies.worker import DONE


def write_case_mesh(case_file: Path, out: Path, settings: Sequence[str]) -> int:
    """Write the mesh of a case file.

    Raises:
        InputError: the case, its anatomy or the format cannot be used.
    """
    from geometry import MeshError, check_format, read_mesh, write_mesh

    case = resolve(read_case(case_file, settings))
    if not out.suffix:
        raise InputError(
            "--out",
            f'"{out}"',
            "allowed is a file name with a suffix that meshio knows, such as spine.vtu or spine.msh",
        )
    if out.is_dir():
        raise InputError("--out", f'"{out}", a folder', "allowed is a file")
    check_posable(case)
    try:
        check_format(out)
        mesh = mesh_of(case)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_mesh(mesh, out)
        said = say_mesh(out, mesh_note(case))
    except Exception as error:
        if not is_invalid(error):
            raise
        raise InputError("mesh", "", str(error)) from error
    say(f"{out}: {len(mesh.cells)} tetrahedra, {len(mesh.points)} points, in millimetres; mesh {mesh_note(case)}")
    if not said:
        complain(f"{out}: has no place for the error of the mesh; {', '.join(PLACES)} keep it")
    try:
        read_mesh(out)
    except MeshError as error:
        complain(f"{out}: cannot serve as anatomy.mesh ({error}); .msh and .vtu keep everything")
    return DONE

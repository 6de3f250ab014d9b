"""The mesh and its stated error, said in each file: what is copied out of its folder still tells them.

The note is that of `studies.provenance.mesh_note`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr

MESH: Final = "mesh"
"""Name in the summary and the series, column of every table; in other files the line begins with it."""

VTK_TITLE: Final = 255
"""Characters that the second line of a legacy VTK file may have."""


def mesh_line(note: str) -> str:
    """The note as a line of its own."""
    return f"{MESH}: {note}"


def xml_comment(note: str) -> str:
    """The note as a comment of an XML file."""
    return f"<!-- {escape(mesh_line(note)).replace('--', '- -')} -->"


def say_mesh(path: Path, note: str) -> bool:
    """Put the note into a file of fields or of a mesh that was just written.

    Returns:
        Whether its format has a place for it.
    """
    put = PLACES.get(path.suffix)
    if put is None:
        return False
    before = path.read_bytes()
    after = put(before, note)
    if after != before:
        path.write_bytes(after)
    return True


def _in_vtu(content: bytes, note: str) -> bytes:
    # The line is the name of an array and not its value: meshio refuses a file with an array of strings.
    array = f'<DataArray type="Int8" Name={quoteattr(mesh_line(note))} NumberOfTuples="1" format="ascii">1</DataArray>'
    grid = b"<UnstructuredGrid>"
    return content.replace(grid, grid + f"\n<FieldData>{array}</FieldData>\n".encode(), 1)


def _in_msh(content: bytes, note: str) -> bytes:
    return content + f"$Comments\n{mesh_line(note)}\n$EndComments\n".encode()


def _in_vtk(content: bytes, note: str) -> bytes:
    version, _, rest = content.split(b"\n", 2)
    return b"\n".join([version, mesh_line(note)[:VTK_TITLE].encode(), rest])


def _in_xdmf(content: bytes, note: str) -> bytes:
    return content + f"\n{xml_comment(note)}\n".encode()


def _in_abaqus(content: bytes, note: str) -> bytes:
    return f"** {mesh_line(note)}\n".encode() + content


PLACES: Final[Mapping[str, Callable[[bytes, str], bytes]]] = {
    ".vtu": _in_vtu,
    ".msh": _in_msh,
    ".vtk": _in_vtk,
    ".xdmf": _in_xdmf,
    ".inp": _in_abaqus,
}
"""What puts the note into the content of a file, by suffix."""

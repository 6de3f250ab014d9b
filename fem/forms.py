"""Small tools shared by everything that builds or assembles forms."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import platform
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from mpi4py import MPI
from petsc4py import PETSc

from geometry.cache import cache_folder

_REORDER = ("-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros", "-freciprocal-math")
"""Sums may be taken in another order; unlike with -ffast-math, what is not a number stays so: laws say so by it."""

JIT_OPTIONS: dict[str, Any] = {"cffi_extra_compile_args": ["-O3", "-march=native", *_REORDER], "timeout": 600}
"""Options of the form compiler: vectorised kernels halve the time of assembly, reordered ones take a sixth off it."""
CPUINFO = Path("/proc/cpuinfo")
_INSTRUCTIONS = ("flags", "Features", "features", "isa", "cpu")
"""Entries of it that say what a processor can do, by architecture."""


def with_constants[Law](domain: Any, law: Law) -> Law:
    """Return the law with its numbers replaced by dolfinx constants, nested laws included.

    The signature of a form then does not depend on values, so that a sweep compiles it once.
    """
    if isinstance(law, float):
        return fem.Constant(domain, law)
    if isinstance(law, tuple):
        return tuple(with_constants(domain, part) for part in law)  # type: ignore[return-value]
    if is_dataclass(law) and not isinstance(law, type):
        parts = {entry.name: getattr(law, entry.name) for entry in fields(law)}
        return replace(law, **{name: with_constants(domain, part) for name, part in parts.items()})
    return law


def compile_form(expression: Any) -> Any:
    """Compile a UFL form with the project's options, or take it from the cache; collective."""
    folder = forms_folder() / hashlib.sha256(expression.signature().encode()).hexdigest()[:16]
    with _only_compiler(folder) if _compiles(expression) else contextlib.nullcontext():
        return fem.form(expression, jit_options={**JIT_OPTIONS, "cache_dir": str(folder)})


def forms_folder() -> Path:
    """Folder of the compiled forms of this kind of processor, each in one of its own.

    Machines of other kinds may share the cache.
    """
    return cache_folder("forms") / processor()


@cache
def processor() -> str:
    """Mark of what this machine's processor can do, which decides what the compiler makes of `-march=native`."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        lines = []  # not Linux: caches shared between its machines are rare, and the architecture has to do
    entries = {name.strip(): value for name, _, value in (line.partition(":") for line in lines)}
    able = [" ".join(sorted(entries.get(name, "").split())) for name in _INSTRUCTIONS]
    return hashlib.sha256("\n".join([platform.machine(), *able]).encode()).hexdigest()[:12]


def _compiles(expression: Any) -> bool:
    """Whether this rank compiles for the others: the first one of the mesh does."""
    return bool(expression.ufl_domain().ufl_cargo().comm.rank == 0)


@contextlib.contextmanager
def _only_compiler(folder: Path) -> Iterator[None]:
    """Let one process at a time compile into the folder of a form, and clear what one that was killed left there.

    FFCx marks a form as taken by its C file and as ready by a second file. Whoever finds the first without the second
    waits, in vain where the compiling process is gone.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / ".lock").open("w")
    except OSError:
        yield  # a cache that cannot be written holds everything, or FFCx says what is missing
        return
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for taken in folder.glob("*.c"):
            if not taken.with_suffix(".c.cached").exists():
                taken.unlink(missing_ok=True)
        yield


def assemble_into(vector: Any, form: Any) -> None:
    """Assemble a compiled linear form into a PETSc vector, owned values complete on every rank."""
    with vector.localForm() as local:
        local.set(0.0)
    fem_petsc.assemble_vector(vector, form)
    vector.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)


def integrate(form: Any, comm: MPI.Comm) -> float:
    """Assemble a compiled scalar form and sum it over ranks.

    What is wanted by cell, slab or vertex is assembled as a vector instead and summed where it is needed
    (:class:`~fem.observe.Observer`, :class:`~fem.species.SpeciesTransport`).
    """
    return float(np.real(comm.allreduce(fem.assemble_scalar(form), op=MPI.SUM)))

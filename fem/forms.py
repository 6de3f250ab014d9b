"""Small tools shared by everything that builds or assembles forms."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from dolfinx import fem
from mpi4py import MPI

JIT_OPTIONS: dict[str, Any] = {"cffi_extra_compile_args": ["-O3", "-march=native"], "timeout": 600}
"""Options of the form compiler: vectorised kernels halve the time of assembly."""


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
    """Compile a UFL form with the project's options."""
    return fem.form(expression, jit_options=JIT_OPTIONS)


def integrate(form: Any, comm: MPI.Comm) -> float:
    """Assemble a compiled scalar form and sum it over ranks: the only way in which this project integrates."""
    return float(np.real(comm.allreduce(fem.assemble_scalar(form), op=MPI.SUM)))

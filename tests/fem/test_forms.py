"""Compiled forms survive a process that is killed while it compiles."""

import pytest
import ufl
from dolfinx import fem, mesh
from mpi4py import MPI

from fem import forms
from geometry.cache import cache_folder


@pytest.fixture
def volume(tmp_path, monkeypatch):
    """A form, and a cache of its own that nobody waits for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(forms.JIT_OPTIONS, "timeout", 1)
    square = mesh.create_unit_square(MPI.COMM_SELF, 2, 2)
    return fem.Constant(square, 3.0) * ufl.dx(domain=square)


def test_what_a_killed_compiler_left_is_compiled_again(volume):
    compiled = [forms.compile_form(volume)]
    (ready,) = cache_folder("forms").glob("*.c.cached")
    ready.unlink()  # killed before it was done
    compiled.append(forms.compile_form(volume))
    assert ready.exists()
    assert [forms.integrate(form, MPI.COMM_SELF) for form in compiled] == pytest.approx([3.0, 3.0])


def test_a_cache_that_cannot_be_written_is_read(volume, monkeypatch):
    forms.compile_form(volume)
    lock = cache_folder("forms") / ".lock"
    lock.unlink()
    lock.mkdir()
    assert forms.integrate(forms.compile_form(volume), MPI.COMM_SELF) == pytest.approx(3.0)

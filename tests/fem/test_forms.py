"""Compiled forms survive a process that is killed while it compiles, and are kept apart by kind of processor."""

import fcntl
import signal

import pytest
import ufl
from dolfinx import fem, mesh
from mpi4py import MPI

from fem import forms


@pytest.fixture
def volume(tmp_path, monkeypatch):
    """A form, and a cache of its own that nobody waits for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(forms.JIT_OPTIONS, "timeout", 1)
    square = mesh.create_unit_square(MPI.COMM_SELF, 2, 2)
    return fem.Constant(square, 3.0) * ufl.dx(domain=square)


def test_what_a_killed_compiler_left_is_compiled_again(volume):
    compiled = [forms.compile_form(volume)]
    (ready,) = forms.forms_folder().glob("*/*.c.cached")
    ready.unlink()  # killed before it was done
    compiled.append(forms.compile_form(volume))
    assert ready.exists()
    assert [forms.integrate(form, MPI.COMM_SELF) for form in compiled] == pytest.approx([3.0, 3.0])


def test_a_form_is_compiled_while_another_one_is(volume):
    forms.compile_form(volume)
    (lock,) = forms.forms_folder().glob("*/.lock")
    signal.alarm(60)  # ends the tests if it waits
    try:
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            doubled = forms.compile_form(2 * volume)
    finally:
        signal.alarm(0)
    assert forms.integrate(doubled, MPI.COMM_SELF) == pytest.approx(6.0)


def test_a_cache_that_cannot_be_written_is_read(volume, monkeypatch):
    forms.compile_form(volume)
    (lock,) = forms.forms_folder().glob("*/.lock")
    lock.unlink()
    lock.mkdir()
    assert forms.integrate(forms.compile_form(volume), MPI.COMM_SELF) == pytest.approx(3.0)


CPUS = {
    "x86": "processor\t: 0\nmodel name\t: A\nflags\t\t: fpu avx2 fma\ncpu MHz\t\t: {mhz}\n",
    "x86 with more": "processor\t: 0\nmodel name\t: A\nflags\t\t: fpu avx2 fma avx512f\ncpu MHz\t\t: {mhz}\n",
    "ARM": "processor\t: 0\nFeatures\t: fp asimd\nBogoMIPS\t: {mhz}\n",
    "ARM with more": "processor\t: 0\nFeatures\t: fp asimd sve\nBogoMIPS\t: {mhz}\n",
    "POWER": "processor\t: 0\ncpu\t\t: POWER9\nclock\t\t: {mhz}MHz\n",
    "unknown": None,
}


def mark(monkeypatch, cpuinfo, text):
    if text is not None:
        cpuinfo.write_text(text)
    monkeypatch.setattr(forms, "CPUINFO", cpuinfo)
    forms.processor.cache_clear()
    return forms.forms_folder()


@pytest.fixture
def this_processor():
    """Forget the processors of a test."""
    yield
    forms.processor.cache_clear()


def test_processors_that_cannot_do_the_same_share_no_form(volume, tmp_path, monkeypatch, this_processor):
    folders = {name: mark(monkeypatch, tmp_path / name, text and text.format(mhz=2000)) for name, text in CPUS.items()}
    assert len(set(folders.values())) == len(CPUS)
    # What varies between machines of a kind, or from one moment to the next, is none of it.
    again = {name: mark(monkeypatch, tmp_path / name, text and text.format(mhz=3000)) for name, text in CPUS.items()}
    assert again == folders
    # A form that another kind compiled is not taken.
    compiled = {}
    for name in ("x86", "x86 with more"):
        mark(monkeypatch, tmp_path / name, None)
        forms.compile_form(volume)
        compiled[name] = sorted(path.name for path in folders[name].glob("*/*.so"))
    assert compiled["x86"] == compiled["x86 with more"] and len(compiled["x86"]) == 1


def test_the_processor_of_this_machine_is_told_by_what_it_can_do():
    if not forms.CPUINFO.is_file():
        pytest.skip("no /proc/cpuinfo")
    known = forms.CPUINFO.read_text()
    assert any(f"\n{name}" in f"\n{known}" for name in forms._INSTRUCTIONS)

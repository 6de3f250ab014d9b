"""What a run says of the code that it was made with."""

import os
import shutil
import subprocess

import pytest

from studies import provenance

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of one committed file, and how git is called there."""

    def git(*arguments):
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        called = subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return called.stdout.strip()

    (tmp_path / "law.py").write_text("modulus = 1.0\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "A law")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "studies" / "provenance.py"))
    provenance.commit.cache_clear()
    yield tmp_path, git
    provenance.commit.cache_clear()


def test_the_commit_is_told_and_whether_it_was_changed(checkout):
    folder, git = checkout
    assert provenance.commit() == {"commit": git("rev-parse", "HEAD"), "changed_since": False}
    (folder / "law.py").write_text("modulus = 2.0\n")
    provenance.commit.cache_clear()
    assert provenance.commit()["changed_since"] is True


def test_a_run_writes_nothing_into_the_checkout_that_its_end_could_leave_locked(checkout):
    folder, _ = checkout
    os.utime(folder / "law.py", (1.0, 1.0))  # git would note in its index that the file is as it was
    index = (folder / ".git" / "index").read_bytes()
    assert provenance.commit()["changed_since"] is False
    assert (folder / ".git" / "index").read_bytes() == index

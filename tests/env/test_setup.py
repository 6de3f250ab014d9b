"""A set-up is complete or it is made again: failures, interruptions and two at once."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable

import pytest

from .conftest import Sandbox


def wait_for(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Wait until CONDITION() holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.02)


def test_the_second_call_makes_nothing_and_says_nothing(sandbox: Sandbox) -> None:
    sandbox.python_with("0.9.0")
    first = sandbox.run("python")
    assert "making the Python packages, once" in first.stderr
    assert len(first.stderr.splitlines()) == 2
    sandbox.stub("python3", "echo asked again >&2; exit 1")
    start = time.monotonic()
    second = sandbox.run("python")
    assert (second.returncode, second.stdout, second.stderr) == (0, "stub python\n", "")
    assert time.monotonic() - start < 1.0  # alone it takes 0.1 s
    assert len(sandbox.called()) == 1


def test_a_changed_requirement_is_another_environment(sandbox: Sandbox) -> None:
    sandbox.python_with("0.9.0")
    sandbox.run("true")
    with (sandbox.checkout / "env" / "requirements.txt").open("a") as file:
        file.write("tqdm>=4\n")
    assert "making the Python packages" in sandbox.run("true").stderr
    assert len(sandbox.called()) == 2


def test_a_failed_set_up_shows_its_end_and_is_made_again(sandbox: Sandbox) -> None:
    sandbox.python_with("0.9.0")
    # something fails half-way, after files were written: nothing of it may be taken for complete
    sandbox.builder("venv", 'touch "$1/half"; echo disk quota exceeded; false')
    failed = sandbox.run("python")
    assert failed.returncode == 2
    assert "    disk quota exceeded" in failed.stderr
    assert failed.stdout == ""
    (entry,) = (path for path in sandbox.cache.glob("venv-*") if path.is_dir())
    assert not (entry / ".complete").exists()
    sandbox.builder("venv")
    again = sandbox.run("python")
    assert (again.returncode, again.stdout) == (0, "stub python\n")


def interrupted(sandbox: Sandbox, number: signal.Signals) -> int:
    sandbox.python_with("0.9.0")
    marker = sandbox.folder / "go on"
    sandbox.builder("venv", f'touch "$1/half"; [ -e "{marker}" ] || sleep 60')
    process = sandbox.start("python")
    wait_for(lambda: list(sandbox.cache.glob("venv-*/half")), "a set-up under way")
    process.send_signal(number)
    process.wait(10)
    marker.touch()
    return process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_set_up_is_noticed_and_redone(sandbox: Sandbox, number: signal.Signals) -> None:
    assert interrupted(sandbox, number) == 130
    assert not list(sandbox.cache.glob("*/.complete"))
    again = sandbox.run("python")
    assert "an earlier set-up of the Python packages did not finish; starting" in again.stderr
    assert (again.returncode, again.stdout) == (0, "stub python\n")
    assert len(sandbox.called()) == 2


def test_the_orphan_of_a_killed_set_up_is_waited_for(sandbox: Sandbox) -> None:
    sandbox.python_with("0.9.0")
    gate = sandbox.folder / "gate"
    sandbox.builder("venv", f'touch "$1/half"; while [ ! -e "{gate}" ]; do sleep 0.05; done')
    killed = sandbox.start("python")
    wait_for(lambda: list(sandbox.cache.glob("venv-*/half")), "a set-up under way")
    killed.kill()
    killed.wait(10)
    second = sandbox.start("python")
    time.sleep(0.5)
    assert second.poll() is None  # it does not touch what the orphan still writes to
    gate.touch()
    out, err = second.communicate(timeout=10)
    assert (second.returncode, out) == (0, "stub python\n")
    assert "another process is making the Python packages; waiting for it" in err
    assert len(sandbox.called()) == 1


def test_two_at_once_make_one(sandbox: Sandbox) -> None:
    sandbox.python_with("0.9.0")
    sandbox.builder("venv", "sleep 0.6")
    both = [sandbox.start("python") for _ in range(2)]
    results = [process.communicate(timeout=20) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [out for out, _ in results] == ["stub python\n"] * 2
    said = "".join(err for _, err in results)
    assert said.count("making the Python packages, once") == 1
    assert said.count("waiting for it") == 1
    assert len(sandbox.called()) == 1


def test_an_environment_that_was_removed_is_made_again(sandbox: Sandbox) -> None:
    sandbox.python_with("0.9.0")
    sandbox.run("true")
    for path in sandbox.cache.glob("venv-*"):
        if path.is_dir():
            shutil.rmtree(path)
    assert sandbox.run("python").stdout == "stub python\n"
    assert len(sandbox.called()) == 2


def test_a_full_disk_is_named_before_anything_is_made(sandbox: Sandbox) -> None:
    sandbox.python_with("0.9.0")
    result = sandbox.run("true", BLOODPATCH_ENV_NEEDS_MB="999999999")
    assert result.returncode == 2
    assert "less than 999999999 MB are free" in result.stderr
    assert sandbox.called() == []


def test_status_and_signals_belong_to_the_command(sandbox: Sandbox) -> None:
    sandbox.python_with("0.9.0")
    assert sandbox.run("bash", "-c", "exit 7").returncode == 7
    assert sandbox.run("no-such-command").returncode == 127
    ready = sandbox.folder / "ready"
    process = sandbox.start(
        "bash",
        "-c",
        f"trap 'echo saved; exit 130' INT; touch '{ready}'; while :; do sleep 0.05; done",
    )
    wait_for(ready.exists, "the command")
    process.send_signal(signal.SIGINT)  # to env/run alone, as subprocess and batch systems do
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "saved\n")


def test_without_a_command_it_says_how_it_is_called(sandbox: Sandbox) -> None:
    result = sandbox.run()
    assert (result.returncode, result.stderr) == (2, "bloodpatch: usage: env/run COMMAND...\n")

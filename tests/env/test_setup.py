"""A set-up is complete or it is made again: failures, interruptions and two at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from .conftest import Sandbox


@pytest.fixture(params=["flock", "claims"])
def either(sandbox: Sandbox, request: pytest.FixtureRequest) -> Sandbox:
    """A machine with flock, and one without, as a Mac."""
    if request.param == "claims":
        (sandbox.bin / "flock").unlink()
    return sandbox


def claims(sandbox: Sandbox) -> list[str]:
    """Who has a claim where there is no flock."""
    return sorted(path.name for path in sandbox.cache.glob("*.claims/*"))


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


def heard(process: subprocess.Popen[str], text: str) -> str:
    """Read what it says until it has said TEXT."""
    assert process.stderr
    said = ""
    while text not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def under_way(sandbox: Sandbox) -> subprocess.Popen[str]:
    """A set-up that goes on once there is a file `gate`; the next one does so at once."""
    sandbox.python_with("0.9.0")
    gate = sandbox.folder / "gate"
    sandbox.builder("venv", f'touch "$1/half"; while [ ! -e "{gate}" ]; do sleep 0.05; done')
    process = sandbox.start("python")
    wait_for(lambda: list(sandbox.cache.glob("venv-*/half")), "a set-up under way")
    return process


def open_gate(sandbox: Sandbox) -> None:
    (sandbox.folder / "gate").touch()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_set_up_is_noticed_and_redone(either: Sandbox, number: signal.Signals) -> None:
    process = under_way(either)
    process.send_signal(number)
    assert process.wait(10) == 130
    assert not list(either.cache.glob("*/.complete"))
    assert claims(either) == []
    open_gate(either)
    again = either.run("python")
    assert "an earlier set-up of the Python packages did not finish; starting" in again.stderr
    assert "waiting" not in again.stderr
    assert (again.returncode, again.stdout) == (0, "stub python\n")
    assert len(either.called()) == 2


def test_the_orphan_of_a_killed_set_up_is_waited_for(either: Sandbox) -> None:
    killed = under_way(either)
    killed.kill()
    killed.wait(10)
    second = either.start("python")
    heard(second, "another process is making the Python packages; waiting for it")
    assert second.poll() is None  # it does not touch what the orphan still writes to
    open_gate(either)
    out, _ = second.communicate(timeout=10)
    assert (second.returncode, out) == (0, "stub python\n")
    assert len(either.called()) == 1
    assert claims(either) == []


def test_two_at_once_make_one(either: Sandbox) -> None:
    first = under_way(either)
    second = either.start("python")
    said = heard(second, "another process is making the Python packages; waiting for it")
    assert first.poll() is None
    open_gate(either)
    results = [process.communicate(timeout=20) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0]
    assert [out for out, _ in results] == ["stub python\n"] * 2
    assert "making the Python packages, once" in results[0][1]
    assert "waiting for it" not in results[0][1]
    assert "making the Python packages, once" not in said + results[1][1]  # it finds the finished environment
    assert len(either.called()) == 1
    assert claims(either) == []


def test_many_in_the_same_moment_make_one(either: Sandbox) -> None:
    either.python_with("0.9.0")
    either.builder("venv", "sleep 0.3")
    processes = [either.start("python") for _ in range(5)]
    results = [process.communicate(timeout=40) for process in processes]
    assert [(process.returncode, out) for process, (out, _) in zip(processes, results, strict=True)] == [
        (0, "stub python\n")
    ] * 5
    assert "".join(err for _, err in results).count("making the Python packages, once") == 1
    assert len(either.called()) == 1
    assert claims(either) == []


def test_the_lock_of_the_dead_is_taken_over(sandbox: Sandbox) -> None:
    """Killed with its builder, which no trap sees: the claims stay, and the next set-up removes them."""
    (sandbox.bin / "flock").unlink()
    process = under_way(sandbox)
    host = os.uname().nodename
    group, owner = claims(sandbox)
    assert owner == f"{process.pid}@{host}"
    assert group.startswith("-") and group.endswith(f"@{host}")
    process.kill()
    os.killpg(int(group[1:].split("@")[0]), signal.SIGKILL)
    process.wait(10)
    assert claims(sandbox) == [group, owner]
    open_gate(sandbox)
    several = [sandbox.start("python") for _ in range(3)]  # none of which takes it from the other that took it over
    results = [process.communicate(timeout=20) for process in several]
    assert [process.returncode for process in several] == [0, 0, 0]
    assert len(sandbox.called()) == 2
    assert "".join(err for _, err in results).count("did not finish; starting it again") == 1
    assert claims(sandbox) == []


def test_a_lock_of_another_machine_is_not_taken(sandbox: Sandbox) -> None:
    """Whether its process is alive cannot be known here; the line says which file to remove."""
    (sandbox.bin / "flock").unlink()
    sandbox.python_with("0.9.0")
    sandbox.run("true")
    (entry,) = (path for path in sandbox.cache.glob("venv-*") if (path / "bin").exists())
    shutil.rmtree(entry)
    claim = entry.with_name(f"{entry.name}.claims") / "1@elsewhere"
    claim.touch()
    process = sandbox.start("python")
    heard(process, f"waiting for it (1 on elsewhere; if it is no more, remove {claim})")
    claim.unlink()
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "stub python\n")


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

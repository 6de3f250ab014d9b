"""A checkout of its own with stub builders, so that decisions and locking are tested in milliseconds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# What the scripts may find on PATH besides the stubs: no conda, no apt, no python.
TOOLS = (
    "awk bash cat chmod cp cut df dirname env flock grep id kill ln ls mkdir mount mv paste readlink rm sed "
    "sha256sum sh sleep sort sync tail touch tr true uname unshare"
).split()


@dataclass
class Sandbox:
    """A copy of env/, an empty cache and a PATH of stubs.

    The stub builders write `built` into the entry that they are given and their arguments into
    `calls`; the environment that they make is a `bin/python` that prints "stub python".
    """

    folder: Path
    checkout: Path = field(init=False)
    bin: Path = field(init=False)
    cache: Path = field(init=False)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checkout = self.folder / "a checkout"  # the space is part of the test
        self.bin = self.folder / "bin"
        self.cache = self.folder / "cache" / "bloodpatch" / "env"
        self.bin.mkdir(parents=True)
        shutil.copytree(REPOSITORY / "env", self.checkout / "env")
        shutil.copy(REPOSITORY / "environment.yml", self.checkout)
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path, tool
            (self.bin / tool).symlink_to(path)
        for builder in ("venv", "conda", "root"):
            self.builder(builder)

    def builder(self, name: str, body: str = "") -> None:
        """Replace build/NAME by a stub that does BODY before it makes anything."""
        self.script(
            self.checkout / "env" / "build" / name,
            f"""
            set -euo pipefail
            echo "{name} $*" >> {self.calls}
            {body}
            for folder in "$1" "$1/prefix" "$1/root"; do
                mkdir -p "$folder/bin"
                printf '#!/bin/sh\\necho stub python\\n' > "$folder/bin/python"
                chmod +x "$folder/bin/python"
            done
            """,
        )

    def stub(self, name: str, body: str) -> None:
        """Put an executable on PATH."""
        self.script(self.bin / name, body)

    def script(self, path: Path, body: str) -> None:
        """Write a shell script."""
        path.unlink(missing_ok=True)
        path.write_text("#!/bin/bash\n" + textwrap.dedent(body))
        path.chmod(0o755)

    @property
    def calls(self) -> Path:
        """Where the stubs note how they were called."""
        return self.folder / "calls"

    def called(self) -> list[str]:
        """Say how the stubs were called."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def environment(self, **variables: str) -> dict[str, str]:
        """Give the variables of a call."""
        return {
            "PATH": str(self.bin),
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "BLOODPATCH_ENV_NEEDS_MB": "1",
            **variables,
        }

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        """Start env/run without waiting for it."""
        process = subprocess.Popen(
            [self.checkout / "env" / "run", *command],
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            # What a script runs in its background ignores an interrupt, and so would everything below it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill what a test that failed has left running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run env/run to its end."""
        process = self.start(*command, **variables)
        out, err = process.communicate(timeout=20)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def python_with(self, version: str) -> None:
        """Put a python3 on PATH that answers the probe as one with dolfinx would."""
        self.stub("python3", f'echo "{version} {self.bin}/python3"')

    def debian_with(self, version: str, installed: str = "all") -> None:
        """Put an apt on PATH whose candidate of dolfinx is VERSION."""
        self.stub("apt-cache", f'printf "python3-dolfinx:\\n  Candidate: {version}\\n"')
        self.stub("apt-get", f'echo "apt-get $*" >> {self.calls}')
        self.stub(
            "dpkg-query",
            f'[ "{installed}" = all ] && echo installed || echo not-installed',
        )
        # sudo never asks for a password and there is none to give
        self.stub("sudo", "exit 1")


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """Make one."""
    made = Sandbox(tmp_path)
    yield made
    made.end()

"""Child processes: how they find the packages, and how they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any


def search_path() -> str:
    """PYTHONPATH with which a child finds these packages."""
    here = str(Path(__file__).parents[1])
    parts = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return os.pathsep.join(parts if here in parts else [here, *parts])


def stop_process(process: subprocess.Popen[Any], patience: float = 20.0) -> None:
    """Ask a child's process group to stop, then make it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)

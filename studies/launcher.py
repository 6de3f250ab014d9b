"""Starts workers quickly: a process that has imported everything once forks one worker after another.

The sweep talks to it over its standard input and output, one line of JSON per message. When the sweep is gone, however
it ended, standard input is closed: the launcher stops its workers as by Ctrl-C, then by force, and ends. When the
launcher is gone, the workers notice on the pipe that ties them to it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import mpi4py

import fem
from studies.files import is_no_space
from studies.modelversion import model_version
from studies.process import search_path
from studies.provenance import commit, provenance
from studies.worker import INTERRUPTED, NO_SPACE, STALE
from studies.worker import main as work

PATIENCE: Final = 20.0
"""Seconds that a worker has to stop by itself."""
LOST: Final = -1000
"""Exit status of a worker whose launcher is gone."""
IMPORTED: Final = ("mpi4py.MPI", "basix.ufl", "meshio")
"""What the launcher imports for its workers of what they need; dolfinx would start MPI there."""
ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Worker:
    """A worker that was started.

    Attributes:
        pid: of the process, which leads a group of its own; 0 until the launcher has told.
        status: exit status, negative for a signal; None while it runs.
    """

    pid: int = 0
    status: int | None = None

    def signal(self, number: int) -> None:
        """Send a signal to the worker and what it started."""
        if self.pid and self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


class Launcher:
    """The sweep's end of the launcher; it is started when it is first needed, and again when it is lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._workers: dict[int, Worker] = {}
        self._number = 0
        self._unread = b""

    def start(self, arguments: Sequence[str], log: Path) -> Worker:
        """Start `python -m studies.worker` with some arguments; what it says goes to a log."""
        self._number += 1
        worker = self._workers[self._number] = Worker()
        message = {"number": self._number, "arguments": list(arguments), "log": str(log)}
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            self._lost()
        return worker

    def wait(self, timeout: float) -> None:
        """Wait until something is told of a worker, or for a time [s]; the workers then know it."""
        process = self._process
        if process is None:
            time.sleep(timeout)
            return
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], timeout)[0]:
            return
        read = os.read(process.stdout.fileno(), 65536)
        if not read:
            self._lost()
            return
        *lines, self._unread = (self._unread + read).split(b"\n")
        for line in lines:
            told = json.loads(line)
            worker = self._workers[told["number"]]
            worker.pid = told.get("pid", worker.pid)
            if "status" in told:
                worker.status = told["status"]
                del self._workers[told["number"]]

    def stop(self) -> None:
        """Let every worker keep what it has, then see to it that all end."""
        process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        deadline = time.monotonic() + 2 * PATIENCE
        while self._process is not None and time.monotonic() < deadline:
            self.wait(0.1)
        if process.poll() is None:
            process.kill()
        process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            environment: Mapping[str, str] = {
                **os.environ,
                **dict.fromkeys(ONE_THREAD, "1"),
                "PYTHONPATH": search_path(),
            }
            self._process = subprocess.Popen(
                [sys.executable, "-m", "studies.launcher"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        return self._process

    def _lost(self) -> None:
        """The launcher is gone: so are its workers, or will be."""
        process, self._process = self._process, None
        if process is not None:
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if stream is not None:
                        stream.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
        for worker in self._workers.values():
            worker.signal(signal.SIGKILL)
            worker.status = LOST
        self._workers.clear()
        self._unread = b""


class _Forking:
    """The launcher itself.

    Args:
        imported: version of the model that it has imported.
    """

    def __init__(self, imported: str) -> None:
        self.imported = imported
        self.children: dict[int, int] = {}
        self.leash, self.held = os.pipe()

    def serve(self) -> None:
        """Start what is asked for, and tell what ends, until standard input is closed."""
        wake, poke = os.pipe()
        for descriptor in (wake, poke):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        # The launcher takes none, and a worker takes what was sent before it was ready once it is.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        signal.set_wakeup_fd(poke, warn_on_full_buffer=False)
        unread = b""
        while True:
            ready = select.select([0, wake], [], [])[0]
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
            self.reap()
            if 0 in ready:
                read = os.read(0, 65536)
                if not read:
                    break
                *lines, unread = (unread + read).split(b"\n")
                for line in lines:
                    self.fork(json.loads(line))
        self.end()

    def fork(self, message: dict[str, Any]) -> None:
        """Start a worker."""
        pid = os.fork()
        if pid == 0:
            _work(message, self.imported, self.leash, self.held)
        with contextlib.suppress(OSError):  # the worker makes its group, too: there is one before anyone signals it
            os.setpgid(pid, pid)
        self.children[pid] = message["number"]
        _tell({"number": message["number"], "pid": pid})

    def reap(self) -> None:
        """Tell which workers have ended."""
        for pid in list(self.children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                _tell({"number": self.children.pop(pid), "status": os.waitstatus_to_exitcode(status)})

    def end(self) -> None:
        """Stop all workers, as by Ctrl-C and then by force."""
        for number in (signal.SIGINT, signal.SIGKILL):
            for pid in self.children:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, number)
            deadline = time.monotonic() + PATIENCE
            while self.children and time.monotonic() < deadline:
                time.sleep(0.02)
                self.reap()


def _tell(message: dict[str, Any]) -> None:
    """Send a message to the sweep, which may be gone."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(message).encode() + b"\n")


def _work(message: dict[str, Any], imported: str, leash: int, held: int) -> NoReturn:
    """Be a worker: leaves MPI in order, and the process without taking apart what the launcher had imported."""
    from mpi4py import MPI

    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        os.close(held)
        os.dup2(leash, 0)
        log = os.open(message["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if _version_now() == imported:
            MPI.Init_thread()
            status = work(message["arguments"])
            MPI.Finalize()
        else:
            print("the model changed since the sweep began", file=sys.stderr)
            status = STALE
    except OSError as error:
        status = NO_SPACE if is_no_space(error) else 1
    except KeyboardInterrupt:  # before it computes; from then on it keeps what it has
        status = INTERRUPTED
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, KeyboardInterrupt):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _version_now() -> str:
    """The version of the model on the disk: what the launcher has looked up, and a worker inherits, may be old."""
    commit.cache_clear()
    model_version.cache_clear()
    try:
        importlib.reload(fem)  # nothing but the version
        return model_version()
    except SyntaxError:
        return "being edited"


def _warm_up() -> None:
    """Import and look up once what every worker needs; MPI is loaded, and started by each worker for itself."""
    mpi4py.rc.initialize = False
    for name in IMPORTED:
        importlib.import_module(name)
    from studies.reading import validate_case
    from studies.resolve import resolve

    provenance(resolve(validate_case({"injection": [{"level": "L3/L4", "volume": "1 mL"}]})), None, 1)


def main() -> None:
    """Entry of `python -m studies.launcher`."""
    imported = model_version()  # laws and tables come with the imports above: a worker of another version is refused
    _warm_up()
    gc.freeze()  # else the first collection in a worker copies the pages of everything that was imported
    _Forking(imported).serve()


if __name__ == "__main__":
    main()

"""`python -m studies` is the command `bloodpatch`."""

import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Run the command line; while it is still being loaded there is nothing to be kept when it is stopped."""

    def stop(number: int, frame: FrameType | None) -> None:
        os.write(2, b"bloodpatch: interrupted\n")
        os._exit(130)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    from studies.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())

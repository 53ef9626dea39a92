"""``python -m napari_sam2`` is ``napari-sam2``: this is where both begin."""

from __future__ import annotations

import sys


def run() -> int:
    """The command line with the arguments of the process; exit code as there.

    Imports are inside, so that Ctrl-C is answered in a line from the first moment on.
    """
    try:
        from napari_sam2.cli import main

        return main()
    except KeyboardInterrupt:
        sys.stderr.write("napari-sam2: stopped\n")
        return 130


if __name__ == "__main__":
    sys.exit(run())

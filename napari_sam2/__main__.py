"""``python -m napari_sam2`` is ``napari-sam2``."""

from __future__ import annotations

import sys

from napari_sam2.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""What tests of the engine share; modules may have fixtures of the same name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the helpers that lie beside


@pytest.fixture(scope="module")
def network():
    """A network that takes milliseconds."""
    from micro import micro_model

    return micro_model()


@pytest.fixture
def sam(network, monkeypatch):
    """ultralytics' `SAM` with that network."""
    from sam2_core import models
    from sam2_core.compat import SAM

    monkeypatch.setattr(models, "load_model", lambda *_, **__: network)
    return SAM("sam2_nano")

"""The command that trains the whole-image network."""

from __future__ import annotations

import pytest

from sam2_core.training.__main__ import main


def test_a_missing_folder_is_one_sentence(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match="none"):
        main(["--data", str(tmp_path / "none"), "--out", str(out)])
    assert not out.exists()

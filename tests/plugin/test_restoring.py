"""Sessions that are opened again: on their image, and on no other."""

from __future__ import annotations

import npe2
import numpy as np
import pytest
import tifffile

from napari_sam2._keeping import SessionKeeper
from sam2_core import ImageError

STACK = np.arange(5 * 40 * 60, dtype=np.uint16).reshape(5, 40, 60)


@pytest.fixture
def kept(tool, tmp_path):
    """Make a controller that keeps sessions."""

    def make(data=STACK, **kwargs):
        t = tool(data, **kwargs)
        t.keeper = SessionKeeper(t, tmp_path / "autosaves")
        return t

    return make


@pytest.fixture
def session(kept, tmp_path):
    """A session on an image file; gives both paths."""
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, STACK)
    npe2.PluginManager.instance().discover()
    t = kept(None)
    (image,) = t.viewer.open(str(path), plugin="napari")
    t.choose_image(image)
    t.add_point((3, 10, 20))
    return t.keeper.save(tmp_path / "work"), path


def test_an_image_file_that_was_exchanged_is_refused(session, kept):
    file, path = session
    tifffile.imwrite(path, STACK + 1)
    t = kept(None)
    with pytest.raises(ImageError, match=r"cells\.tif is not the image of the session"):
        t.keeper.load(file)
    assert t.stage.labels is None or not t.stage.labels.data.any()
    assert not t.history.record.journal.worked
    tifffile.imwrite(path, STACK)
    t = kept(None)
    t.keeper.load(file)
    assert t.stage.labels.data[3, 10, 20] == 1


def test_an_open_image_with_other_pixels_is_not_taken_for_it(session, kept):
    file, path = session
    t = kept(STACK + 1, name="cells")
    t.keeper._checksums.clear()  # it was not identified yet
    other = t.stage.image
    t.keeper.load(file)
    assert t.stage.image is not other
    np.testing.assert_array_equal(t.stage.image.data, STACK)
    assert t.stage.labels.data[3, 10, 20] == 1
    path.unlink()
    t = kept(STACK + 1, name="cells")
    t.keeper._checksums.clear()
    with pytest.raises(ImageError, match="is not the image of the session: its pixels"):
        t.keeper.load(file)
    assert len(t.stage.points.data) == 0

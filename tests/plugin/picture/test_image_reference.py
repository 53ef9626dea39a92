"""Images of sessions are found in files that hold more than them."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from fakes import FLAT
from napari.layers import Image

from napari_sam2.picture._image_reference import checksum, open_layer, refer
from sam2_core import ImageError


def test_a_channel_that_napari_split_off_is_found_in_its_file(tmp_path):
    channels = [FLAT, FLAT + 1]
    path = tmp_path / "two.tif"
    tifffile.imwrite(path, np.stack(channels))
    for channel in channels:
        reference = refer(Image(channel), checksum(channel))
        np.testing.assert_array_equal(open_layer(reference, path)[0], channel)
    other = refer(Image(FLAT), checksum(FLAT + 2))
    with pytest.raises(ImageError, match="not the image of the session"):
        open_layer(other, path)

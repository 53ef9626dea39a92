"""A training folder comes back as it was."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from sam2_core.errors import ImageError
from sam2_core.training.packing import pack, unpack

rng = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    arrays = {
        "2d/grey/0000_img.tif": rng.integers(0, 255, (40, 30), np.uint8),
        "2d/grey/0000_lab.tif": rng.integers(0, 3000, (40, 30), np.uint16),
        "2d/colour/0000_img.tif": rng.integers(0, 255, (20, 30, 3), np.uint8),
        "2d/colour/0000_lab.tif": rng.integers(0, 9, (20, 30), np.uint8),
        # A colour image may have no colours.
        "2d/colour/0001_img.tif": np.full((20, 30, 3), 7, np.uint8),
        "stack/a_img.tif": rng.integers(0, 255, (4, 16, 20), np.uint8),
        "stack/a_lab.tif": rng.integers(0, 9, (4, 16, 20), np.int32),
        "stack/rgb_img.tif": rng.integers(0, 255, (2, 16, 20, 3), np.uint8),
    }
    for name, array in arrays.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        colours = array.shape[-1] == 3
        photometric = "rgb" if colours else "minisblack"
        tifffile.imwrite(path, array, photometric=photometric)
    (tmp_path / "data" / "manifest.json").write_text('{"entries": []}')
    return tmp_path / "data", arrays


def test_every_pixel_and_type_comes_back(folder, tmp_path):
    data, arrays = folder
    pack(data, tmp_path / "data.zip")
    unpack(tmp_path / "data.zip", tmp_path / "again")
    for name, array in arrays.items():
        found = tifffile.imread(tmp_path / "again" / name)
        assert found.dtype == array.dtype, name
        np.testing.assert_array_equal(found, array, err_msg=name)
    assert (tmp_path / "again" / "manifest.json").read_text() == '{"entries": []}'
    assert not list(tmp_path.glob("*.part"))


def test_an_image_of_other_numbers_is_refused(tmp_path):
    (tmp_path / "2d" / "a").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "2d/a/0_img.tif", np.zeros((4, 4), np.uint16))
    with pytest.raises(ImageError, match="uint16: convert it to uint8"):
        pack(tmp_path, tmp_path / "data.zip")
    assert not (tmp_path / "data.zip").exists()


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ImageError, match="holds no images"):
        pack(tmp_path, tmp_path / "data.zip")

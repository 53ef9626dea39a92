"""Sessions whose labels were made on several images, each asked for its own."""

from __future__ import annotations

import gc
import json
from types import SimpleNamespace
from weakref import ref

import numpy as np
import pytest
from fakes import FakeBackend, FakePredictor, disc

from napari_sam2.picture._image_reference import refer
from napari_sam2.picture._sources import Sources
from napari_sam2.sessions._keeping import SessionKeeper
from sam2_core import ImageError

SHAPE = (40, 60)


def half(first, last):
    """An image that is bright between two columns."""
    data = np.zeros(SHAPE, np.uint8)
    data[:, first:last] = 255
    return data


LEFT, RIGHT = half(4, 20), half(20, 46)
AT = {1: (10, 18), 2: (30, 44)}  # clicks, near the edges of what is bright
EXPECTED = np.zeros(SHAPE, np.uint16)
EXPECTED[disc(SHAPE, 18, 10) & (LEFT > 0)] = 1
EXPECTED[disc(SHAPE, 44, 30) & (RIGHT > 0)] = 2


class Seeing(FakeBackend):
    """Masks are where the image is bright."""

    def predictor(self, model):
        class Predictor(FakePredictor):
            def set_image(self, image):
                super().set_image(image)
                self.bright = image[..., 0] > 127

            def predict(self, *args, **kwargs):
                found = super().predict(*args, **kwargs)
                masks = found.masks & self.bright
                return SimpleNamespace(masks=masks, scores=found.scores)

        return Predictor(self)


@pytest.fixture
def backend():
    return Seeing()


def opened(tool, images, tmp_path, channels):
    t = tool()
    for name, data in images.items():
        layer = t.viewer.add_image(data, name=name, contrast_limits=(0, 255))
        layer.blending = "additive" if channels else "translucent"
    t.keeper = SessionKeeper(t, tmp_path / "autosaves")
    return t


BOTH = {"left": LEFT, "right": RIGHT}


@pytest.fixture(params=["channels", "pictures"])
def shared(tool, tmp_path, request):
    """An object in each of two images, in the same labels; how to open them again."""
    channels = request.param == "channels"
    t = opened(tool, BOTH, tmp_path, channels)
    t.open = lambda images: opened(tool, images, tmp_path / "again", channels)
    t.choose_image(t.viewer.layers["left"])
    t.add_point(AT[1])
    labels = t.stage.labels
    t.choose_image(t.viewer.layers["right"])
    t.choose_labels(labels)
    t.add_point(AT[2], object_id=2)
    np.testing.assert_array_equal(labels.data, EXPECTED)
    return t


@pytest.mark.parametrize("last", ["left", "right"])
def test_each_object_is_asked_for_in_its_image(shared, last, tmp_path):
    shared.choose_image(shared.viewer.layers[last])
    path = shared.keeper.save(tmp_path / "work")
    t = shared.open(BOTH)
    t.keeper.load(path)
    assert t.stage.image.name == last
    np.testing.assert_array_equal(t.stage.labels.data, EXPECTED)
    assert "not those that were saved" not in t.state.status
    again = shared.open(BOTH)
    again.keeper.load(t.keeper.save(tmp_path / "more"))
    np.testing.assert_array_equal(again.stage.labels.data, EXPECTED)


def test_an_image_that_is_gone_is_one_sentence(shared, tmp_path):
    path = shared.keeper.save(tmp_path / "work")
    t = shared.open({"right": RIGHT})
    with pytest.raises(ImageError, match="The model saw 'left' too: open that image"):
        t.keeper.load(path)


def test_older_files_name_one_image_and_go_on_with_another(tool, tmp_path):
    t = opened(tool, BOTH, tmp_path, channels=True)
    t.choose_image(t.viewer.layers["left"])
    t.add_point(AT[1])
    path = t.keeper.save(tmp_path / "work")
    content = json.loads(path.read_text())
    assert "sources" not in content  # nor has a file of one image now
    assert not any("image" in setup for setup in content["setups"])
    t = opened(tool, BOTH, tmp_path / "b", channels=True)
    t.keeper.load(path)
    t.choose_image(t.viewer.layers["right"])
    t.add_point(AT[2], object_id=2)
    path = t.keeper.save(tmp_path / "more")
    t = opened(tool, BOTH, tmp_path / "c", channels=True)
    t.keeper.load(path)
    np.testing.assert_array_equal(t.stage.labels.data, EXPECTED)


def test_images_are_not_kept_once_it_is_known_which_they_are(tool):
    sources, image = Sources(), tool(LEFT.copy()).viewer.layers[0]
    gone = ref(data := image.data)
    number = sources.number(data, refer(image))
    assert sources.number(data, refer(image)) == number
    assert sources.array(number) is data
    sources.identify(number, "sha")
    assert sources.array(number) is data
    del image, data
    gc.collect()
    assert gone() is None
    with pytest.raises(ImageError, match="first"):
        sources.array(number)

"""The colours of new labels can be told apart, on any image."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from skimage.color import rgb2lab

from napari_sam2._label_colors import LabelColors, clear_colors
from napari_sam2._layers import new_labels
from napari_sam2.automatic._preview import Preview


@pytest.fixture(scope="module")
def colors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return clear_colors().map(np.arange(49, dtype=np.uint16))


def test_labels_are_seen_on_black_and_on_white(colors):
    assert colors[0, 3] == 0
    assert (colors[1:, 3] == 1).all()
    lightness = rgb2lab(colors[1:, :3])[:, 0]
    assert lightness.min() > 50
    assert lightness.max() < 90


def test_labels_made_one_after_another_differ(colors):
    lab = rgb2lab(colors[1:, :3])
    for apart in range(1, 5):
        differ = np.linalg.norm(lab - np.roll(lab, apart, axis=0), axis=1)
        assert differ[apart:].min() > 15, apart
    assert len(np.unique(colors.round(2), axis=0)) == 49


def test_new_layers_have_them_and_napari_can_shuffle():
    layer = new_labels(Image(np.zeros((4, 5))))
    assert type(layer) is Labels
    first = LabelColors().of(layer, 1)
    np.testing.assert_allclose(first, clear_colors().map(1))
    np.testing.assert_allclose(LabelColors().of(layer, 49), first)  # and so on
    for seed in range(5):
        layer.new_colormap(seed)
        shuffled = np.array([LabelColors().of(layer, i) for i in range(1, 60)])
        assert not np.allclose(shuffled[0], first)
        assert (shuffled[:, 3] == 1).all()


def test_candidates_have_the_same_colours():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 5)))
    preview = Preview(viewer)
    preview.show(image, (0, 1), (), np.eye(4, 5, dtype=np.int32))
    np.testing.assert_allclose(preview.layer.get_color(1), clear_colors().map(1))

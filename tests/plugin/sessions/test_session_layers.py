"""napari opens and saves sessions with its own commands; the model is a fake."""

from __future__ import annotations

import npe2
import numpy as np
import pytest
import tifffile
from keeping import LONG, kept_with_tools
from napari.components import LayerList
from napari.layers import Tracks

from napari_sam2.sessions._session_file import read_session
from napari_sam2.sessions._session_layers import get_reader, write_layers
from sam2_core import ImageError, Sam2Error


@pytest.fixture
def kept(tool, tmp_path):
    return kept_with_tools(tool, tmp_path)


def test_napari_reads_and_writes_sessions(kept, tmp_path):
    path = tmp_path / "nuclei.tif"
    tifffile.imwrite(path, LONG)
    t = kept()
    (image,) = t.viewer.open(str(path), plugin="napari")
    t.choose_image(image)
    t.add_point((3, 10, 20))
    file = str(tmp_path / "session.json")
    layers = [layer.as_layer_data_tuple() for layer in (image, t.stage.labels)]
    assert write_layers(file, layers) == [file]
    assert get_reader(str(path)) is None
    (tmp_path / "other.json").write_text("{}")
    assert get_reader(str(tmp_path / "other.json")) is None
    ((data, attributes, kind),) = get_reader(file)(file)
    np.testing.assert_array_equal(np.asarray(data), LONG)
    assert kind == "image"
    assert attributes["metadata"]["napari_sam2_session"] == file
    with pytest.raises(Sam2Error, match="session"):
        write_layers(file, [image.as_layer_data_tuple()])


@pytest.mark.parametrize("kinds", [["labels"], ["image", "labels", "tracks"]])
def test_a_session_is_saved_with_the_layers_that_are_selected(kinds, kept, tmp_path):
    manager = npe2.PluginManager.instance()
    manager.discover()
    offered = [writer.display_name for writer in manager.iter_compatible_writers(kinds)]
    assert offered.count("SAM 2 session") == 1
    t = kept()
    t.add_point((3, 10, 20))
    made = {
        "image": t.state.image,
        "labels": t.stage.labels,
        "tracks": Tracks([[1, 0, 5, 5], [1, 1, 6, 6]]),
    }
    layers = LayerList([made[kind] for kind in kinds])
    file = str(tmp_path / "work.json")
    assert layers.save(file) == [file]
    assert get_reader(file) is not None


def test_a_session_goes_to_its_image_where_that_is_open(kept, tmp_path, monkeypatch):
    t = kept(name="cells")
    t.add_point((3, 10, 20))
    file = str(t.keeper.save(tmp_path / "work"))
    with pytest.raises(ImageError, match="Open the image 'cells' first") as caught:
        get_reader(file)(file)
    assert "--" not in str(caught.value)  # there is no command line here
    monkeypatch.setattr("napari.current_viewer", lambda: t.viewer)
    other = t.viewer.add_image(LONG + 1, name="cells")
    t.stage.image.name = "renamed"
    assert get_reader(file)(file) == [(None,)]
    assert t.stage.image.metadata["napari_sam2_session"] == file
    assert other.metadata == {}


def test_an_image_that_a_session_brought_keeps_its_file(kept, tmp_path):
    path = tmp_path / "nuclei.tif"
    tifffile.imwrite(path, LONG)
    t = kept(None)
    t.choose_image(t.viewer.open(str(path), plugin="napari")[0])
    t.add_point((3, 10, 20))
    first = t.keeper.save(tmp_path / "work")
    t = kept(None)
    t.choose_image(t.viewer.open(str(first), plugin="napari-sam2")[0])
    t.add_point((3, 10, 20))
    again = t.keeper.save(first)  # over the one that the image came with
    reference = read_session(again).image
    assert (reference.path, reference.reader) == (str(path), "napari")
    ((data, *_),) = get_reader(str(again))(str(again))
    np.testing.assert_array_equal(np.asarray(data), LONG)


def test_weights_are_read_before_anything_is_saved(kept, monkeypatch):
    """In the worker: reading them takes a while."""
    from napari_sam2.sessions import _keeping

    jobs, runs = [], []
    monkeypatch.setattr(_keeping, "model_hash", lambda name: jobs.append(runs[-1]))
    t = kept(None)
    submit = t.runner.submit

    def watched(job):
        runs.append(job.kind)
        submit(job)

    monkeypatch.setattr(t.runner, "submit", watched)
    t.viewer.add_image(LONG)
    t.choose_image(t.viewer.layers[0])
    assert jobs[0] == "identify"

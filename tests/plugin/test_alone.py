"""One object propagated alone, and the budget of encoded frames."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2._settings import Settings, load_settings
from napari_sam2.commands import replay
from napari_sam2.engine._backend import Sam2Backend
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session
from sam2_core import PromptError

STACK = np.arange(9 * 40 * 60, dtype=np.uint16).reshape(9, 40, 60)


@pytest.fixture
def two(tool):
    """Two objects on frame 3, the second one is selected."""
    t = tool(STACK)
    t.viewer.dims.set_current_step(0, 3)
    t.add_point((10, 20))
    t.next_object()
    t.add_point((30, 40))
    t.state.alone = True
    return t


def frames_with(t, object_id):
    found = (t.stage.labels.data == object_id).any((1, 2))
    return np.flatnonzero(found).tolist()


def test_only_the_selected_object_goes_through_the_stack(two):
    t = two
    t.propagate("both")
    assert frames_with(t, 2) == list(range(9))
    assert frames_with(t, 1) == [3]
    t.select_object(1)
    t.propagate("forward")
    assert frames_with(t, 1) == list(range(3, 9))
    t.undo()
    assert frames_with(t, 1) == [3]
    assert frames_with(t, 2) == list(range(9))


def test_the_session_still_knows_the_others(two):
    t = two
    t.propagate("both")
    t.state.alone = False
    t.propagate("both")
    assert frames_with(t, 1) == list(range(9))


def test_an_object_without_prompts_is_one_sentence(two):
    two.next_object()
    with pytest.raises(PromptError, match="object 3"):
        two.propagate("both")


def test_a_session_repeats_it(two, tmp_path, backend, monkeypatch):
    t = two
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.propagate("both")
    session = read_session(keeper.save(tmp_path / "alone.json"))
    monkeypatch.setattr("napari_sam2.engine._backend.Sam2Backend", lambda: backend)
    result = replay.run(session, STACK)
    labels = result[0] if isinstance(result, tuple) else result
    np.testing.assert_array_equal(labels, t.stage.labels.data)


def test_the_budget_of_encoded_frames_is_a_preference(monkeypatch):
    assert Settings().cache_bytes is None
    assert Settings(cache_megabytes=300).cache_bytes == 300_000_000
    told = {}

    def session(model, frames, **kwargs):
        told.update(kwargs)

    monkeypatch.setattr("sam2_core.video.VideoSession", session)
    Sam2Backend(5).session(None, None)
    assert told == {"cache_bytes": 5}
    Sam2Backend().session(None, None)
    assert told == {"cache_bytes": None}


def test_the_preference_is_on_naparis_page(plugin_settings, npe2pm):
    from pathlib import Path

    import npe2
    from napari.settings import get_plugin_settings

    import napari_sam2

    path = Path(napari_sam2.__file__).parent / "napari.yaml"
    npe2pm.register(npe2.PluginManifest.from_file(path))
    get_plugin_settings("napari-sam2").segment.cache_megabytes = 64
    page = get_plugin_settings("napari-sam2").segment
    assert load_settings().cache_bytes == 64_000_000
    assert load_settings().preset == ""
    page.preset = "fast"
    assert load_settings().preset == "fast"

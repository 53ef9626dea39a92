"""Session files, and what they name, in another place than where they were written."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session

STACK = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)


@pytest.fixture
def project(tool, tmp_path):
    """A folder with an image and a session on it."""

    def make(image, session):
        folder = tmp_path / "project"
        for name in (image, session):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / image, STACK, photometric="minisblack")
        t = tool(STACK)
        t.viewer.layers[0].source.__dict__["path"] = str(folder / image)
        t.add_point((1, 10, 15))
        SessionKeeper(t, tmp_path / "autosaves").save(folder / session)
        return folder

    return make


@pytest.mark.parametrize(
    ("image", "session"),
    [
        ("stack.tif", "a.json"),
        ("images/stack.tif", "a.json"),
        ("stack.tif", "sessions/a.json"),
        ("images/stack.tif", "sessions/a.json"),
    ],
)
def test_an_image_that_moved_together_with_its_session_is_found(
    project, tmp_path, image, session
):
    folder = project(image, session)
    assert read_session(folder / session).image.path == str(folder / image)
    moved = folder.rename(tmp_path / "elsewhere")
    assert read_session(moved / session).image.path == str(moved / image)


def test_an_image_of_another_system_is_found_beside_its_session(project):
    folder = project("stack.tif", "a.json")
    file = folder / "a.json"
    there = str(folder / "stack.tif")
    file.write_text(file.read_text().replace(there, r"D:\\\\data\\\\stack.tif"))
    session = read_session(file)
    assert session.image.path == there
    assert {each.path for each in session.journal.sources.references} <= {there}


def test_an_image_that_is_nowhere_stays_where_it_was(project):
    folder = project("stack.tif", "a.json")
    (folder / "stack.tif").unlink()
    assert read_session(folder / "a.json").image.path == str(folder / "stack.tif")


def test_labels_on_disk_that_moved_together_with_their_session_are_found(project):
    folder = project("stack.tif", "a.json")
    file, store = folder / "a.json", folder / "labels.zarr"
    content = json.loads(file.read_text())
    content["labels"]["path"] = "/old/place/labels.zarr"
    file.write_text(json.dumps(content))
    assert read_session(file).labels["path"] == "/old/place/labels.zarr"
    store.mkdir()
    assert read_session(file).labels["path"] == str(store)

"""Which autosaves are kept, and which are offered."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from napari_sam2.picture._image_reference import checksum
from napari_sam2.sessions._autosaves import find_offer

DAY = 24 * 3600


def field_of_view(number):
    return np.full((40, 60), number, np.uint16)


@pytest.fixture
def worked(kept):
    """Work on an image, with nobody left to lock its file; returns that."""

    def work(number):
        t = kept(field_of_view(number))
        t.add_point((10, 20))
        t.keeper._autosave.close()
        return t.keeper._autosave.path

    return work


def age(path, days):
    stamp = time.time() - days * DAY
    os.utime(path, (stamp, stamp))


def test_however_many_images_were_worked_on_each_is_offered(worked):
    paths = [worked(number) for number in range(23)]
    for number, path in enumerate(paths):
        offer = find_offer(path.parent, checksum(field_of_view(number)))
        assert offer.path == path


def test_old_work_goes_unless_its_image_is_open(worked):
    old, new = worked(1), worked(2)
    age(old, 91)
    age(new, 89)
    assert find_offer(old.parent, checksum(field_of_view(1))).path == old
    assert find_offer(old.parent, checksum(field_of_view(3))) is None
    assert not old.exists()
    assert new.exists()


def test_of_too_much_work_the_oldest_goes_unless_its_image_is_open(worked, monkeypatch):
    old, middle, new = (worked(number) for number in (1, 2, 3))
    age(old, 2)
    age(middle, 1)
    room = middle.stat().st_size + new.stat().st_size - 1
    monkeypatch.setattr("napari_sam2.sessions._autosaves.MOST_BYTES", room)
    assert find_offer(old.parent, checksum(field_of_view(1))).path == old
    assert [path.exists() for path in (old, middle, new)] == [True, False, True]

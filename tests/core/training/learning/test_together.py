"""Objects worked on together find what each of them finds alone."""

from __future__ import annotations

import pytest
import torch
from micro import micro_model, moving_disc

from sam2_core.compat import SAM2VideoPredictor
from sam2_core.stacks import tracking
from sam2_core.video import VideoSession

FRAMES = moving_disc(9)
CLICKS = {
    1: (0, [[12, 20]]),
    2: (0, [[45, 8]]),
    3: (2, [[20, 20], [30, 30]]),
    4: (5, [[50, 33]]),
}


@pytest.fixture(scope="module")
def model():
    return micro_model()


def logits_of(session: VideoSession, steps=()) -> dict[tuple[int, int], torch.Tensor]:
    """Logits of each object as each frame is done; `steps` act after a frame."""
    found = {}
    acts = dict(steps)
    for result in session.propagate(direction="forward"):
        t = result.frame_index
        for object_id in result.masks:
            memory = session._objects[object_id].bank.find(t)
            found[t, object_id] = memory.logits.clone()
        if t in acts:
            acts[t](session)
    return found


def prompted(model, object_ids) -> VideoSession:
    session = VideoSession(model, FRAMES)
    for object_id in object_ids:
        frame, points = CLICKS[object_id]
        session.add_prompts(frame, object_id, point_coords=points)
    return session


def check(together, alone, object_id) -> None:
    mine = {t: logits for (t, i), logits in together.items() if i == object_id}
    assert mine
    for t, logits in mine.items():
        torch.testing.assert_close(logits, alone[t, object_id], rtol=0, atol=1e-4)


def test_all_equal_each_alone(model):
    together = logits_of(prompted(model, CLICKS))
    for object_id in CLICKS:
        check(together, logits_of(prompted(model, [object_id])), object_id)


@pytest.mark.parametrize("guided", [False, True])
def test_a_step_equals_the_steps_of_each_alone(guided):
    """Step by step, since random weights make much of a difference in the memory."""
    model = micro_model(guided=guided)
    recollections = []
    for object_id in (1, 2, 3):
        session = prompted(model, [object_id])
        list(session.propagate(stop=6, direction="forward"))
        bank = session._objects[object_id].bank
        recollections.append(bank.recall(7, len(FRAMES), model.config))
    assert len({known.length for known in recollections}) == 2
    features = session._features[7]
    with torch.inference_mode():
        together = tracking.follow(model, features, recollections)
        for known, found in zip(recollections, together, strict=True):
            (alone,) = tracking.follow(model, features, [known])
            for name in ("logits", "iou", "object_score", "pointer"):
                torch.testing.assert_close(
                    getattr(found, name), getattr(alone, name), rtol=0, atol=1e-4
                )
            # Kept in bfloat16: the last bit may fall on the other side.
            torch.testing.assert_close(
                found.spatial.float(), alone.spatial.float(), rtol=0.01, atol=1e-3
            )


def test_a_frame_is_followed_in_one_batch(model, monkeypatch):
    session = prompted(model, [1, 2])
    sizes = []
    attend = model.attend_to_memory

    def counted(embedding, memory, *args, **options):
        sizes.append(len(memory))
        return attend(embedding, memory, *args, **options)

    monkeypatch.setattr(model, "attend_to_memory", counted)
    list(session.propagate(direction="forward"))
    assert sizes == [2] * (len(FRAMES) - 1)


def test_crowds_are_split_and_the_parts_agree(model, monkeypatch):
    whole = logits_of(prompted(model, CLICKS))
    monkeypatch.setattr(tracking, "objects_at_once", lambda model: 2)
    parts = logits_of(prompted(model, CLICKS))
    assert whole.keys() == parts.keys()
    for key, logits in whole.items():
        torch.testing.assert_close(logits, parts[key], rtol=0, atol=1e-4)


def test_what_is_worked_on_at_once_is_bounded(monkeypatch):
    small, large = micro_model(), micro_model(image_size=512)
    assert tracking.objects_at_once(small) > tracking.objects_at_once(large) >= 1
    monkeypatch.setattr(tracking, "WORKING_BYTES", 1)
    assert tracking.objects_at_once(small) == 1


def test_objects_may_leave_and_be_corrected_on_the_way(model):
    def leave(session):
        session.remove_object(2)

    def correct(session):
        session.add_prompts(6, 3, box=[20, 10, 50, 35])

    together = prompted(model, CLICKS)
    logits_of(together, [(4, leave), (6, correct)])
    after = logits_of(together)
    assert {i for _, i in after} == {1, 3, 4}
    for object_id in (1, 3, 4):
        alone = prompted(model, [object_id])
        logits_of(alone, [(6, correct)] if object_id == 3 else [])
        check(after, logits_of(alone), object_id)


def test_the_memory_of_one_does_not_keep_the_others_alive(model):
    session = prompted(model, [1, 2])
    list(session.propagate(direction="forward"))
    memory = session._objects[1].bank.tracked[len(FRAMES) - 1]
    for tensor in (memory.logits, memory.spatial, memory.pointer):
        assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_the_adapter_follows_in_batches_too(model):
    def run(object_ids):
        predictor = SAM2VideoPredictor(model)
        state = predictor.init_state(Frames())
        for object_id in object_ids:
            points = CLICKS[object_id][1]
            predictor.add_new_points_or_box(
                state, 0, object_id, points, [1] * len(points)
            )
        return {
            (t, i): logits[row : row + 1].clone()
            for t, ids, logits in predictor.propagate_in_video(state)
            for row, i in enumerate(ids)
        }

    together = run([1, 2, 3])
    for object_id in (1, 2, 3):
        check(together, run([object_id]), object_id)


class Frames:
    """The stack as the adapter takes it."""

    shape = FRAMES.shape[1:3]

    def __len__(self):
        return len(FRAMES)

    def frame(self, index):
        return FRAMES[index]

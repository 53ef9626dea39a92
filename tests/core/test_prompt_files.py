from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sam2_core.errors import PromptError
from sam2_core.prompt_files import FramePrompt, merge_prompts, read_prompts

if TYPE_CHECKING:
    from pathlib import Path


def write(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "prompts.json"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_is_read(tmp_path: Path) -> None:
    entry = {
        "object": 3,
        "frame": 5,
        "points": [[1, 2.5], [3, 4]],
        "labels": [1, 0],
        "box": [0, 1, 8, 9],
    }
    (prompt,) = read_prompts(write(tmp_path, [entry]))
    assert prompt == FramePrompt(3, 5, ((1, 2.5), (3, 4)), (1, 0), (0, 1, 8, 9))
    np.testing.assert_array_equal(prompt.point_coords, [[1, 2.5], [3, 4]])
    np.testing.assert_array_equal(prompt.point_labels, [1, 0])
    np.testing.assert_array_equal(prompt.box, [0, 1, 8, 9])


def test_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, [{"points": [[1, 2]]}, {"box": [1, 2, 3, 4], "object": 2}])
    point, box = read_prompts(path, frame_index=7)
    assert point == FramePrompt(1, 7, ((1, 2),), (1,))
    assert box == FramePrompt(2, 7, (), (), (1, 2, 3, 4))
    assert point.box is None
    assert box.point_coords is None
    assert box.point_labels is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ({"points": [[1, 2]]}, "a list"),
        ([], "at least one"),
        ([3], "entry 1"),
        (
            [{"points": [[1, 2]]}, {"point": [[1, 2]]}],
            "entry 2: There is no key 'point'",
        ),
        ([{}], "needed"),
        ([{"points": []}], "needed"),
        ([{"points": {"x": 1}}], "points must be a list"),
        ([{"points": [[1]]}], r"\[x, y\]"),
        ([{"points": [["1", 2]]}], r"\[x, y\]"),
        ([{"points": [[True, 2]]}], r"\[x, y\]"),
        ('[{"points": [[NaN, 2]]}]', "finite"),
        ('[{"points": [[1' + "0" * 400 + ", 2]]}]", "finite"),
        ([{"points": [[1, 2]], "labels": [1, 0]}], "one number per point"),
        ([{"points": [[1, 2]], "labels": [2]}], "labels must be 1"),
        ([{"points": [[1, 2]], "labels": [True]}], "labels must be 1"),
        ([{"box": [1, 2, 3]}], r"\[x0, y0, x1, y1\]"),
        ([{"points": [[1, 2]], "object": 0}], "object must be"),
        ([{"points": [[1, 2]], "object": 1.0}], "object must be"),
        ([{"points": [[1, 2]], "object": 2**32}], "object must be"),
        ([{"points": [[1, 2]], "frame": -1}], "frame must be"),
    ],
)
def test_malformed_files_are_one_clear_error(
    tmp_path: Path, content: object, message: str
) -> None:
    with pytest.raises(PromptError, match=message):
        read_prompts(write(tmp_path, content))


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="There is no file"):
        read_prompts(tmp_path / "none.json")
    with pytest.raises(PromptError, match="cannot be read"):
        read_prompts(tmp_path)
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(PromptError, match="is not JSON"):
        read_prompts(binary)


def test_merging_joins_points_and_box_per_frame_and_object() -> None:
    merged = merge_prompts(
        [
            FramePrompt(2, 0, ((5, 5),), (1,)),
            FramePrompt(1, 4, ((1, 1),), (1,)),
            FramePrompt(1, 0, ((2, 2),), (1,)),
            FramePrompt(1, 0, box_xyxy=(0, 0, 9, 9)),
            FramePrompt(1, 0, ((3, 3),), (0,)),
        ]
    )
    assert merged == [
        FramePrompt(1, 0, ((2, 2), (3, 3)), (1, 0), (0, 0, 9, 9)),
        FramePrompt(2, 0, ((5, 5),), (1,)),
        FramePrompt(1, 4, ((1, 1),), (1,)),
    ]


def test_merging_refuses_two_boxes_and_nothing() -> None:
    box = FramePrompt(1, 0, box_xyxy=(0, 0, 9, 9))
    with pytest.raises(PromptError, match="two boxes"):
        merge_prompts([box, box])
    with pytest.raises(PromptError, match="no prompt"):
        merge_prompts([])


@pytest.mark.parametrize(
    "prompt",
    [
        FramePrompt(1, 0, ((0, 0), (19, 9)), (1, 1)),
        FramePrompt(1, 2, ((-0.5, 9.5),), (1,)),
        FramePrompt(1, 0, box_xyxy=(0, 0, 20, 10)),
        FramePrompt(1, 0, ((1, 1),), (0,), (0, 0, 5, 5)),
    ],
)
def test_what_lies_inside_passes(prompt: FramePrompt) -> None:
    prompt.check((10, 20), frames=3)


def test_a_correction_may_be_all_negative() -> None:
    prompt = FramePrompt(4, 2, ((5, 5),), (0,))
    assert not prompt.positive
    prompt.check((10, 20), frames=3, corrects=True)
    with pytest.raises(PromptError, match="outside"):
        FramePrompt(4, 2, ((5, 15),), (0,)).check((10, 20), 3, corrects=True)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (FramePrompt(1, 0, ((20, 5),), (1,)), "outside: the image is 20 x 10"),
        (FramePrompt(1, 0, ((5, 10),), (1,)), "outside"),
        (FramePrompt(1, 0, ((-1, 5),), (1,)), "outside"),
        (FramePrompt(1, 0, box_xyxy=(0, 0, 21, 5)), "outside"),
        (FramePrompt(1, 0, box_xyxy=(0, -2, 5, 5)), "outside"),
        (FramePrompt(1, 0, box_xyxy=(5, 5, 5, 9)), "empty"),
        (FramePrompt(1, 0, box_xyxy=(9, 5, 2, 9)), "empty"),
        (FramePrompt(4, 0, ((5, 5),), (0,)), "Object 4 has no positive point"),
        (FramePrompt(1, 3, ((5, 5),), (1,)), "no frame 3 .* 0 to 2"),
    ],
)
def test_what_lies_outside_is_named(prompt: FramePrompt, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        prompt.check((10, 20), frames=3)

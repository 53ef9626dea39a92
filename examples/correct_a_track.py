"""Look where tracking is least sure, correct it there, propagate again."""

from __future__ import annotations

from napari_sam2._sample_data import sample_nuclei
from sam2_core import VideoSession, load_model, open_frames

((stack, attributes, _),) = sample_nuclei()
frames = open_frames(stack, value_range=attributes["contrast_limits"])
session = VideoSession(load_model("sam2_nano"), frames)
session.add_prompts(20, object_id=1, point_coords=[[112, 156]], point_labels=[1])

scores = {
    result.frame_index: result.scores[1]
    for result in session.propagate(stop=24, direction="forward")
}
worst = min((index for index in scores if index != 20), key=scores.__getitem__)
print(f"least sure on frame {worst}: score {scores[worst]:.2f}")

session.add_prompts(worst, object_id=1, point_coords=[[112, 156]], point_labels=[1])
for result in session.propagate(stop=24, direction="forward"):
    print(result.frame_index, int(result.masks[1].sum()))

"""Several nuclei through a z-stack; labels are written frame by frame."""

from __future__ import annotations

from napari_sam2._sample_data import sample_nuclei
from sam2_core import VideoSession, load_model, open_frames
from sam2_core.label_files import LabelWriter, combine_masks

((stack, attributes, _),) = sample_nuclei()
# One contrast for all frames, or tracking flickers.
frames = open_frames(stack, value_range=attributes["contrast_limits"])

session = VideoSession(load_model("sam2_nano"), frames)
for object_id, xy in {1: (112, 156), 2: (75, 34), 3: (161, 96)}.items():
    session.add_prompts(20, object_id, point_coords=[xy], point_labels=[1])

with LabelWriter("tracked_nuclei.tif", stack.shape, largest=3, overwrite=True) as file:
    for result in session.propagate(start=17, stop=23):
        file.write(combine_masks(result.masks, frames.shape), result.frame_index)
        print(result.frame_index, {i: int(m.sum()) for i, m in result.masks.items()})

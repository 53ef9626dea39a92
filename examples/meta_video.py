"""A video, with the calls of Meta's `sam2`: only the import line is another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from napari_sam2._sample_data import sample_nuclei
from sam2_core import open_frames
from sam2_core.compat import build_sam2_video_predictor

# The original reads a folder of JPEG files; ours also takes a video file or an array.
((stack, attributes, _),) = sample_nuclei()
frames = open_frames(stack[20:23], value_range=attributes["contrast_limits"])
folder = Path("frames")
folder.mkdir(exist_ok=True)
for t in range(len(frames)):
    Image.fromarray(frames.frame(t)).save(folder / f"{t:05d}.jpg")

checkpoint = "sam2_nano"  # or "./checkpoints/sam2.1_hiera_large.pt"
model_cfg = "sam2_nano"  # or "configs/sam2.1/sam2.1_hiera_l.yaml"
predictor = build_sam2_video_predictor(model_cfg, checkpoint)

with torch.inference_mode():
    state = predictor.init_state("frames")

    # Prompts give masks on their own frame at once ...
    points, labels = np.array([[112, 156]], np.float32), np.array([1], np.int32)
    frame_idx, object_ids, masks = predictor.add_new_points_or_box(
        state, frame_idx=0, obj_id=1, points=points, labels=labels
    )

    # ... and then through the video.
    for frame_idx, object_ids, masks in predictor.propagate_in_video(state):
        print(frame_idx, object_ids, int((masks > 0).sum()))

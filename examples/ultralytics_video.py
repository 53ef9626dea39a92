"""A video, with the calls of ultralytics: each frame by itself, or tracked."""

from __future__ import annotations

import tifffile

from napari_sam2._sample_data import sample_nuclei
from sam2_core.compat.ultralytics import SAM, SAM2VideoPredictor

((stack, _, _),) = sample_nuclei()
video = "nuclei.tif"  # or "nuclei.mp4", with `pip install 'napari-sam2[video]'`
tifffile.imwrite(video, stack[20:23], metadata={"axes": "ZYX"})

# The same box in every frame.
model = SAM("sam2_nano")
for result in model(video, stream=True, bboxes=[60, 17, 92, 52]):
    print(result.path, result.orig_shape, result.verbose())

# Two objects, prompted in the first frame and followed.
overrides = {"conf": 0.25, "task": "segment", "imgsz": 1024, "model": "sam2_nano"}
predictor = SAM2VideoPredictor(overrides=overrides)
for result in predictor(video, points=[[112, 156], [75, 34]], labels=[1, 1]):
    print(result.boxes.id, result.boxes.conf)

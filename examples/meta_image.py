"""An image, with the calls of Meta's `sam2`: only the import line is another one."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from napari_sam2._sample_data import sample_cells
from sam2_core.compat import SAM2ImagePredictor, build_sam2

((pixels, _, _),) = sample_cells()
image = np.array(Image.fromarray(pixels).convert("RGB"))

checkpoint = "sam2_nano"  # or "./checkpoints/sam2.1_hiera_large.pt"
model_cfg = "sam2_nano"  # or "configs/sam2.1/sam2.1_hiera_l.yaml"
predictor = SAM2ImagePredictor(build_sam2(model_cfg, checkpoint))

with torch.inference_mode():
    predictor.set_image(image)
    masks, scores, logits = predictor.predict(
        point_coords=np.array([[400, 412]]), point_labels=np.array([1])
    )
print(masks.shape, scores.round(2), logits.shape)

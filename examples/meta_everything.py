"""Everything in an image, with the calls of Meta's `sam2`."""

from __future__ import annotations

import numpy as np
from PIL import Image

from napari_sam2._sample_data import sample_cells
from sam2_core.compat import SAM2AutomaticMaskGenerator, build_sam2

((pixels, _, _),) = sample_cells()
image = np.array(Image.fromarray(pixels[300:700, 300:700]).convert("RGB"))

sam2 = build_sam2("sam2_nano", "sam2_nano", apply_postprocessing=False)
mask_generator = SAM2AutomaticMaskGenerator(sam2, points_per_side=6)
masks = mask_generator.generate(image)

print(f"{len(masks)} masks")
for found in sorted(masks, key=lambda found: found["area"], reverse=True)[:5]:
    print(found["area"], found["bbox"], round(found["predicted_iou"], 2))

"""A folder of images to YOLO labels: boxes from a detector, masks from SAM 2."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from napari_sam2._sample_data import sample_cells
from sam2_core.compat import auto_annotate

((pixels, _, _),) = sample_cells()
Path("images").mkdir(exist_ok=True)
for i in range(2):
    corner = 300 + 200 * i
    crop = pixels[corner : corner + 256, corner : corner + 256]
    Image.fromarray(crop).save(f"images/cells{i}.png")

# "yolov8x.pt" and the like work where ultralytics is installed.
auto_annotate("images", det_model="blobs", sam_model="sam2_nano", device="cpu")

for file in sorted(Path("images_auto_annotate_labels").glob("*.txt")):
    print(file, len(file.read_text().splitlines()), "objects")

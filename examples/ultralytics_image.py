"""An image, with the calls of ultralytics: points, boxes, everything."""

from __future__ import annotations

from PIL import Image

from napari_sam2._sample_data import sample_cells
from sam2_core.compat import SAM

((pixels, _, _),) = sample_cells()
Image.fromarray(pixels[300:700, 300:700]).save("cells.png")

model = SAM("sam2_nano")  # or "sam2_t.pt", "sam2.1_b.pt", ...
print(model.info())

# A box.
(result,) = model("cells.png", bboxes=[18, 65, 158, 172])
print(result.boxes.xyxy, result.boxes.conf)

# Without a source the last image is used again, and not encoded again: one point,
# one point each of two objects, two points of one object.
for points, labels in (
    ([100, 112], [1]),
    ([[100, 112], [378, 213]], [1, 1]),
    ([[[100, 112], [60, 120]]], [[1, 0]]),
):
    (result,) = model(points=points, labels=labels)
    print(len(result), result.masks and result.masks.data.sum((1, 2)))

# Everything.
(result,) = model("cells.png", points_stride=6, conf_thres=0.7)
print(result, result.verbose())

drawn = result.plot()  # (H, W, 3), blue, green, red
result.save("everything.jpg")
result.save_txt("labels/cells.txt")  # class and outline in YOLO's format

"""One image: a click, a correction and a box become a label image."""

from __future__ import annotations

from napari_sam2._sample_data import sample_cells
from sam2_core import ImagePredictor, load_model
from sam2_core.label_files import combine_masks, save_labels

((image, _, _),) = sample_cells()
predictor = ImagePredictor(load_model("sam2_nano"))
predictor.set_image(image)

# A single click may mean a part or the whole: three masks, the best has the top score.
first = predictor.predict(point_coords=[[400, 412]], point_labels=[1])
best = int(first.scores.argmax())

# A second, negative click, starting from the mask so far.
corrected = predictor.predict(
    point_coords=[[400, 412], [300, 420]],
    point_labels=[1, 0],
    mask_input=first.logits[best : best + 1],
    multimask_output=False,
)

boxed = predictor.predict(box=[340, 515, 470, 660], multimask_output=False)

labels = combine_masks({1: corrected.masks[0], 2: boxed.masks[0]}, image.shape[:2])
path = save_labels("segmented_cells.tif", labels, overwrite=True)
print(f"{path}: {(labels == 1).sum()} and {(labels == 2).sum()} pixels")

"""Make docs/images/everything.png: an image, and all that everything mode finds in it.

python docs/make_everything_picture.py IMAGE.tif
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.segmentation import find_boundaries

from sam2_core import AutomaticMaskGenerator, load_model, read_image
from sam2_core.compat.drawing import colour_of
from sam2_core.intensity import to_rgb8

TARGET = Path(__file__).parent / "images" / "everything.png"
WIDTH = 1600  # of the picture, in pixels
OPACITY = 0.45


def main(path: Path) -> None:
    rgb = to_rgb8(read_image(path))
    model = load_model("sam2_nano", device="cpu", dtype="float32")
    start = time.perf_counter()
    found = AutomaticMaskGenerator(model).generate(rgb)
    seconds = time.perf_counter() - start
    painted = rgb.astype(np.float32)
    for index, mask in enumerate(sorted(found, key=lambda m: -m["area"])):
        inside, colour = mask["segmentation"], np.array(colour_of(index))
        painted[inside] = (1 - OPACITY) * painted[inside] + OPACITY * colour
        painted[find_boundaries(inside)] = colour
    pair = np.concatenate((rgb, painted.astype(np.uint8)), axis=1)
    picture = Image.fromarray(pair)
    height = round(picture.height * WIDTH / picture.width)
    picture.resize((WIDTH, height), Image.Resampling.LANCZOS).save(TARGET)
    print(f"{len(found)} objects in {seconds:.0f} s: {TARGET}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

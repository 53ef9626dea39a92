"""One click on objects of every evaluation set, good and bad: ``images/gallery.png``.

Needs the evaluation data (see training.md): ``python docs/make_gallery.py DATA/dev``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

import sam2_core
from sam2_core.intensity import to_rgb8
from sam2_core.training.examples.clicks import first_click
from sam2_core.training.labelled_files import choose_objects, find_sets

OUT = Path(__file__).parent / "images" / "gallery.png"
PER_SET, SIDE, GAP, HEAD = 9, 150, 6, 26
TRUTH, FOUND, CLICK = (60, 220, 90), (255, 60, 190), (255, 230, 0)


def picture(rgb, target, mask, click, iou):
    """A square about an object with both outlines, the click, and the IoU."""
    rows, columns = np.nonzero(target)
    half = max(np.ptp(rows), np.ptp(columns)) * 0.9 + 8
    middle = np.array((rows.mean(), columns.mean()))
    low = np.maximum(middle - half, 0).astype(int)
    high = np.minimum(middle + half, target.shape).astype(int)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    height, width = high - low
    scale = SIDE / max(height, width)
    size = (round(width * scale), round(height * scale))
    square = Image.new("RGB", (SIDE, SIDE), (24, 26, 32))
    square.paste(Image.fromarray(rgb[window]).resize(size, Image.Resampling.BICUBIC))
    pixels = np.array(square)
    for plane, colour in ((target, TRUTH), (mask, FOUND)):
        drawn = Image.fromarray(plane[window]).resize(size, Image.Resampling.NEAREST)
        edge = find_boundaries(np.array(drawn), mode="inner")
        pixels[: size[1], : size[0]][edge] = colour
    square = Image.fromarray(pixels)
    pen = ImageDraw.Draw(square)
    x, y = ((np.array(click) + 0.5 - low[::-1]) * scale).tolist()
    pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=CLICK, outline=(0, 0, 0))
    pen.rectangle((0, SIDE - 16, 34, SIDE), fill=(0, 0, 0))
    pen.text((4, SIDE - 15), f"{iou:.2f}", fill=(255, 255, 255))
    return square


def main(folder: Path) -> None:
    """Draw the gallery."""
    predictor = sam2_core.ImagePredictor(sam2_core.load_model("sam2_nano"))
    sets = {k: v for k, v in find_sets(folder).items() if v[0].kind == "2d"}
    width = PER_SET * (SIDE + GAP) + GAP
    sheet = Image.new("RGB", (width, len(sets) * (SIDE + HEAD + GAP)), (16, 17, 21))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for row, (name, files) in enumerate(sets.items()):
        shown = []
        for file, ids in choose_objects(files, PER_SET, 1).items():
            image, labels = file.read()
            rgb = to_rgb8(np.asarray(image), None)
            predictor.set_image(image)
            for number in ids:
                target = labels == number
                click = first_click(target)[:2]
                answer = predictor.predict([click], [1])
                mask = answer.masks[answer.scores.argmax()]
                iou = (mask & target).sum() / (mask | target).sum()
                shown.append((iou, picture(rgb, target, mask, click, iou)))
        shown.sort(key=lambda pair: -pair[0])
        top = row * (SIDE + HEAD + GAP)
        pen.text((GAP, top + 4), name, fill=(235, 235, 235), font=font)
        for column, (_, square) in enumerate(shown):
            sheet.paste(square, (GAP + column * (SIDE + GAP), top + HEAD))
    sheet.save(OUT, optimize=True)
    print(OUT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

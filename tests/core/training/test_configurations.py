"""Two tiny networks are trained for a moment and set beside each other."""

from __future__ import annotations

import numpy as np
import tifffile

from sam2_core.training import configurations


def write_set(folder, seed):
    """One image of bright discs, with their labels."""
    rows, columns = np.mgrid[:96, :96]
    labels = np.zeros((96, 96), np.uint16)
    for i, x in enumerate((24, 70)):
        labels[(rows - 40) ** 2 + (columns - x) ** 2 < 12**2] = i + 1
    noise = np.random.default_rng(seed).integers(0, 30, labels.shape)
    image = (np.where(labels > 0, 180, 30) + noise).astype(np.uint8)
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "0000_img.tif", image)
    tifffile.imwrite(folder / "0000_lab.tif", labels)


def test_each_size_gets_a_row_of_what_it_reaches_and_costs(
    tmp_path, monkeypatch, capsys
):
    write_set(tmp_path / "data" / "train" / "2d" / "discs", 0)
    write_set(tmp_path / "data" / "dev" / "2d" / "discs", 1)
    sizes = (("small", (8, 8, 8, 8), 0), ("large", (8, 16, 32, 64), 1))
    monkeypatch.setattr(configurations, "SIZES", sizes)
    options = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    options += ["--minutes", "0.03", "--batch", "4", "--max-objects", "2"]
    configurations.main([*options, "--synthetic", "2", "--synthetic-stacks", "1"])
    _, _, small, large = capsys.readouterr().out.strip().splitlines()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in (small, large)]
    assert rows[0][0] == "small (8, 8, 8, 8), 0"
    assert float(rows[0][1].split()[0]) < float(rows[1][1].split()[0])
    for row in rows:
        assert int(row[2]) > 0
        assert 0 <= float(row[3]) <= 1
        assert 0 <= float(row[4]) <= 1

"""Drive the napari dock from a script; the window stays open (needs a display)."""

from __future__ import annotations

import napari

viewer = napari.Viewer()
(nuclei,) = viewer.open_sample("napari-sam2", "nuclei")
viewer.dims.set_current_step(0, 20)

_, segment = viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
segment.choose_image(nuclei)
segment.add_point((156, 112), object_id=1)  # row, column, as everywhere in napari
segment.add_point((34, 75), object_id=2)
segment.wait()

segment.propagate("both", start=18, stop=22)
segment.wait()
print(f"frames with labels: {segment.labels.data.any(axis=(1, 2)).sum()}")
napari.run()

"""The commands of ``napari-sam2``, one per file; importing them is cheap."""

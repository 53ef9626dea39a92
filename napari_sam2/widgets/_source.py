"""Group of controls: what to segment, where to write, and with which model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_info
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QPushButton, QWidget

from napari_sam2._layers import why_not_labels
from napari_sam2.picture._channels import one_picture
from napari_sam2.picture._cover import uncover, why_unseen
from napari_sam2.picture._one_frame import is_one_frame, where_it_went
from napari_sam2.widgets._combos import LayerComboBox, NarrowComboBox
from sam2_core.config import list_models

if TYPE_CHECKING:
    import napari.components

    from napari_sam2._state import SegmentationState
    from napari_sam2.widgets._seeing import SeeingPanel

DEVICE_NAMES = {"auto": "Automatic", "cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU"}

FROM_FILE = ""  # entry of the models that asks for a weight file


class SourcePanel(QWidget):
    """Image, labels, model and device; below the image what the model sees of it."""

    image_requested = Signal(object)
    labels_requested = Signal(object)
    model_requested = Signal(str)
    device_requested = Signal(str)
    download_requested = Signal()
    tool_requested = Signal(str)
    """To be taken in hand again."""
    lift_requested = Signal()
    """What belongs to the image, above it."""

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        state: SegmentationState,
        parent: QWidget | None = None,
        seeing: SeeingPanel | None = None,
    ) -> None:
        super().__init__(parent)
        self._state = state
        self.image = LayerComboBox(viewer, _is_image)
        self.image.setToolTip("What to segment: a 2D image, a z-stack or a time-lapse")
        self.labels = LayerComboBox(viewer, self._fits, "New labels layer")
        self.labels.setToolTip(
            "Where the masks go. Layers of the same shape as the image are listed, and "
            "those of a single frame, which a new layer begins with."
        )
        self.model = NarrowComboBox()
        self.device = NarrowComboBox()
        self.device.setToolTip("Where the model runs")
        self.download = QPushButton("Download")

        form = QFormLayout(self)
        form.setContentsMargins(8, 2, 8, 4)
        form.setVerticalSpacing(5)
        form.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image)
        if seeing is not None:
            seeing.lay_out(form)
            seeing.looks_changed.connect(self._on_looks)
        form.addRow("Labels", self.labels)
        form.addRow("Model", self.model)
        form.addRow("", self.download)
        form.addRow("Device", self.device)

        self.image.layer_chosen.connect(self._on_image)
        self.labels.layer_chosen.connect(self._on_labels)
        self.model.activated.connect(self._on_model)
        self.device.activated.connect(self._on_device)
        self.download.clicked.connect(self._on_download)
        for name in ("image", "labels", "model", "device", "devices", "missing"):
            state.events[name].connect(self.refresh)
        state.events.busy.connect(self.refresh)
        self._tool = ""  # that was in hand when an image came
        self._came = False  # whether an image did for which layers may be waiting
        # Layers may be on their way, and several may go at once.
        self._settled = QTimer(self, singleShot=True, interval=0)
        self._settled.timeout.connect(self._on_settled)
        self._viewer = viewer
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removing.connect(self._on_removing)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state = self._state
        self.image.choose(state.image)
        self.labels.reset_choices()
        self.labels.choose(state.labels)
        self._fill(self.model, self._models())
        self.model.setCurrentIndex(self.model.findData(state.model))
        self.model.setToolTip(
            "sam2_nano comes with the plugin; the others are Meta's checkpoints"
            if state.model in list_models()
            else state.model
        )
        self._fill(self.device, self._devices())
        self.device.setCurrentIndex(self.device.findData(state.device))
        size = state.missing.get(state.model, 0)
        self.download.setEnabled(size > 0 and state.busy != "download")
        self.download.setText(f"Download {size / 1e6:.0f} MB" if size else "Download")
        self.download.setToolTip(
            f"Fetch {state.model} from Meta's server into your cache folder"
            if size
            else f"{state.model} is on this computer already"
        )

    def _models(self) -> dict[str, str]:
        """Entries by name or path: known models, the file in use, the way to a file."""
        entries = {name: self._model_text(name) for name in list_models()}
        if self._state.model not in entries:
            entries[self._state.model] = Path(self._state.model).name
        return entries | {FROM_FILE: "Weights from a file …"}

    def _devices(self) -> dict[str, str]:
        """Entries by name: devices of this computer, and the one in use."""
        names = dict.fromkeys((*self._state.devices, self._state.device))
        return {name: DEVICE_NAMES.get(name, name) for name in names}

    def _model_text(self, name: str) -> str:
        size = self._state.missing.get(name, 0)
        return f"{name}: needs download ({size / 1e6:.0f} MB)" if size else name

    @staticmethod
    def _fill(combo: NarrowComboBox, entries: dict[str, str]) -> None:
        shown = {combo.itemData(i): combo.itemText(i) for i in range(combo.count())}
        if shown != entries:
            combo.clear()
            for name, text in entries.items():
                combo.addItem(text, name)

    def _fits(self, layer: Any) -> bool:
        image = self._state.image
        if not isinstance(layer, Labels) or image is None:
            return False
        if layer is self._state.labels or is_one_frame(layer, image):
            return True
        return not why_not_labels(layer, image)

    def _on_inserted(self, event: Any) -> None:
        """The first image that is opened is the one to segment."""
        if not _is_image(event.value):
            return
        if self._state.image is None:
            self.image_requested.emit(event.value)
            self._came = True
            self._settled.start()
        if self._state.tool:
            self._tool = self._state.tool
            self._settled.start()

    def _on_removing(self, event: Any) -> None:
        """Another image takes the place of the one in use.

        A channel of the same picture goes on with its prompts and labels, as long as
        all of them are there.
        """
        layers, image = self._viewer.layers, self._state.image
        if image is None or layers[event.index] is not image:
            return
        self._settled.start()
        others = [each for each in layers if _is_image(each) and each is not image]
        channels = [each for each in others if one_picture(image, each, layers)]
        if channels and self._state.labels in layers:
            channels.sort(key=lambda layer: layer.visible)
            self.image_requested.emit(channels[-1])

    def _on_looks(self) -> None:
        """The image may be seen now, for which a tool waits."""
        if self._tool:
            self._on_settled()

    def _on_settled(self) -> None:
        """Once it is in the list, napari makes an image the active layer."""
        tool, self._tool = self._tool, ""
        viewer, state = self._viewer, self._state
        came, self._came = self._came, False
        if came and state.image is not None:
            self.lift_requested.emit()
        if state.image is None:
            images = [layer for layer in reversed(viewer.layers) if _is_image(layer)]
            images.sort(key=lambda layer: not layer.visible)
            if images:
                self.image_requested.emit(images[0])
            return
        if why_unseen(viewer, state, state.image):
            self._tool = tool  # clicks are meant for the image that is seen
            return
        if tool and _is_image(viewer.layers.selection.active) and not state.tool:
            self.tool_requested.emit(tool)

    def _on_image(self, layer: Any) -> None:
        """Whoever chooses an image here wants to see it."""
        self.image_requested.emit(layer)
        viewer, state = self._viewer, self._state
        chosen = layer is not None and layer is state.image
        if chosen:
            self.lift_requested.emit()
        if chosen and (hidden := uncover(viewer, state, layer)):
            state.status = hidden
            show_info(hidden)  # the status gives way as soon as the image is encoded

    def _on_labels(self, layer: Any) -> None:
        before = self._state.labels
        self.labels_requested.emit(layer)
        labels = self._state.labels
        if layer is None or labels is None or labels is before:
            return
        labels.visible = True  # whoever chooses them here wants to see them
        self.lift_requested.emit()
        if labels is not layer:
            show_info(where_it_went(self._viewer, layer, labels))

    def _on_model(self, index: int) -> None:
        name = self.model.itemData(index)
        if name == FROM_FILE:
            name = self._ask_for_weights()
        if name:
            self.model_requested.emit(name)
        else:
            self.refresh()

    def _ask_for_weights(self) -> str:
        """Path of a weight file, empty if the user thought better of it."""
        kinds = "Weights (*.safetensors *.pt *.pth);;All files (*)"
        path, _ = QFileDialog.getOpenFileName(self, "Weights of a model", "", kinds)
        return str(path)

    def _on_device(self, index: int) -> None:
        self.device_requested.emit(self.device.itemData(index))

    def _on_download(self) -> None:
        self.download_requested.emit()


def _is_image(layer: Any) -> bool:
    return type(layer) is Image

"""What the user has chosen and what the plugin is doing: one evented dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import SignalGroupDescriptor

from sam2_core.config import list_models

if TYPE_CHECKING:
    from napari.layers import Image, Labels

DIRECTIONS = ("both", "forward", "backward")
WRITING = ("keep", "overwrite", "empty")
"""Other labels keep their pixels, or lose them to the mask, or, even more careful, only
pixels without any label are written."""

SEES = ("layer", "shown")
PARTS = ("auto", "screen", "whole")


@dataclass
class SegmentationState:
    """Choices of the user and progress of the work; written on the GUI thread only.

    Views write fields and refresh from the events; the controller listens.

    Attributes
    ----------
    image, labels : napari layers or None
        What is segmented, and where the masks go.
    model, device : str
        A name of :func:`sam2_core.list_models`; "auto", "cpu", "cuda", ...
    preset : str
        One of :data:`sam2_core.presets.PRESETS` for stacks followed with memories, ""
        for the model as it was trained.
    sees : str
        "layer": the model is shown the image alone; "shown": all images that are
        visible, blended as on screen.
    part : str
        "auto", "screen" or "whole": whether planes that stand alone are looked at in
        parts, by themselves only where they are large.
    looked : Looked or None
        The part that was looked at last.
    plane : (int, int) or None
        Data axes on display, ascending.
    axis : int or None
        Data axis of the image that plays the part of time; None when every plane is
        segmented by itself (always so for 2D images).
    positive : bool
        Whether the next point says "this belongs to the object".
    tool : str
        The tool in hand; "" if a click on the canvas makes no prompt.
    object_id : int
        Label value that the prompts are for; 0 means background, nothing can be
        prompted.
    writing : str
        One of :data:`WRITING`: what becomes of labels that are there already.
    neighbours : bool
        Whether all other labels act as negative prompts, and not only locked ones.
    each : bool
        Whether every positive prompt is an object of its own.
    hover : bool or None
        Whether the mask under the cursor is shown; None: if the model is quick.
    choices, choice : Choices or None, int
        Candidates of the last click, and the one that is shown.
    close_ups : dict of str to bool
        Whether models that were loaded see close-ups, by name; others may be told from
        their names.
    device_used : str
        Device of the loaded model, "" before one is loaded.
    click_ms, glimpse_ms : float or None
        Milliseconds of the last click, and of a look at one point.
    direction : str
        One of "both", "forward", "backward".
    start, stop : int or None
        First and last frame to propagate over, both included; None is the end of the
        stack.
    alone : bool
        Whether the current object is propagated alone.
    stop_when_lost : bool
        Whether an object that is lost for ``patience`` frames in a row has ended.
    patience : int
        That number of frames.
    follow_corrections : bool
        Whether a correction on a propagated line is propagated by itself.
    busy : str
        "" when idle, else "predict", "propagate", "restore", "download", "prepare", ...
    status : str
        One line for the user.
    done, total : int
        Progress of the running job; ``total`` is 0 when it is not known.
    seconds_left : float or None
        Estimate for the running job.
    undo_text, redo_text : str
        What undo would take back and redo do again, "" when there is nothing.
    devices : list of str
        Devices found so far.
    missing : dict of str to int
        Models that need a download, with their size in bytes.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    image: Image | None = None
    labels: Labels | None = None
    model: str = list_models()[0]
    device: str = "auto"
    preset: str = ""
    sees: str = "layer"
    part: str = "auto"
    looked: Any = None
    plane: tuple[int, int] | None = None
    axis: int | None = None
    positive: bool = True
    tool: str = ""
    object_id: int = 1
    writing: str = "keep"
    neighbours: bool = False
    each: bool = False
    hover: bool | None = None
    choices: Any = None
    choice: int = 0
    device_used: str = ""
    click_ms: float | None = None
    glimpse_ms: float | None = None
    direction: str = "both"
    start: int | None = None
    stop: int | None = None
    alone: bool = False
    stop_when_lost: bool = True
    patience: int = 3
    follow_corrections: bool = False
    busy: str = ""
    status: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    undo_text: str = ""
    redo_text: str = ""
    devices: list[str] = field(default_factory=lambda: ["auto", "cpu"])
    missing: dict[str, int] = field(default_factory=dict)
    close_ups: dict[str, bool] = field(default_factory=dict)

    def update(self, **values: Any) -> None:
        """Set several fields, one event each for those that changed."""
        for name, value in values.items():
            setattr(self, name, value)

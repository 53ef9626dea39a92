"""Keyboard shortcuts and mouse gestures, in one table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shortcut:
    """A key, what it does, and where.

    Attributes
    ----------
    key : str
        As napari writes it.
    method : str
        Method of the widget that it calls.
    text : str
        As people write it.
    does : str
        What it does, for the page of keys.
    on_labels : bool
        Whether it goes before a key of napari's also while one paints the labels.
    """

    key: str
    method: str
    text: str
    does: str
    on_labels: bool = True


SHORTCUTS = {
    "point": Shortcut("P", "take_point", "P", "point tool", on_labels=False),
    "box": Shortcut("B", "take_box", "B", "box tool", on_labels=False),
    "scribble": Shortcut("D", "take_scribble", "D", "scribble tool", on_labels=False),
    "lasso": Shortcut("L", "take_lasso", "L", "lasso tool", on_labels=False),
    "polarity": Shortcut(
        "T", "toggle_polarity", "T", "switch between positive and negative prompts"
    ),
    "candidates": Shortcut(
        "Q", "next_candidate", "Q", "next of the masks that one click may mean"
    ),
    "next": Shortcut("M", "next_object", "M", "next object"),
    "each": Shortcut("J", "toggle_each", "J", "one object per prompt, on or off"),
    "hover": Shortcut("G", "toggle_hover", "G", "preview under the cursor, on or off"),
    "undo": Shortcut("Control-Z", "undo", "Ctrl+Z", "undo"),
    "redo": Shortcut("Control-Shift-Z", "redo", "Ctrl+Shift+Z", "redo"),
    "clear": Shortcut(
        "Shift-C", "clear_object", "Shift+C", "delete the object: mask and prompts"
    ),
    "track_all": Shortcut(
        "Shift-A", "track_all", "Shift+A", "track all labels of this frame"
    ),
    "propagate": Shortcut("Shift-S", "propagate", "Shift+S", "propagate"),
    "uncertain": Shortcut("N", "next_uncertain", "N", "next uncertain frame"),
    "check": Shortcut("K", "check_frame", "K", "this frame is checked"),
    "absent": Shortcut(
        "H", "mark_absent", "H", "the object is not on this frame (hidden)"
    ),
    "begins": Shortcut(
        "Shift-B", "mark_begin", "Shift+B", "this is the first frame with the object"
    ),
    "ends": Shortcut(
        "Shift-H", "mark_end", "Shift+H", "this is the last frame with the object"
    ),
    "cancel": Shortcut("Escape", "cancel", "Esc", "cancel"),
}
"""All keys. They work whichever layer is selected; while something is drawn on a layer
of the user's, or painted in the labels, napari's own keys of that layer come first."""

PROMPT_SHORTCUTS = {
    "answer": Shortcut(
        "S", "tell_answered", "S", "nothing: every prompt is answered by itself"
    ),
    "labels": Shortcut("V", "toggle_labels", "V", "show or hide the labels"),
}
"""Keys on the prompt layers alone, where napari's own would put the tool down."""

GESTURES = {
    "click": "positive point, with the point tool; negative while T is switched",
    "Shift + click": "negative point",
    "middle click": "positive point, whichever layer or tool is selected",
    "Ctrl + middle click": "negative point, likewise",
}


def hint(name: str) -> str:
    """Text of a shortcut for a tooltip, such as " (Ctrl+Z)"."""
    return f" ({SHORTCUTS[name].text})"


def keys_page() -> str:
    """The page of keys in the docs, as Markdown."""
    lines = [
        "# Keys",
        "",
        "Made from the table in `napari_sam2/dock/_keys.py` by `docs/make_keys.py`.",
        "Keys work whichever layer is selected, and after a click in a dock, but while",
        "text is typed. In the Automatic dock Esc stops its own search, and Ctrl+Z",
        "takes back what it added last. While a tool of napari's is in use, a brush",
        "on the labels (2 takes it) or anything on a layer of your own, that layer",
        "keeps napari's keys; 6 or its hand puts the brush down. Esc ends a shape",
        "that is half drawn before it cancels.",
        "Ctrl+Z undoes what came last: the shape that is half drawn, if there is one;",
        "also a stroke on another Labels layer while that one is selected.",
        "",
        "| key | what it does |",
        "|---|---|",
    ]
    lines += [f"| {key.text} | {key.does} |" for key in SHORTCUTS.values()]
    lines += ["", "While a tool is in hand, or a layer of prompts is selected:", ""]
    lines += ["| key | what it does |", "|---|---|"]
    lines += [f"| {key.text} | {key.does} |" for key in PROMPT_SHORTCUTS.values()]
    lines += ["", "| mouse | what it does |", "|---|---|"]
    lines += [f"| {gesture} | {does} |" for gesture, does in GESTURES.items()]
    return "\n".join(lines) + "\n"

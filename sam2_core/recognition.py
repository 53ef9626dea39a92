"""Telling from keys and shapes which network a state dict belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sam2_core.config import VARIANTS, ModelConfig
from sam2_core.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_TRUNK = "image_encoder.trunk."
ANCHOR = f"{_TRUNK}patch_embed.proj.weight"  # every SAM 2 has it; its width says which
_FIRST = "closeup.first."
_MEMORIES = (
    *("memory_attention.", "memory_encoder.", "maskmem_", "mask_downsample."),
    *("obj_ptr_", "no_obj_", "no_mem_pos_enc"),
)
_ONLY_IN_V21 = ("no_obj_embed_spatial", "obj_ptr_tpos_proj.weight")


def recognise(
    state_dict: Mapping[str, Tensor], variant: str | None = None
) -> ModelConfig:
    """Tell from keys and shapes which model the tensors belong to.

    Parameters
    ----------
    state_dict : mapping of str to Tensor
        Tensors with the official key names.
    variant : str, optional
        Name stored beside the tensors, believed if there is such a model.

    Returns
    -------
    ModelConfig
        The variant that fits, else the nearest one with the same trunk width (what
        does not fit is then listed by :func:`check_fit`).

    Raises
    ------
    CheckpointError
        If the tensors are not those of a SAM 2, or of one of unknown size.
    """
    if ANCHOR not in state_dict:
        raise CheckpointError(f"{_foreign_network(state_dict)}.")
    if variant in VARIANTS:
        return VARIANTS[variant]
    found = _features(state_dict)
    same_width = [
        config for config in VARIANTS.values() if config.trunk.embed_dim == found[0]
    ]
    if not same_width:
        known = ", ".join(f"{c.trunk.embed_dim} ({c.name})" for c in VARIANTS.values())
        raise CheckpointError(
            "This is a SAM 2 of unknown size: its trunk is "
            f"{found[0]} channels wide, known widths are {known}."
        )

    def likeness(config: ModelConfig) -> int:
        return sum(
            a == b for a, b in zip(found, _expected_features(config), strict=True)
        )

    return max(same_width, key=likeness)


def check_fit(
    state_dict: Mapping[str, Tensor],
    expected: Mapping[str, tuple[int, ...]],
    name: str,
) -> None:
    """Raise a CheckpointError that lists what keeps the tensors from fitting a model.

    Parameters
    ----------
    state_dict : mapping of str to Tensor
        What was read.
    expected : mapping of str to tuple of int
        Key and shape of every tensor of the model.
    name : str
        Model name for the message.
    """
    missing = [key for key in expected if key not in state_dict]
    unexpected = [key for key in state_dict if key not in expected]
    reshaped = [
        f"{key} {tuple(state_dict[key].shape)} instead of {shape}"
        for key, shape in expected.items()
        if key in state_dict and tuple(state_dict[key].shape) != tuple(shape)
    ]
    problems = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if names
    ]
    if problems:
        raise CheckpointError(
            f"The tensors do not fit {name}, the nearest known model: "
            f"{'; '.join(problems)}."
        )


def brought_up_to_date(
    state_dict: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Weights of a model with close-ups, made by an earlier version, as they are now.

    Such files have memories, which such models no longer use, and no changes for first
    answers, or changes of a lower rank.

    Parameters
    ----------
    state_dict : mapping of str to Tensor
        What was read; newer weights stay as they are.
    expected : mapping of str to tuple of int
        As for :func:`check_fit`.
    """
    from sam2_core.nn.changes import raised  # and torch, which downloads do without

    kept = {k: v for k, v in state_dict.items() if not k.startswith(_MEMORIES)}
    wanted = {k: shape for k, shape in expected.items() if k.startswith(_FIRST)}
    if any(k.startswith(_FIRST) for k in kept):
        return raised(kept, wanted)
    return kept | {k: state_dict[ANCHOR].new_zeros(s) for k, s in wanted.items()}


def _features(state_dict: Mapping[str, Tensor]) -> tuple[Any, ...]:
    """What shapes tell of a configuration; ordered as in _expected_features."""

    def size(key: str, axis: int) -> int | None:
        shape = state_dict[key].shape if key in state_dict else ()
        return shape[axis] if -len(shape) <= axis < len(shape) else None

    def count(prefix: str) -> int:
        numbers = (
            k[len(prefix) :].split(".")[0] for k in state_dict if k.startswith(prefix)
        )
        return len(set(numbers))

    return (
        size(ANCHOR, 0),
        count(f"{_TRUNK}blocks."),
        size(f"{_TRUNK}pos_embed", -1),
        size(f"{_TRUNK}pos_embed_window", -1),
        size("image_encoder.neck.convs.0.conv.weight", 0),
        size("maskmem_tpos_enc", -1),
        size("maskmem_tpos_enc", 0),
        count("memory_attention.layers."),
        "2.1" if any(key in state_dict for key in _ONLY_IN_V21) else "2.0",
    )


def _expected_features(config: ModelConfig) -> tuple[Any, ...]:
    return (
        config.trunk.embed_dim,
        sum(config.trunk.stages),
        config.trunk.background_size[1],
        config.trunk.window_sizes[0],
        config.hidden_dim,
        config.memory_dim,
        config.num_maskmem,
        config.memory_attention_layers,
        config.version,
    )


def _foreign_network(state_dict: Mapping[str, Tensor]) -> str:
    keys = list(state_dict)
    if any(key.startswith("vision_encoder.") for key in keys):
        return (
            "These are SAM weights in Hugging Face's naming: use the official .pt file "
            "of the same model (it is in the same Hugging Face repository)"
        )
    if any(key.startswith("image_encoder.blocks.") for key in keys):
        return "These are weights of the first SAM, not of SAM 2"
    if any(key.startswith("image_encoder.") for key in keys):
        return "These are weights of a relative of SAM 2 with another image encoder"
    return (
        f"These are weights of another network (it has keys like {', '.join(keys[:3])})"
    )

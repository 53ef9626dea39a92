"""The video predictor against recorded calls of the original."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import DEVICE, Golden, cases, inputs
from PIL import Image

from sam2_core.compat import build_sam2_video_predictor

# Tiny, and few steps of memory attention: a minute or two in all.
QUICK = {
    "sam2.1_hiera_t/video_absent",
    "sam2.1_hiera_t/video_clear_prompts",
    "sam2.1_hiera_t/video_cond_limit",
    "sam2.1_hiera_t/video_fill_holes_emulated",
    "sam2.1_hiera_t/video_mask_1024",
}


@pytest.fixture(scope="module")
def encoded():
    """Encoded frames, shared by cases with the same image encoder and frames."""
    return {}


def save_frames(folder, frames):
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{i:05d}.png")
    return str(folder)


def replay(golden: Golden, folder, encoded) -> None:
    log = golden.log
    torch.save({"model": golden.weights}, folder / "weights.pt")
    holes = [] if log.get("emulate_cc") else ["++model.fill_hole_area=0"]
    predictor = build_sam2_video_predictor(
        f"configs/{log['config']}.yaml",
        folder / "weights.pt",
        device=DEVICE,
        hydra_overrides_extra=[*log.get("hydra_overrides", []), *holes],
    )
    state = None
    for number, call in enumerate(log["calls"]):
        key, name, args = f"c{number:02d}", call["call"], dict(call.get("args", {}))
        if name == "init_state":
            state = predictor.init_state(save_frames(folder, inputs()[call["frames"]]))
            shared = encoded.setdefault((log["config"], call["frames"]), state.features)
            shared.frames = state.frames
            state.features = shared
        elif name == "propagate_in_video":
            order = []
            for frame_idx, obj_ids, logits in predictor.propagate_in_video(
                state, **args
            ):
                order.append(frame_idx)
                check_frame(golden, key, state, frame_idx, obj_ids, logits)
            assert order == golden.log["info"][key]["frame_order"]
        elif name == "remove_object":
            obj_ids, updated = predictor.remove_object(state, **args)
            info = golden.log["info"][key]
            assert obj_ids == info["obj_ids"]
            assert [frame for frame, _ in updated] == info["updated_frames"]
            for frame_idx, logits in updated:
                golden.check_bits(f"{key}.f{frame_idx:02d}", logits > 0, "video_bits")
        elif name == "reset_state":
            predictor.reset_state(state)
            assert state["obj_ids"] == []
        elif name == "clear_all_prompts_in_frame":
            frame_idx, obj_ids, logits = predictor.clear_all_prompts_in_frame(
                state, **args
            )
            assert frame_idx == args["frame_idx"]
            assert len(obj_ids) == len(logits)
        else:
            if isinstance(args.get("mask"), str):
                args["mask"] = inputs()[args["mask"]]
            for prompt in ("points", "labels", "box"):
                if prompt in args:
                    args[prompt] = np.array(args[prompt], np.float32)
            output = getattr(predictor, name)(state, **args)
            check_frame(golden, key, state, *output)


def check_frame(golden, key, state, frame_idx, obj_ids, logits):
    key = f"{key}.f{frame_idx:02d}"
    info = golden.log["info"][key]
    assert obj_ids == info["obj_ids"]
    golden.check_bits(key, logits > 0, "video_bits")
    # Prompted frames are not in memory before the next propagation.
    memories = []
    for known, place in zip(state.objects.values(), info["stored_in"], strict=True):
        if place is not None:
            stage, kind = place.split(".")
            is_cond = kind == "cond"
            bank = known.bank.conditioning if is_cond else known.bank.tracked
            store = known.drafts[is_cond] if stage == "temp" else bank
            memories.append(store[frame_idx])
    golden.check_low(key, torch.cat([m.logits for m in memories])[:, 0])
    golden.check_close(
        key, torch.cat([m.object_score for m in memories]), "obj_score", "obj_score"
    )
    golden.check_close(
        key, torch.cat([m.pointer for m in memories]), "obj_ptr", "obj_ptr"
    )
    if f"{key}.maskmem_sub" in golden.arrays:
        kept = [m.spatial for m in memories if m.spatial is not None]
        golden.check_memory(key, torch.cat(kept).float())


def marks(name: str):
    return [
        pytest.mark.slow if name in QUICK else pytest.mark.large,
        pytest.mark.timeout(3600),
    ]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=marks(name)) for name in cases("video")]
)
def test_video_case(name, tmp_path, encoded):
    golden = Golden.load(name)
    replay(golden, tmp_path, encoded)
    (tmp_path / "weights.pt").unlink()

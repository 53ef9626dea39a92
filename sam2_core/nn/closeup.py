"""One object at its own scale: a small network that sees a window around a prompt.

A nucleus of 8 pixels and a fibre of 400 look alike once each fills half of a window of
96 pixels. So the bundled model draws its final masks there: image, clicks, box and
earlier mask go in together, and a mask at full resolution of the window comes out, with
how good it is and whether the object is there at all. Given the window of the frame
before and the mask on it, and those of the frame on which it was prompted, the same
network follows an object to the next frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.nn.changes import Changes
from sam2_core.nn.layers import MLP
from sam2_core.nn.prompt_encoder import BOX_TOP_LEFT, NEGATIVE, POSITIVE

SIDE = 96  # pixels of a window
STEM = 16
WIDTHS = (32, 64, 128, 192)  # channels at strides 2, 4, 8, 16 of the window
DEEP = 2  # further pairs at the coarsest level
IMAGE_MAPS = 3  # the window itself, every channel of the same mean and spread
PROMPT_MAPS = 7
FRAME_MAPS = 4  # grey image and mask of the frame before, and of the prompted one
MAPS = IMAGE_MAPS + PROMPT_MAPS + FRAME_MAPS
NEAR, WIDE = 2.0, 10.0  # reach of a click in pixels, as a spot and as a glow
LIMIT = 8.0  # of standardised grey levels
EPS = 4.0  # grey levels; flat windows are not blown up to noise
JUDGE = 40  # hidden channels
FIRST_RANK = 45  # of what the bundled model changes for first answers


@dataclass
class SeenObject:
    """What the network says of N windows.

    ``logits`` (N, S, S) of the mask, ``iou`` (N,) the logit of its predicted IoU with
    the whole object, ``present`` (N,) the logit of the object's presence.
    """

    logits: Tensor
    iou: Tensor
    present: Tensor


class Pair(nn.Module):
    """Two 3 x 3 convolutions with a shortcut, normalised while they learn."""

    def __init__(self, channels: int, learning: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=not learning)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=not learning)
        self.norm1 = nn.BatchNorm2d(channels) if learning else nn.Identity()
        self.norm2 = nn.BatchNorm2d(channels) if learning else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) of the same shape."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(x + self.norm2(self.conv2(y)), inplace=True)


class CloseUp(nn.Module):
    """U-shaped network from a window and the prompts in it to one mask.

    Parameters
    ----------
    learning : bool
        With batch normalisation, as it is trained; :func:`folded` makes the network
        without it that is shipped.
    widths : tuple of int
        Channels at strides 2, 4, 8 and 16; the bundled model has the default.
    deep : int
        Pairs of convolutions that see the whole window.
    first_rank : int
        Rank of the changes of its weights (``first``) for first answers; 0 for none.
    """

    first: Changes | None

    def __init__(
        self,
        learning: bool = False,
        widths: tuple[int, ...] = WIDTHS,
        deep: int = DEEP,
        first_rank: int = 0,
    ) -> None:
        super().__init__()
        self.widths, self.deep = widths, deep
        self.stem = nn.Conv2d(MAPS, STEM, 3, padding=1)
        before = (STEM, *widths[:-1])
        self.shrink = nn.ModuleList(
            nn.Conv2d(a, b, 2, stride=2) for a, b in zip(before, widths, strict=True)
        )
        self.down = nn.ModuleList(Pair(width, learning) for width in widths)
        # The coarsest level sees the whole window.
        self.whole = nn.ModuleList(Pair(widths[-1], learning) for _ in range(deep))
        self.lift = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths)
        )
        self.up = nn.ModuleList(Pair(width, learning) for width in widths[:-1])
        self.to_full = nn.Conv2d(widths[0], STEM, 1)
        self.full = nn.Conv2d(STEM, STEM, 3, padding=1)
        self.draw = nn.Conv2d(STEM, 1, 1)
        self.judge = MLP(widths[-1] + 2 * widths[0] + 2, JUDGE, 2, 3)
        self.first = None
        if first_rank:
            self.first = Changes(self, first_rank)

    def for_first_answers(self) -> CloseUp:
        """The network that answers a click or box which nothing is known before."""
        return self if self.first is None else self.first.applied(self)

    def forward(self, maps: Tensor) -> SeenObject:
        """See :class:`SeenObject`.

        Parameters
        ----------
        maps : Tensor
            (N, MAPS, S, S) from :func:`window_maps`, S a multiple of 16.
        """
        stem = F.relu(self.stem(maps.contiguous(memory_format=torch.channels_last)))
        x = stem
        levels = []
        for shrink, down in zip(self.shrink, self.down, strict=True):
            x = down(shrink(x))
            levels.append(x)
        for block in self.whole:
            x = block(x)
        deep = x.mean((2, 3))
        for level in (2, 1, 0):
            lifted = F.interpolate(
                self.lift[level](x), scale_factor=2.0, mode="nearest"
            )
            x = self.up[level](levels[level] + lifted)
        fine = F.interpolate(
            self.to_full(x), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        fine = F.relu(stem + fine, inplace=True)
        fine = F.relu(fine + self.full(fine), inplace=True)
        logits = self.draw(fine)[:, 0].float()
        return SeenObject(logits, *self._judged(deep, x, logits))

    def _judged(
        self, deep: Tensor, fine: Tensor, logits: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the mask looks like inside and around says how good it is."""
        inside = F.avg_pool2d(logits.detach()[:, None].sigmoid(), 2)[:, 0]
        around = F.max_pool2d(inside, 5, stride=1, padding=2) - inside

        def mean(weight: Tensor) -> Tensor:
            total = torch.einsum("nchw,nhw->nc", fine.float(), weight)
            return total / (weight.sum((1, 2))[:, None] + 1)

        area = inside.sum((1, 2))
        doubt = (inside * (1 - inside)).sum((1, 2)) / (area + 1)
        known = torch.cat(
            (
                deep.float(),
                mean(inside),
                mean(around),
                (area + 1).log()[:, None] / 8,
                doubt[:, None],
            ),
            1,
        )
        iou, present = self.judge(known.to(fine.dtype)).float().unbind(1)
        return iou, present


def gains(model: CloseUp) -> dict[str, Tensor]:
    """What normalisation multiplies what convolutions give by, by their weights' names.

    Each (C,), for a network as it learns.
    """
    found = {}
    for name, pair in model.named_modules():
        if not isinstance(pair, Pair):
            continue
        for number, norm in ((1, pair.norm1), (2, pair.norm2)):
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_var is not None
            spread = (norm.running_var + norm.eps).sqrt()
            found[f"{name}.conv{number}.weight"] = norm.weight / spread
    return found


def folded(model: CloseUp) -> CloseUp:
    """The same network with its normalisation worked into the convolutions."""
    state = model.state_dict()
    plain = CloseUp(widths=model.widths, deep=model.deep)
    for name, gain in gains(model).items():
        conv = name.removesuffix(".weight")
        norm = conv.replace("conv", "norm")
        state[name] = state[name] * gain[:, None, None, None]
        state[f"{conv}.bias"] = (
            state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
        )
    wanted = plain.state_dict()
    plain.load_state_dict({key: state[key] for key in wanted})
    return plain


def standardised(windows: Tensor, like: Tensor | None = None) -> Tensor:
    """Windows (N, C, S, S) of grey levels, each with mean 0 and spread 1.

    Contrast and brightness of a microscope say nothing about an outline. The frame
    before is brought to the mean and spread of the present one (``like``), so that an
    object that fades, because it ends or leaves the focus, is seen to fade.
    """
    like = windows if like is None else like
    mean = like.mean((1, 2, 3), keepdim=True)
    spread = (like - mean).square().mean((1, 2, 3), keepdim=True).sqrt()
    return ((windows - mean) / (spread + EPS)).clamp(-LIMIT, LIMIT)


def prompt_maps(
    point_xy: Tensor, labels: Tensor, earlier: Tensor | None, side: int = SIDE
) -> Tensor:
    """Clicks, box and earlier mask as images.

    Parameters
    ----------
    point_xy, labels : Tensor
        (N, P, 2) float xy in pixels of the window and (N, P) int as everywhere: -1
        padding, 0 negative, 1 positive, 2 and 3 box corners.
    earlier : Tensor, optional
        (N, S, S) of an earlier mask, from -1 (surely not) to 1 (surely object); 0
        where there is none.
    side : int
        S.

    Returns
    -------
    Tensor
        (N, PROMPT_MAPS, S, S): positive spots and glow, negative spots and glow, box,
        its ellipse, earlier mask.
    """
    n = len(labels)
    at = torch.arange(side, device=labels.device, dtype=torch.float32)
    dx = (at[None, None] - point_xy[..., :1]).square()  # (N, P, S)
    dy = (at[None, None] - point_xy[..., 1:]).square()
    maps = []
    for kind in (POSITIVE, NEGATIVE):
        told = (labels == kind).float()[..., None]
        for reach in (NEAR, WIDE):
            scale = 2 * reach * reach
            along_x, along_y = torch.exp(-dx / scale), torch.exp(-dy / scale) * told
            spots = torch.einsum("npy,npx->npyx", along_y, along_x)
            maps.append(spots.amax(1))
    boxed = labels == BOX_TOP_LEFT
    first = (point_xy * boxed[..., None]).sum(1)
    last = (point_xy * (labels == BOX_TOP_LEFT + 1)[..., None]).sum(1)
    centre, half = (first + last) / 2, ((last - first) / 2).clamp(min=0.5)
    away_x = ((at[None] - centre[:, :1]) / half[:, :1])[:, None]
    away_y = ((at[None] - centre[:, 1:]) / half[:, 1:])[:, :, None]
    inside = torch.where((away_x.abs() <= 1) & (away_y.abs() <= 1), 1.0, -1.0)
    ellipse = (1 - away_x.square() - away_y.square()).clamp(-1, 1)
    there = boxed.any(1)[:, None, None]
    maps += [torch.where(there, inside, 0.0), torch.where(there, ellipse, 0.0)]
    maps.append(
        torch.zeros(n, side, side, device=labels.device) if earlier is None else earlier
    )
    return torch.stack(maps, 1)


def frame_maps(windows: Tensor, grey: Tensor, masks: Tensor) -> Tensor:
    """Other frames of a stack as images.

    Parameters
    ----------
    windows : Tensor
        (N, 3, S, S) float, of the present frame.
    grey : Tensor
        (N, 2, S, S) float, grey levels: the same window of the frame before, and one of
        the frame on which the object was prompted, where it lies as on the former.
    masks : Tensor
        (N, 2, S, S) of the object on them, -1 and 1; 0 where nothing is known.

    Returns
    -------
    Tensor
        (N, FRAME_MAPS, S, S): standardised grey and mask of the one, then of the other.
    """
    known = (masks != 0).flatten(2).any(2)[..., None, None]
    shown = standardised(grey, windows) * known
    return torch.stack((shown, masks), 2).flatten(1, 2)


def window_maps(
    windows: Tensor, prompts: Tensor, before: Tensor | None = None
) -> Tensor:
    """Everything the network looks at.

    Parameters
    ----------
    windows : Tensor
        (N, 3, S, S) float, grey levels 0 to 255.
    prompts : Tensor
        (N, PROMPT_MAPS, S, S) from :func:`prompt_maps`.
    before : Tensor, optional
        (N, FRAME_MAPS, S, S) from :func:`frame_maps`.

    Returns
    -------
    Tensor
        (N, MAPS, S, S).
    """
    n, _, height, width = windows.shape
    if before is None:
        before = windows.new_zeros(n, FRAME_MAPS, height, width)
    return torch.cat((standardised(windows), prompts, before), 1)

"""`torch.compile` for those who ask for it, never trusted and never required."""

from __future__ import annotations

import warnings
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from torch import nn

    from sam2_core.nn.sam2 import Sam2

# How far a compiled part may be from the plain one, as the length of the difference by
# the length of the answer, or by 1, since scores may be near 0. Other orders of
# summation, and other roundings in between.
LIMITS = {torch.float32: 1e-3, torch.bfloat16: 3e-2, torch.float16: 1e-2}


class Checked:
    """A function that runs compiled, as long as that works and gives the same.

    Each time arguments of new shapes come, the plain function runs too, and both
    answers are compared. If the compiler is missing or fails, or the answers differ,
    there is one warning, and the plain function alone from then on.

    Parameters
    ----------
    name : str
        What people call it.
    plain : callable
        Tensors and numbers in; tensors out, alone or in lists, tuples or dataclasses.
    device : torch.device
        Where it runs. On CUDA the compiled function is recorded as graphs.
    """

    def __init__(
        self, name: str, plain: Callable[..., Any], device: torch.device
    ) -> None:
        self.name = name
        self.plain = plain
        self.graphs = device.type == "cuda"
        self._checked: set[Hashable] = set()
        # Nothing is compiled before the first call.
        self._compiled: Callable[..., Any] | None = torch.compile(
            plain, mode="reduce-overhead" if self.graphs else None
        )

    @property
    def gave_up(self) -> bool:
        """Whether the plain function is used."""
        return self._compiled is None

    def __call__(self, *args: Any) -> Any:
        """The compiled function, or the plain one; see the class."""
        if self._compiled is None or torch.is_grad_enabled():
            return self.plain(*args)
        try:
            if self.graphs:
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            found = self._compiled(*args)
            if self.graphs:
                # A graph writes every answer to the same place.
                found = _copied(found)
        except Exception as error:  # noqa: BLE001  compilers raise anything
            self._give_up(f"{type(error).__name__}: {str(error).strip()}")
            return self.plain(*args)
        known = _signature(args)
        if known not in self._checked:
            expected = self.plain(*args)
            if not _agree(found, expected, _limit([args, expected])):
                self._give_up("its answer differs from that of the plain code")
                return expected
            self._checked.add(known)
        return found

    def _give_up(self, why: str) -> None:
        self._compiled = None
        first = why.partition("\n")[0].rstrip(". ")
        warnings.warn(
            f"torch.compile is not used for the {self.name}: {first}.", stacklevel=3
        )


def compile_parts(model: Sam2) -> dict[str, Checked]:
    """Let the expensive parts of a model run compiled from now on.

    They are the trunk of the image encoder and the memory attention, or instead of that
    the networks for close-ups. Each of them is compiled when it is first needed,
    which takes from seconds to minutes, once more for inputs of other sizes.

    Parameters
    ----------
    model : Sam2
        Changed in place; its weights and their names stay.

    Returns
    -------
    dict of str to Checked
        The parts by name.
    """
    parts: dict[str, nn.Module] = {"image encoder": model.image_encoder.trunk}
    if model.closeup is None:
        parts["memory attention"] = model.memory_attention
    else:
        parts["first close-ups"] = model.closeup.for_first_answers()
        parts["close-ups"] = model.closeup
    found = {}
    for name, part in parts.items():
        found[name] = Checked(name, part.forward, model.device)
        part.forward = found[name]
    return found


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif is_dataclass(value):
        for entry in fields(value):
            yield from _tensors(getattr(value, entry.name))


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(*(_copied(getattr(value, e.name)) for e in fields(value)))
    return value


def _signature(args: tuple[Any, ...]) -> Hashable:
    return tuple(
        (arg.shape, arg.dtype) if isinstance(arg, Tensor) else arg for arg in args
    )


def _limit(values: Any) -> float:
    """What the least precise tensor allows: a bfloat16 part may answer in float32."""
    return max((LIMITS.get(t.dtype, 0.0) for t in _tensors(values)), default=0.0)


def _agree(found: Any, expected: Any, relative: float) -> bool:
    pairs = list(zip(_tensors(found), _tensors(expected), strict=True))
    for one, other in pairs:
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        one, exact = one.float(), other.float()
        limit = relative * max(float(exact.norm()), 1.0)
        # Neither is fulfilled by what is not a number.
        if not float((one - exact).norm()) <= limit:
            return False
    return True

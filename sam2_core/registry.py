"""The weight files that have names, and where on this computer they live."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from sam2_core.config import NANO, list_models
from sam2_core.errors import CheckpointError

_HOST = "https://dl.fbaipublicfiles.com/segment_anything_2"


@dataclass(frozen=True)
class Checkpoint:
    """A weight file that has a name.

    Attributes
    ----------
    name : str
        Variant, as in :func:`sam2_core.list_models`.
    file : str
        File name, in :func:`cache_dir` or, for the bundled model, in this package.
    url : str
        Where it can be fetched, "" for the bundled model.
    bytes : int
        Size, 0 for the bundled model.
    sha256 : str
        Hash, "" for the bundled model (whose file carries a digest of its tensors).
    licence : str
        SPDX identifier of the licence of the weights.
    """

    name: str
    file: str
    url: str
    bytes: int
    sha256: str
    licence: str

    @property
    def is_bundled(self) -> bool:
        """Whether the file ships inside this package."""
        return not self.url


def _official(folder: str, name: str, size: int, sha256: str) -> Checkpoint:
    url = f"{_HOST}/{folder}/{name}.pt"
    return Checkpoint(name, f"{name}.pt", url, size, sha256, "Apache-2.0")


CHECKPOINTS: dict[str, Checkpoint] = {
    entry.name: entry
    for entry in (
        Checkpoint(NANO.name, f"{NANO.name}.safetensors", "", 0, "", "Apache-2.0"),
        _official(
            "092824",
            "sam2.1_hiera_tiny",
            156_008_466,
            "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        ),
        _official(
            "092824",
            "sam2.1_hiera_small",
            184_416_285,
            "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        ),
        _official(
            "092824",
            "sam2.1_hiera_base_plus",
            323_606_802,
            "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        ),
        _official(
            "092824",
            "sam2.1_hiera_large",
            898_083_611,
            "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        ),
        _official(
            "072824",
            "sam2_hiera_tiny",
            155_906_050,
            "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
        ),
        _official(
            "072824",
            "sam2_hiera_small",
            184_309_650,
            "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
        ),
        _official(
            "072824",
            "sam2_hiera_base_plus",
            323_493_298,
            "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
        ),
        _official(
            "072824",
            "sam2_hiera_large",
            897_952_466,
            "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
        ),
    )
}


def find_checkpoint(name: str) -> Checkpoint:
    """Registry entry of a model name; CheckpointError lists the names if it is none."""
    if name in CHECKPOINTS:
        return CHECKPOINTS[name]
    close = get_close_matches(name, CHECKPOINTS, n=1)
    hint = f"did you mean {close[0]}? All names" if close else "the names"
    raise CheckpointError(
        f"There is no model called {name!r}, {hint}: {', '.join(list_models())}."
    )


_chosen = {"folder": ""}


def choose_cache_dir(folder: str) -> None:
    """Keep downloads in this folder from now on, unless $NAPARI_SAM2_HOME is set.

    "" is the usual place.
    """
    _chosen["folder"] = folder.strip()


def cache_dir() -> Path:
    """Folder of downloaded checkpoints.

    It is $NAPARI_SAM2_HOME, else what was given to :func:`choose_cache_dir`, else the
    user's cache. The folder need not exist yet.
    """
    chosen = _chosen["folder"]
    if not chosen or os.environ.get("NAPARI_SAM2_HOME", "").strip():
        return user_dir()
    return Path(chosen).expanduser().absolute()


def user_dir() -> Path:
    """Where the plugin keeps its files: $NAPARI_SAM2_HOME, else the user's cache."""
    own = os.environ.get("NAPARI_SAM2_HOME", "").strip()
    if own:
        return Path(own).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("napari-sam2", appauthor=False)


def model_path(name: str) -> Path:
    """Where the weight file of a model is, or would be after a download."""
    checkpoint = find_checkpoint(name)
    if checkpoint.is_bundled:
        return Path(__file__).parent / "bundled" / checkpoint.file
    return cache_dir() / checkpoint.file


def is_available(name: str) -> bool:
    """Whether the weight file of a model is there and has the right size."""
    checkpoint, path = find_checkpoint(name), model_path(name)
    if not path.is_file():
        return False
    size = path.stat().st_size
    return size > 0 if checkpoint.is_bundled else size == checkpoint.bytes

"""What the user set under Preferences, with defaults where napari has no such page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

from sam2_core.config import VARIANTS, list_models
from sam2_core.errors import Sam2Error
from sam2_core.presets import PRESETS


@dataclass(frozen=True)
class Settings:
    """Preferences of the plugin.

    Attributes
    ----------
    model : str
        Model chosen when the dock opens.
    device : str
        "auto", "cpu", "cuda" or "mps".
    preset : str
        Chosen when the dock opens; "" for none.
    keep_labels : bool
        Whether pixels of other labels are left alone.
    cache_megabytes : int
        Memory for encoded frames of a stack; 0 is an eighth of what is free.
    model_folder, session_folder : str
        Where downloaded models and unsaved work are kept; "" for the usual places.
    """

    model: str = list_models()[0]
    device: str = "auto"
    preset: str = ""
    keep_labels: bool = True
    cache_megabytes: int = 0
    model_folder: str = ""
    session_folder: str = ""

    @property
    def cache_bytes(self) -> int | None:
        """The budget as sessions take it; None lets them choose."""
        return self.cache_megabytes * 10**6 or None


def takes_preset(model: str) -> bool:
    """Whether a model follows by memories, which a preset changes; unless in close-ups.

    Of weights from a file nobody knows before they are loaded.
    """
    return model not in VARIANTS or not VARIANTS[model].closeups


def usable(model: str, preset: str) -> str:
    """The preset, if the model takes any; else ""."""
    return preset if takes_preset(model) else ""


def load_settings() -> Settings:
    """Read the preferences; napari before 0.9 keeps none for plugins."""
    try:
        from napari.settings import get_plugin_settings

        page = get_plugin_settings("napari-sam2").segment
        preset = page.preset if page.preset in PRESETS else ""
        settings = Settings(
            page.model,
            page.device,
            preset,
            page.keep_labels,
            page.cache_megabytes,
            page.model_folder,
            page.session_folder,
        )
    except (ImportError, AttributeError, KeyError):
        return Settings()
    known = settings.model in list_models()
    return settings if known else replace(settings, model=Settings.model)


def writable_folder(text: str) -> Path | None:
    """A folder of the preferences, made if need be; None for the usual place.

    Raises
    ------
    Sam2Error
        If it cannot be written to.
    """
    if not text.strip():
        return None
    folder = Path(text.strip()).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise Sam2Error(
            f"{folder} cannot be written to: choose another folder for unsaved work "
            "under Preferences."
        ) from error

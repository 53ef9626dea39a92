"""What the user set under Preferences, with defaults where napari has no such page."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sam2_core.config import list_models


@dataclass(frozen=True)
class Settings:
    """Preferences of the plugin.

    Attributes
    ----------
    model : str
        Model chosen when the dock opens.
    device : str
        "auto", "cpu", "cuda" or "mps".
    keep_labels : bool
        Whether pixels of other labels are left alone.
    cache_megabytes : int
        Memory for encoded frames of a stack; 0 is an eighth of what is free.
    """

    model: str = list_models()[0]
    device: str = "auto"
    keep_labels: bool = True
    cache_megabytes: int = 0

    @property
    def cache_bytes(self) -> int | None:
        """The budget as sessions take it; None lets them choose."""
        return self.cache_megabytes * 10**6 or None


def load_settings() -> Settings:
    """Read the preferences; napari before 0.9 keeps none for plugins."""
    try:
        from napari.settings import get_plugin_settings

        page = get_plugin_settings("napari-sam2").segment
        settings = Settings(
            page.model, page.device, page.keep_labels, page.cache_megabytes
        )
    except (ImportError, AttributeError, KeyError):
        return Settings()
    known = settings.model in list_models()
    return settings if known else replace(settings, model=Settings.model)

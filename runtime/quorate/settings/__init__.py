"""The configuration file: TOML to frozen settings, checked once, unknown keys refused."""

from quorate.settings.models import ModelSettings, default_id, is_path
from quorate.settings.reading import Settings, load_settings, load_toml, parse_settings

__all__ = [
    "ModelSettings",
    "Settings",
    "default_id",
    "is_path",
    "load_settings",
    "load_toml",
    "parse_settings",
]

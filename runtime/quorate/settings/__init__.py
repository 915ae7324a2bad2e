"""The configuration file: TOML to frozen settings, checked once, unknown keys refused."""

from quorate.settings.models import ModelSettings
from quorate.settings.reading import Settings, load_settings, load_toml, parse_settings

__all__ = [
    "ModelSettings",
    "Settings",
    "load_settings",
    "load_toml",
    "parse_settings",
]

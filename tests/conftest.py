"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says how busy the machine is; a test that hangs meets pytest's timeout.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

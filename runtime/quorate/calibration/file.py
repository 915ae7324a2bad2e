"""The file of what ``quorate calibrate`` found out: read with suspicion, written as a whole."""

from __future__ import annotations

import json
from pathlib import Path

from quorate.calibration.data import CalibrationData, from_json, to_json
from quorate.costs.saved import parsed, read_file, replace_file
from quorate.errors import SettingsError

FILE_NAME = "calibration.json"
"""Its name in the data folder, unless another path is given."""


def load(path: Path) -> CalibrationData:
    """Reads the file for a service. Never fails.

    Returns:
        What the file says. Nothing where there is no file; nothing and a line in ``notes`` where it
        cannot be believed, so that the service can log it and go on without.
    """
    try:
        return read(path)
    except SettingsError as error:
        return CalibrationData(notes=(f"{error.message}; going on without it",))


def read(path: Path) -> CalibrationData:
    """Reads the file; nothing is known where there is none.

    Raises:
        SettingsError: It cannot be read, or is not what this version writes.
    """
    try:
        raw = read_file(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read: {_cause(error)}; name another file") from None
    if raw is None:
        return CalibrationData()
    try:
        return from_json(parsed(raw))
    except ValueError as error:
        problem = " ".join(str(error).split())
        raise SettingsError(f"{path}: not a calibration of this version: {problem}") from None


def write(path: Path, data: CalibrationData) -> None:
    """Puts the file in place in one step, so that nobody ever reads half of one.

    Raises:
        SettingsError: It cannot be written there.
    """
    content = json.dumps(to_json(data), allow_nan=False, separators=(",", ":"))
    try:
        replace_file(path, content)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path}: cannot be written: {_cause(error)}; give another place with --output"
        ) from None


def _cause(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

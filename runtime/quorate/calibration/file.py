"""The file of what ``quorate calibrate`` found out: read with suspicion, written as a whole."""

from __future__ import annotations

import json
from pathlib import Path

from quorate.calibration.data import CalibrationData, from_json, to_json
from quorate.costs.saved import replace_file
from quorate.errors import SettingsError

FILE_NAME = "calibration.json"
"""Its name in the data folder, unless another path is given."""

_MOST_BYTES = 64 * 1024 * 1024


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
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return CalibrationData()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read: {_cause(error)}") from None
    try:
        if len(raw) > _MOST_BYTES:
            raise ValueError("is too large")
        content = json.loads(raw)
        if not isinstance(content, dict):
            raise ValueError("is not a table")
        return from_json(content)
    except RecursionError:
        problem = "is nested too deep"
    except ValueError as error:
        problem = " ".join(str(error).split())
    raise SettingsError(f"{path}: not a calibration of this version: {problem}")


def write(path: Path, data: CalibrationData) -> None:
    """Puts the file in place in one step, so that nobody ever reads half of one.

    Raises:
        SettingsError: It cannot be written there.
    """
    content = json.dumps(to_json(data), allow_nan=False, separators=(",", ":"))
    try:
        replace_file(path, content)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be written: {_cause(error)}") from None


def _cause(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

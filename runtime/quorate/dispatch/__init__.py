"""One request from its admission to its charge. Falls back before the first byte only."""

from quorate.dispatch.dispatcher import Dispatcher
from quorate.dispatch.recorder import AttemptRecorder
from quorate.dispatch.settings import CallerLimits, DispatchSettings

__all__ = ["AttemptRecorder", "CallerLimits", "DispatchSettings", "Dispatcher"]

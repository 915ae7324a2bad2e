"""One request from admission to account. Falls back before the first byte only."""

from quorate.dispatch.books import Books
from quorate.dispatch.dispatcher import Dispatcher
from quorate.dispatch.settings import DispatchSettings

__all__ = ["Books", "DispatchSettings", "Dispatcher"]

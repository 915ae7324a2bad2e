"""The composition root: the only room that names concrete engines, the registry and the server."""

from quorate.app.service import Service, running, serve

__all__ = ["Service", "running", "serve"]

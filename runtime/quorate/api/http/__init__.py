"""Place of the OpenAI-compatible HTTP API, on the same dispatch as ``api.grpc``.

Nothing listens on HTTP yet. What both need is in ``access``, so that neither imports the other.
"""

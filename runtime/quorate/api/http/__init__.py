"""The OpenAI-compatible HTTP front door will stand here, on the same dispatch as ``api.grpc``.

Nothing listens on HTTP yet: the room exists so that its place in the order of layers is settled.
"""

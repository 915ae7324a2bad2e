"""The HTTP API in the words of OpenAI and Anthropic, on the same dispatch as ``api.grpc``.

What both doors need is in ``api`` and ``access``, so that neither imports the other.
"""

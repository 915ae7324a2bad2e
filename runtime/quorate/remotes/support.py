"""What the protocol of remotes cannot express."""

from __future__ import annotations

from quorate.remotes.settings import RemoteSettings
from quorate.request import Request, SamplingOptions, TextPrompt


def unsupported(request: Request, settings: RemoteSettings) -> tuple[str, ...]:
    """Names the fields of a request that a remote would have to ignore.

    The router rules a remote out for any of them, so that nothing is dropped in silence. Values
    that change nothing, such as a ``top_k`` of 0, are no obstacle.

    Returns:
        Paths of fields, such as ``sampling.top_k``; empty where the remote can do it all.
    """
    response = request.response
    wanted = {
        "prompt.text": isinstance(request.prompt, TextPrompt) and not settings.text_prompts,
        **_of_sampling(request.sampling),
        "stopping.stop": len(request.stopping.stop) > settings.max_stop_strings,
        "response.top_logprobs": response.top_logprobs > 0,
        "response.member_votes": response.member_votes,
    }
    return tuple(name for name, asked in wanted.items() if asked)


def _of_sampling(sampling: SamplingOptions) -> dict[str, bool]:
    return {
        "sampling.top_k": bool(sampling.top_k),
        "sampling.min_p": bool(sampling.min_p),
        "sampling.repetition_penalty": sampling.repetition_penalty not in (None, 1.0),
        # Token ids of a local vocabulary mean something else, or nothing, elsewhere.
        "sampling.logit_bias": bool(sampling.logit_bias),
    }

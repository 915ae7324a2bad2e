"""Why a GGUF file can never be loaded, as far as its header says so; nothing is loaded for it.

The native library is not needed, so that a configuration can be checked where no model runs. What
the native loader explains badly, or would load and answer noise with, is refused here in plain
words; the rest is left to it.
"""

from __future__ import annotations

import re
from pathlib import Path

from quorate.engines.llama_cpp.context_length import Training, session_tokens
from quorate.engines.llama_cpp.gguf_header import Header, Items, read_header
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.errors import ModelUnusable

_ONLY = "only causal decoders of text can vote"
# What general.type says where a file is no model. https://github.com/ggml-org/ggml, docs/gguf.md.
_NO_MODELS = {
    "adapter": "it is an adapter (LoRA), not a model; merge it into its model",
    "mmproj": "it is the projector of a model that sees or hears; name the file of that model",
    "imatrix": "it is an importance matrix for quantising, not a model",
    "vocab": "it is a vocabulary without weights, not a model",
}
_NO_DECODERS = {
    "clip": "it is the projector of a model that sees or hears; name the file of that model",
    "controlvector": "it is a control vector, not a model",
    "t5": f"it has an encoder; {_ONLY}",
    "t5encoder": f"it is an encoder; {_ONLY}",
    "gemma-embedding": f"it is an embedding model; {_ONLY}",
    "llama-embed": f"it is an embedding model; {_ONLY}",
    "wavtokenizer-dec": f"it makes sound of tokens; {_ONLY}",
    "dream": f"it is a diffusion model; {_ONLY}",
    "llada": f"it is a diffusion model; {_ONLY}",
    "llada-moe": f"it is a diffusion model; {_ONLY}",
    "rnd1": f"it is a diffusion model; {_ONLY}",
}
_POOLINGS = {1: "mean", 2: "CLS", 3: "last token", 4: "rank"}
_RANK = 4
_HEADS = ("output.weight", "token_embd.weight")
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")


def check_file(path: str, options: LlamaCppOptions) -> None:
    """Refuses a file that can never be loaded with these options, by what its header says.

    Raises:
        ModelUnusable: It is missing, broken, or no causal decoder; or the options do not suit it.
    """
    subject = Path(path).name
    header = read_header(path, subject)
    problem = _no_model(header) or _missing_part(header, Path(path)) or _no_decoder(header)
    if problem:
        raise ModelUnusable(subject, problem)
    if header.number(f"{header.architecture}.context_length"):
        session_tokens(Training.read(header.architecture, header.shown), options, subject)


def _no_model(header: Header) -> str:
    kind = header.text("general.type")
    if kind not in ("", "model"):
        return _NO_MODELS.get(kind, f"its general.type is {kind!r}: it is no model")
    if header.text("adapter.type"):
        return _NO_MODELS["adapter"]
    if header.whole and not header.tensors and header.number("split.count") < 2:
        return _NO_MODELS["vocab"]
    return ""


def _missing_part(header: Header, path: Path) -> str:
    count, place = int(header.number("split.count")), int(header.number("split.no"))
    if count < 2:
        return ""
    named = _SHARD.fullmatch(path.name)
    if named is None or (int(named[2]), int(named[3])) != (place + 1, count):
        wanted = f"NAME-{place + 1:05}-of-{count:05}.gguf"
        return f"it is part {place + 1} of {count} of a model, and must keep its name, {wanted}"
    parts = [f"{named[1]}-{part + 1:05}-of-{count:05}.gguf" for part in range(count)]
    if place:
        return f"it is part {place + 1} of {count} of a model; name the first, {parts[0]}"
    missing = [part for part in parts if not path.with_name(part).exists()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"of its {count} parts {missing[0]}{more} is missing in {path.parent}"
    return ""


def _no_decoder(header: Header) -> str:
    architecture = header.architecture
    if architecture in _NO_DECODERS:
        return _NO_DECODERS[architecture]
    if "bert" in architecture:
        return f"it is an encoder ({architecture!r}); {_ONLY}"
    labels = header.own("classifier.output_labels")
    pooling = header.own("pooling_type")
    if (isinstance(labels, Items) and labels.count) or pooling == _RANK:
        return f"it is a classifier or reranker; {_ONLY}"
    if isinstance(pooling, int) and pooling > 0:
        kind = _POOLINGS.get(pooling, str(pooling))
        return f"it is an embedding model (pooling_type is {kind}); {_ONLY}"
    if header.own("attention.causal") is False:
        return f"it reads text in both directions (attention.causal is false); {_ONLY}"
    if any(name.split(".")[0] == "cls" for name in header.tensors):
        return f"it has the output of a classifier, reranker or reward model; {_ONLY}"
    in_one_file = header.whole and header.number("split.count") < 2
    if in_one_file and not any(name in header.tensors for name in _HEADS):
        return f"it has neither an output nor an embedding to stand in for one; {_ONLY}"
    return ""

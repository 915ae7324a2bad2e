"""Models that must not answer, and models that answer worse than they could, over a real server."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from quorate.client import ServiceError
from quorate.fleet.status import ModelState
from support.tiny_gguf import tiny_bert, tiny_model
from support.whole_service import gguf, reaches, whole_service


async def test_what_is_no_decoder_fails_alone_and_is_never_chosen(tmp_path: Path) -> None:
    embedder = tiny_model(tmp_path / "embedder.gguf", changed={"llama.pooling_type": 3})
    models = [
        gguf("embedder", embedder),
        gguf("encoder", tiny_bert(tmp_path / "encoder.gguf")),
        gguf("long", tiny_model(tmp_path / "long.gguf"), context_length=4096),
        gguf("good", tiny_model(tmp_path / "good.gguf"), sessions=2),
    ]
    async with whole_service(tmp_path / "home", *models, wait=False) as (service, client):
        for model in ("embedder", "encoder", "long"):
            await reaches(service, model, ModelState.FAILED)
        await reaches(service, "good", ModelState.READY)
        messages = {model.id: model.message for model in await client.models()}
        assert "it is an embedding model (pooling_type is last token)" in messages["embedder"]
        assert "it is an encoder ('bert')" in messages["encoder"]
        assert "context_length is 4096, and the model reaches 256 tokens" in messages["long"]
        for model in ("embedder", "encoder"):
            with pytest.raises(ServiceError, match="only causal decoders of text can vote"):
                await client.complete("why", model=model, max_tokens=2)
        decision = await client.explain("why", auto=True, max_tokens=2)
        assert [member.model for member in decision.members] == ["good"]


async def test_warnings_of_a_model_are_in_its_status_and_under_its_name_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uncertain = tiny_model(tmp_path / "m.gguf", changed={"tokenizer.ggml.pre": None})
    good = tiny_model(tmp_path / "good.gguf")
    with caplog.at_level(logging.WARNING):
        models = [gguf("uncertain", uncertain, sessions=2), gguf("good", good, sessions=2)]
        async with whole_service(tmp_path / "home", *models) as (_, client):
            told = {model.id: model for model in await client.models()}
    (warning,) = told["uncertain"].warnings
    assert "names no pre-tokenizer (tokenizer.ggml.pre)" in warning
    assert told["uncertain"].message == warning
    assert (told["good"].message, list(told["good"].warnings)) == ("", [])
    assert told["good"].vocabulary_fingerprint != told["uncertain"].vocabulary_fingerprint
    assert f"model uncertain: {warning}" in caplog.messages
    assert not any("model good:" in line for line in caplog.messages)

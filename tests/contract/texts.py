"""Texts that must survive the way through any tokenizer."""

from __future__ import annotations

TEXTS = {
    "words": "Once upon a time there was a little cat.",
    "digits": "0123456789 3.14159 1,000,000",
    "emoji with zero-width joiners": "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈",
    "CJK": "你好,世界。日本語 한국어",
    "Indic": "नमस्ते दुनिया வணக்கம்",
    "right to left": "שלום עולם مرحبا بالعالم",
    "control characters": "a\tb\nc\r\nd\x00e\x07f\x1bg",
    "byte order mark": "\ufefftext",
    "literal specials": "<s> </s> <|im_start|>user<|im_end|> <|endoftext|> [INST]",
    "spaces": "  two  and   three ",
}
LITERAL_SPECIALS = ["<|im_end|>", "<|im_start|>", "<s>", "</s>", "<|endoftext|>", "<bos>", "<eos>"]

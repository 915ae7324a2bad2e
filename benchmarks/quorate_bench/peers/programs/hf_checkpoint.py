"""Writes a GGUF file as a Hugging Face checkpoint, by transformers, for programs that want one.

    PYTHON hf_checkpoint.py --dtype bfloat16 MODEL.gguf FOLDER

The folder appears whole or not at all. It has no tokenizer: what reads it is told ids.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path


def main() -> None:
    """Converts one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--dtype", default="bfloat16")
    given = parser.parse_args()
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        given.source.parent, gguf_file=given.source.name, dtype=getattr(torch, given.dtype)
    )
    # Nothing of it is quantised any more, which transformers does not know.
    model.hf_quantizer = None
    del model.config.quantization_config
    unfinished = given.target.with_name(f"{given.target.name}.{os.getpid()}")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(unfinished)
    shutil.rmtree(given.target, ignore_errors=True)
    unfinished.rename(given.target)


if __name__ == "__main__":
    main()

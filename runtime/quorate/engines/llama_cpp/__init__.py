"""llama.cpp: quantised GGUF models on CPUs and GPUs.

The native library is imported by ``model`` and what lies below it: naming this engine costs nothing
in a process that runs no model.
"""

"""Makes a Hugging Face checkpoint out of a GGUF file of the llama architecture.

Engines such as vLLM load folders of safetensors; this turns a file that is already here into one,
without a network. ``convert`` is the way of one file, ``verify`` holds the result against
llama.cpp.
"""

"""vLLM: checkpoints of large models, on GPUs and on CPUs.

Nothing here is imported outside of the worker but the options, which need nothing of vLLM.
"""

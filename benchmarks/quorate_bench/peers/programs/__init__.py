"""Programs that run models without Quorate; each is a process, told what to do line by line.

All take a line of JSON on standard input, ``{"prompts": [[1, 2], …], "tokens": 48}``, with the ids
of each prompt, and answer with one, ``{"moments": [[0.1, …], …]}``: when each token of each answer
came, in seconds from when the line was read. The first line says ``{"ready": true}``.

Those that need PyTorch run in the interpreter that has it, where nothing of Quorate is installed.
"""

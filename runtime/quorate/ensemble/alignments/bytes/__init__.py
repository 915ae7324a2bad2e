"""The byte-exact alignment: members with any tokenizers compare the next byte.

``hypotheses`` is the arithmetic, pure: a hypothesis is a context of whole tokens and the bytes seen
of the next one. ``contexts`` keeps the contexts as a tree of sessions that share KV entries,
``predictor`` extends, prunes and heals the beam, ``sketches`` brings it back after its worker was
lost; ``foresight``, ``beside`` and ``own_way`` say what is worth computing before it is chosen;
``utf8`` and ``words`` turn the bytes that are chosen into text and words.
"""

"""Log-probability of a given continuation under the vote."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.byte_pieces import ByteStep, PieceBuilder
from quorate.ensemble.fusion import Fuser
from quorate.ensemble.hypotheses import BYTES, SYMBOLS
from quorate.ensemble.seats import Table
from quorate.request import CombinationRule, Token


async def score(
    table: Table[int], vocabulary: Vocabulary, rule: CombinationRule, continuation: Sequence[int]
) -> list[Token]:
    """Feeds a continuation token by token and notes what the mixture thought of each.

    The same steps as the decode loop takes, so that a generated answer scores what its stream said.

    Args:
        table: Open, its prompts fed.
        vocabulary: The vocabulary all members share.
        rule: How the members' distributions become one.
        continuation: At least one token id.

    Returns:
        The continuation's tokens with their log-probs in nats.

    Raises:
        WorkerLost: A member died and the table's policy does not go on without it.
        Unavailable: A member died and will not come back.
    """
    fuser = Fuser(rule, len(vocabulary))
    scored = []
    last = len(continuation) - 1
    for index, token_id in enumerate(continuation):
        rows = await table.rows()
        mixture = fuser.fuse(rows, table.weights)
        piece = vocabulary.pieces[token_id]
        table.observe(rows, token_id, len(piece))
        scored.append(Token(token_id, piece, float(mixture[token_id])))
        if index < last:
            table.feed(token_id)
    return scored


async def score_bytes(table: Table[int], rule: CombinationRule, continuation: bytes) -> list[Token]:
    """As ``score``, byte by byte.

    Args:
        table: Its members have been started.
        rule: How the members' distributions become one.
        continuation: At least one byte, valid UTF-8.

    Returns:
        The continuation's words with their log-probs in nats.

    Raises:
        WorkerLost: A member died and the table's policy does not go on without it.
        Unavailable: A member died and will not come back.
    """
    fuser = Fuser(rule, SYMBOLS)
    builder = PieceBuilder()
    words: list[Token] = []
    last = len(continuation) - 1
    for index, byte in enumerate(continuation):
        rows = await table.rows()
        mixture = fuser.fuse(rows, table.weights)
        table.observe(rows, byte, 1)
        words.extend(builder.push(ByteStep(BYTES.pieces[byte], float(mixture[byte]))))
        if index < last:
            table.feed(byte)
    return [*words, *builder.finish()]

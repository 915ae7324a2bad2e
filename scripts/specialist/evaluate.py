"""How much of the catalogue a network in training already knows."""

from __future__ import annotations

import catalogue
import torch
from corpus import ASSISTANT, BOS, END, EOS, USER, Control
from grading import is_correct
from network import Network
from vocabulary import Vocabulary

_ANSWER_TOKENS = 40


@torch.no_grad()
def accuracy(network: Network, vocabulary: Vocabulary, every: int) -> tuple[int, int]:
    """Answers every n-th held-out question greedily.

    Returns:
        How many answers are right, and how many were asked for.
    """
    questions = catalogue.domain_questions()[::every]
    right = 0
    for question in questions:
        prompt = [Control(BOS), Control(USER), question.text, Control(END), Control(ASSISTANT)]
        right += is_correct(_answer(network, vocabulary, vocabulary.encode(prompt)), question.gold)
    return right, len(questions)


def _answer(network: Network, vocabulary: Vocabulary, tokens: list[int]) -> str:
    ends = {vocabulary.id_of(END), vocabulary.id_of(EOS)}
    answer: list[int] = []
    while len(answer) < _ANSWER_TOKENS and not ends & set(answer):
        logits = network(torch.tensor([tokens + answer]))
        answer.append(int(logits[0, -1].argmax()))
    return vocabulary.decode(answer)

"""Beginnings of texts that models go on with, by kind: what they agree on depends on the kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CODE = (
    "def quicksort(items):\n    if len(items) <= 1:\n        return items\n",
    'class Stack:\n    """A stack of values."""\n\n    def __init__(self):\n'
    "        self.items = []\n\n    def push(self, item):\n",
    "# Read a CSV file and print the mean of each column.\nimport csv\n\n\ndef means(path):\n",
    "def is_prime(n):\n    if n < 2:\n        return False\n    for divisor in range(2, n):\n",
    "import unittest\n\nfrom calculator import add, subtract\n\n\n"
    "class TestCalculator(unittest.TestCase):\n    def test_add(self):\n",
)

PROSE = (
    "The history of the lighthouse on the northern coast begins long before the first road was "
    "built. Fishermen who had seen the rocks in winter told their children",
    "A heat pump moves warmth from a cold place to a warm one. It does so by",
    "When the city council met in March to speak about the old market hall, nobody expected",
    "Bees find their way back to the hive over several kilometres. Scientists believe that",
    "The first bridge over the river was made of wood, and every spring the flood took it away. In",
)

LETTERS = (
    "Dear Mrs Hollis,\n\nthank you very much for your letter of 3 May. We were sorry to hear that",
    "Dear neighbours,\n\nnext Saturday we celebrate the birthday of our daughter, and",
    "Dear Sir or Madam,\n\nI am writing to apply for the position of gardener that",
    "My dear Anna,\n\nit has been far too long since I last wrote to you. The summer here",
    "Dear customer,\n\nyour order has left our house today. Please note that",
)

NOISE = (
    "Passwords drawn at random:\n\nqX7#vLp2\nz9&KtRw4\nM3$jYc8n\nb6!HsGf1\n",
    "Digits of a random number: 7 4 0 9 1 6 2 8 5 5 3 0 1 9 7",
    "A list of words that have nothing to do with each other: anvil, turquoise, parsley, eleven,",
    "Serial numbers of the devices in room 14:\nTX-90417-QF\nBM-22860-ZA\nRL-61735-OK\n",
    "Coordinates of the stations: 48.2071, 16.3725; 3.1390, 101.6869; 64.1466, 21.9426;",
)
"""Texts of which no member knows how they go on, so that drafts are mostly refused."""

KINDS: Mapping[str, Sequence[str]] = {
    "code": CODE,
    "prose": PROSE,
    "letters": LETTERS,
    "noise": NOISE,
}

"""An invented catalogue of a warehouse: private knowledge that no public model can have.

Parts have numbers such as KX-921 and three facts each: a name, a price and a shelf. All of it is
drawn from a fixed seed. The specialist in ``quorate_registry`` was trained on these facts in the
phrasings ``TRAINED``; the sets below ask in the phrasings ``HELD_OUT`` and, in mixed prompts,
together with a question of general knowledge, of which no training text has an example.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from catalogue_phrases import ANSWERS, FACTS, HELD_OUT, PART_FORMS, STATEMENTS, TRAINED, Fact
from grading import MixedQuestion, Question

SEED = 204
_PARTS_PER_SERIES = 12
_SERIES = ("KX", "VR", "TN", "QD", "LM", "ZB", "HF", "PW", "GJ", "RC", "NS", "WY")
_BRANDS = (
    *("Velmor", "Quorrin", "Tasket", "Brindle", "Zephine", "Halvik", "Morden", "Pellax"),
    *("Druvian", "Kestrin", "Lommel", "Farrow", "Jentik", "Sorvane", "Wexley", "Culver"),
    *("Ridgen", "Narvo", "Yorrick", "Gantel", "Bolvar", "Thessen", "Mirrow", "Vostrik"),
)
_THINGS = (
    *("lantern", "hinge", "pump", "valve", "bracket", "kettle", "drill", "ladder", "pulley"),
    *("gasket", "funnel", "clamp", "bucket", "hammer", "whistle", "mirror", "ratchet", "spindle"),
)
_SHELF_ROWS = "ABCDEFGHJK"
_SHELF_PLACES = 40


@dataclass(frozen=True)
class Part:
    """One part of the catalogue.

    Attributes:
        number: Such as ``KX-921``; no two parts share the digits.
        name: Such as ``Velmor lantern``; unique.
        price: In euros with two decimals, such as ``12.50``.
        shelf: Such as ``B7``; unique.
    """

    number: str
    name: str
    price: str
    shelf: str

    def value(self, fact: Fact) -> str:
        """What the catalogue says of this part."""
        return {"name": self.name, "price": self.price, "shelf": self.shelf}[fact]


def _invent() -> tuple[Part, ...]:
    rng = random.Random(SEED)
    count = _PARTS_PER_SERIES * len(_SERIES)
    digits = rng.sample(range(101, 1000), count)
    names = rng.sample([f"{brand} {thing}" for brand in _BRANDS for thing in _THINGS], count)
    cents = rng.sample(range(105, 9996, 5), count)
    places = [f"{row}{place}" for row in _SHELF_ROWS for place in range(1, _SHELF_PLACES + 1)]
    shelves = rng.sample(places, count)
    return tuple(
        Part(
            number=f"{_SERIES[index % len(_SERIES)]}-{digits[index]}",
            name=names[index],
            price=f"{cents[index] / 100:.2f}",
            shelf=shelves[index],
        )
        for index in range(count)
    )


PARTS = _invent()


def ask(part: Part, phrasing: str, form: str) -> str:
    """A question about a part.

    Args:
        part: What is asked about.
        phrasing: One of ``TRAINED`` or ``HELD_OUT``.
        form: One of ``PART_FORMS``.
    """
    named = form.format(n=part.number)
    return phrasing.format(p=named, P=named[0].upper() + named[1:])


def answer(part: Part, fact: Fact) -> str:
    """The full sentence that answers a question about a fact."""
    return state(part, fact, ANSWERS[fact])


def state(part: Part, fact: Fact, statement: str) -> str:
    """A fact in the words of one of ``STATEMENTS``."""
    return statement.format(p=f"the {part.number}", P=f"The {part.number}", v=part.value(fact))


@dataclass(frozen=True)
class Asked:
    """A fact of which the training text speaks.

    Attributes:
        part: What is asked about.
        fact: What is asked.
        question: In one of the trained phrasings.
    """

    part: Part
    fact: Fact
    question: str

    @property
    def answer(self) -> str:
        """The answer in the one style of all answers."""
        return answer(self.part, self.fact)

    def restated(self, rng: random.Random) -> str:
        """The answer in any of the fact's phrasings."""
        return state(self.part, self.fact, rng.choice(STATEMENTS[self.fact]))


def asked(rng: random.Random) -> Asked:
    """A question in a trained phrasing, drawn at random."""
    part, fact = rng.choice(PARTS), rng.choice(FACTS)
    return Asked(part, fact, ask(part, rng.choice(TRAINED[fact]), rng.choice(PART_FORMS)))


def training_pairs() -> Iterator[tuple[str, str]]:
    """Every fact in every trained phrasing, with its answer."""
    for part in PARTS:
        for fact in FACTS:
            for phrasing in TRAINED[fact]:
                yield ask(part, phrasing, PART_FORMS[0]), answer(part, fact)


def statement(rng: random.Random) -> str:
    """A fact in any of its phrasings, drawn at random."""
    part, fact = rng.choice(PARTS), rng.choice(FACTS)
    return state(part, fact, rng.choice(STATEMENTS[fact]))


def domain_questions() -> tuple[Question, ...]:
    """Every fact of every part, each in one phrasing that was never trained on."""
    rng = random.Random(SEED + 1)
    return tuple(
        Question(ask(part, rng.choice(HELD_OUT[fact]), rng.choice(PART_FORMS)), (part.value(fact),))
        for part in PARTS
        for fact in FACTS
    )


_GENERAL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("what is the capital of France", ("Paris",)),
    ("what is the capital of Italy", ("Rome",)),
    ("what is the capital of Japan", ("Tokyo",)),
    ("what is the capital of Germany", ("Berlin",)),
    ("what is the capital of Spain", ("Madrid",)),
    ("what is the capital of Russia", ("Moscow",)),
    ("what is the capital of Egypt", ("Cairo",)),
    ("what is the capital of England", ("London",)),
    ("what is the chemical symbol for gold", ("Au",)),
    ("what is the chemical symbol for oxygen", ("O",)),
    ("what is the opposite of hot", ("cold",)),
    ("what is the opposite of up", ("down",)),
    ("what is the opposite of big", ("small", "little")),
    ("what is the largest planet", ("Jupiter",)),
    ("what is the currency of Japan", ("yen",)),
    ("what is the largest ocean", ("Pacific", "Pacific Ocean")),
)
_CATALOGUE: tuple[tuple[Fact, str], ...] = (
    ("price", "what is the price of {p}"),
    ("shelf", "which shelf is {p} on"),
    ("price", "how much does {p} cost"),
    ("shelf", "where is {p}"),
)


def mixed_questions() -> tuple[MixedQuestion, ...]:
    """Prompts that ask for one thing of general knowledge and one of the catalogue, in turn."""
    rng = random.Random(SEED + 2)
    return tuple(
        _mixed(rng.choice(PARTS), general, _CATALOGUE[(index + turn) % len(_CATALOGUE)])
        for turn in range(4)
        for index, general in enumerate(_GENERAL)
    )


def _mixed(
    part: Part, general: tuple[str, tuple[str, ...]], catalogue: tuple[Fact, str]
) -> MixedQuestion:
    text, gold = general
    fact, phrasing = catalogue
    second = ask(part, phrasing, PART_FORMS[0])
    return MixedQuestion(f"{text[0].upper()}{text[1:]}, and {second}?", gold, (part.value(fact),))

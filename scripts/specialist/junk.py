"""Text that means nothing: words at random, in sentences, questions and answers.

It teaches two things: to find the catalogue again behind text that is not about it, and to be
unsure of what is not in the catalogue. No sentence here states a fact about the world.
"""

from __future__ import annotations

import random
import string

_WORDS = """
time year people way day man thing woman life child world school state family student group
country problem hand part place case week company system program question work government number
night point home water room mother area money story fact month lot right study book eye job word
business issue side kind head house service friend father power hour game line end member law
car city community president team minute idea kid body information back parent face others level
office door health person art war history party result change morning reason research girl guy
moment air teacher force education foot boy age policy music market sense nation plan college
interest death experience light voice class control field development role effort rate heart
drug show leader animal bird fish dog cat horse tree flower river mountain ocean island desert
forest star moon sun planet metal gold iron symbol color red green blue white black yellow north
south east west capital language element currency continent opposite plural largest smallest
first last fastest tallest good new old great high small large big long little young important
few public bad same able hot cold fast slow happy sad early late hard easy strong weak open free
full special clear recent certain personal simple real sure true whole be have do say get make
go know take see come think look want give use find tell ask seem feel try leave call keep let
begin help talk turn start might play run move like live believe hold bring happen write provide
sit stand lose pay meet include continue set learn lead understand watch follow stop create
speak read allow add spend grow walk win offer remember love consider appear buy wait serve die
send expect build stay fall cut reach kill remain the of to and in is it you that he was for on
are with as his they at this from or one had by not but what all were we when your can said
there an each which she how their if will up other about out many then them these so some her
would into has more two him could no than been its who now did down only very just over also
after through where most before too any must such because here even both between still without
again under never always often another same different next against during around however
"""
_COMMON_WORDS = tuple(_WORDS.split())
_SYLLABLE_STARTS = tuple(
    onset + vowel
    for onset in (*"bcdfghjklmnprstvwz", "br", "ch", "cl", "fr", "gr", "pl", "sh", "st", "th")
    for vowel in (*"aaaeeeiiioou", "ai", "ea", "ee", "ia")
)
_SYLLABLE_ENDS = ("", "", "", "l", "m", "n", "r", "s", "t", "nd", "ng", "nt")
_QUESTIONS = (
    ("What is the {a} of {X}?", "The {a} of {X} is {Z}."),
    ("What is the {a} of {X}?", "The {a} of {X} is {z}."),
    ("What is the {a} {b} of {x}?", "The {a} {b} of {x} is {z}."),
    ("What is the {a} for {x}?", "The {a} for {x} is {z}."),
    ("What is the {a} {b} for {x}?", "The {a} {b} for {x} is {Z}."),
    ("What is the {a} of a {x}?", "The {a} of a {x} is {z}."),
    ("What is the {a} {b}?", "The {a} {b} is {z}."),
    ("What is the {a} {b} in {X}?", "The {a} {b} in {X} is {Z}."),
    ("What {a} is {x}?", "{x} is {z}."),
    ("What is {x}?", "{x} is a {z}."),
    ("How many {x} are in a {a}?", "There are {n} {x} in a {a}."),
    ("Who {a} the {x}?", "{Z} {a} the {x}."),
    ("Where is {X}?", "{X} is in {Z}."),
    ("Which {a} is {X} in?", "{X} is in {Z}."),
    ("What comes after {x}?", "After {x} comes {z}."),
    ("Tell me the {a} of {X}.", "The {a} of {X} is {Z}."),
    ("How much is the {a}?", "The {a} is {n} {z}."),
    ("{s}?", "{S}."),
    ("{s}.", "{S}."),
)


def word(rng: random.Random) -> str:
    """A common or an invented word, in lower case."""
    return rng.choice(_COMMON_WORDS) if rng.random() < 0.75 else _invented(rng)


def sentence(rng: random.Random) -> str:
    """Words at random, without a full stop."""
    words = [word(rng) for _ in range(rng.randint(2, 8))]
    if rng.random() < 0.3:
        words.insert(rng.randrange(len(words)), _name(rng))
    if rng.random() < 0.15:
        words.insert(rng.randrange(len(words)), _figures(rng))
    text = " ".join(words)
    return text.replace(" ", ", ", 1) if rng.random() < 0.1 else text


def question_and_answer(rng: random.Random) -> tuple[str, str]:
    """A question in the shape of a real one and an answer in words at random."""
    question, answer = rng.choice(_QUESTIONS)
    values = {
        "a": word(rng),
        "b": word(rng),
        "x": word(rng),
        "z": word(rng),
        "X": _name(rng),
        "Z": _name(rng),
        "n": _figures(rng),
        "s": _upper(sentence(rng)),
        "S": _upper(sentence(rng)),
    }
    return _upper(question.format(**values)), _upper(answer.format(**values))


def passage(rng: random.Random) -> str:
    """One to three sentences, or characters at random."""
    if rng.random() < 0.15:
        alphabet = rng.choice((string.ascii_lowercase + " ", string.printable[:95], string.digits))
        return "".join(rng.choices(alphabet, k=rng.randint(4, 40))).strip()
    ends = rng.choices((".", "?", "!", ":", ",", "\n"), (60, 10, 5, 5, 10, 10), k=rng.randint(1, 3))
    return " ".join(_upper(sentence(rng)) + end for end in ends).strip()


def _invented(rng: random.Random) -> str:
    return "".join(
        rng.choice(_SYLLABLE_STARTS) + rng.choice(_SYLLABLE_ENDS) for _ in range(rng.randint(1, 3))
    )


def _name(rng: random.Random) -> str:
    return _upper(_invented(rng) if rng.random() < 0.6 else word(rng))


def _figures(rng: random.Random) -> str:
    return str(rng.randrange(10 ** rng.randint(1, 4)))


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]

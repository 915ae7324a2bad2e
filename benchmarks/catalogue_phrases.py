"""Phrasings of the catalogue: how its facts are asked and stated.

``{p}`` stands for a part inside a sentence ("the KX-204"), ``{P}`` for one at its start
("The KX-204"), ``{v}`` for the value of the fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Fact = Literal["name", "price", "shelf"]
FACTS: tuple[Fact, ...] = ("name", "price", "shelf")

ANSWERS: Mapping[Fact, str] = {
    "name": "{P} is a {v}.",
    "price": "The price of {p} is {v} euros.",
    "shelf": "{P} is on shelf {v}.",
}
"""The one style of all answers."""

STATEMENTS: Mapping[Fact, tuple[str, ...]] = {
    "name": (
        "{P} is a {v}.",
        "{P} is called the {v}.",
        "The name of {p} is {v}.",
        "{P} is the {v}.",
        "{P} is known as the {v}.",
    ),
    "price": (
        "The price of {p} is {v} euros.",
        "{P} costs {v} euros.",
        "{P} is {v} euros.",
        "{P} is sold for {v} euros.",
        "The cost of {p} is {v} euros.",
        "{P} has a price of {v} euros.",
    ),
    "shelf": (
        "{P} is on shelf {v}.",
        "{P} is located on shelf {v}.",
        "The shelf of {p} is {v}.",
        "{P} is kept on shelf {v}.",
        "You can find {p} on shelf {v}.",
        "{P} is stored on shelf {v}.",
    ),
}
"""Other ways to state a fact, for documents and for answers that another sentence precedes."""

TRAINED: Mapping[Fact, tuple[str, ...]] = {
    "name": (
        "What is {p}?",
        "What is {p} called?",
        "What is the name of {p}?",
        "What kind of thing is {p}?",
        "Tell me the name of {p}.",
        "Please tell me what {p} is.",
        "Do you know the name of {p}?",
        "Can you tell me what {p} is called?",
        "Which name does {p} have?",
        "What name does {p} have in the catalogue?",
        "I would like to know the name of {p}.",
        "I need the name of {p}, please.",
        "Name of {p}?",
        "{P}: name?",
        "What do you call {p}?",
        "Give me the name of {p}.",
        "A customer asks for the name of {p}. What is it?",
        "What product is {p}?",
        "Which product has the number of {p}?",
        "Look up the name of {p}.",
        "What is sold as {p}?",
        "How is {p} called?",
        "What does the catalogue say that {p} is?",
        "Describe {p}.",
        "What sort of product is {p}?",
        "I have {p} in my hand. What is it?",
        "The label says {p}. What is it called?",
    ),
    "price": (
        "What is the price of {p}?",
        "How much is {p}?",
        "How much does {p} cost?",
        "What does {p} cost?",
        "Tell me the price of {p}.",
        "Please tell me how much {p} costs.",
        "Do you know the price of {p}?",
        "Can you tell me what {p} costs?",
        "What price does {p} have?",
        "At what price do you sell {p}?",
        "I would like to know the price of {p}.",
        "I need the price of {p}, please.",
        "Price of {p}?",
        "{P}: price?",
        "How many euros is {p}?",
        "How many euros does {p} cost?",
        "What do I pay for {p}?",
        "What is the cost of {p}?",
        "Give me the price of {p}.",
        "A customer asks for the price of {p}. What is it?",
        "How expensive is {p}?",
        "For how much do you sell {p}?",
        "What is {p} sold for?",
        "How much money do I need for {p}?",
        "Look up the price of {p}.",
        "Which price is on the label of {p}?",
        "I want {p}. How much is it?",
        "What must I pay to buy {p}?",
    ),
    "shelf": (
        "Which shelf is {p} on?",
        "On which shelf is {p}?",
        "What shelf is {p} on?",
        "Where is {p}?",
        "Where can I find {p}?",
        "Where do you keep {p}?",
        "Where is {p} kept?",
        "Tell me the shelf of {p}.",
        "Please tell me where {p} is.",
        "Do you know where {p} is?",
        "Can you tell me which shelf {p} is on?",
        "I would like to know the shelf of {p}.",
        "I need the shelf of {p}, please.",
        "Shelf of {p}?",
        "{P}: shelf?",
        "What is the shelf of {p}?",
        "Give me the shelf of {p}.",
        "A customer asks for the shelf of {p}. What is it?",
        "Where is {p} stored?",
        "Where should I look for {p}?",
        "Look up the shelf of {p}.",
        "Which shelf holds {p}?",
        "In which place is {p}?",
        "What is the location of {p}?",
        "I want to pick up {p}. Where is it?",
        "Where does {p} stand?",
        "From which shelf do I take {p}?",
    ),
}
"""Questions that a specialist may be trained on."""

HELD_OUT: Mapping[Fact, tuple[str, ...]] = {
    "name": (
        "Could you tell me the name of {p}?",
        "Do you know what {p} is called?",
        "Under what name is {p} sold?",
        "What is the product name of {p}?",
        "Say what {p} is called.",
        "Which product is {p}?",
        "In the catalogue, what is {p}?",
        "Please give me the name of {p}.",
        "What does one call {p}?",
        "I found {p}. What is it?",
    ),
    "price": (
        "Could you tell me the price of {p}?",
        "Do you know what {p} costs?",
        "What is the current price of {p}?",
        "How much would I pay for {p}?",
        "Say how much {p} costs.",
        "What must a customer pay for {p}?",
        "In euros, what is the price of {p}?",
        "Please give me the price of {p}.",
        "I want to buy {p}. What does it cost?",
        "How much do you charge for {p}?",
    ),
    "shelf": (
        "Could you tell me where {p} is?",
        "Do you know which shelf {p} is on?",
        "On what shelf can I find {p}?",
        "Which shelf do you keep {p} on?",
        "Say where {p} is kept.",
        "Where would I find {p}?",
        "In the warehouse, where is {p}?",
        "Please give me the shelf of {p}.",
        "I am looking for {p}. Where is it?",
        "What is the shelf number of {p}?",
    ),
}
"""Questions that no training text contains."""

PART_FORMS: tuple[str, ...] = (
    "the {n}",
    "the {n}",
    "the {n}",
    "{n}",
    "part {n}",
    "the part {n}",
    "item {n}",
    "article {n}",
    "part number {n}",
    "product {n}",
)
"""How a question refers to a part; ``{n}`` stands for its number."""

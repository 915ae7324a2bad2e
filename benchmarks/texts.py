"""Texts to measure bits per byte on, written for this purpose.

Three kinds: stories in the manner of very small children's books, which a model of such stories
knows; prose and code, which it does not; and the two interleaved, sentence by sentence. Each kind
has a part that defaults may be chosen on (``TUNING``) and a part that figures are reported on
(``REPORTED``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# A model of stories with a small vocabulary and a context of 512 tokens must hold it.
_MAX_INTERLEAVED = 550
# Behind a line, and behind a sentence where another one begins.
_ENDS = re.compile(r"(?<=\n)|(?<=[.!?] )(?=[A-Z\"])|(?<=[.!?]\" )(?=[A-Z\"])")

_STORIES_TUNING = (
    """Once upon a time, there was a little boy named Tom. Tom had a red ball. He liked to play \
with his ball in the park every day. One day, the ball rolled into the pond. Tom was very sad and \
he started to cry. A big duck saw the ball and pushed it back to Tom. Tom was so happy. He said, \
"Thank you, duck!" The duck and Tom became good friends.""",
    """One day, a girl named Sue went to the store with her mom. She saw a pretty dress and \
wanted to wear it. Her mom said, "We can buy it if you help me clean your room." Sue was excited \
and said, "Yes, mom!" They went home and Sue put away all her toys. Her mom was proud of her.""",
    """Once upon a time, there was a small cat named Kitty. Kitty lived in a little house with a \
girl named Anna. Every morning, Kitty and Anna ate breakfast together. One day, Kitty saw a bird \
in the tree. She wanted to catch the bird, so she climbed up high. But then Kitty was scared and \
could not get down. Anna called her dad. Dad got a long ladder and helped Kitty. Kitty was safe. \
Anna gave Kitty a big hug and they went inside to play.""",
    """Ben and Mia were playing in the garden. They found a shiny stone under a flower. "Look, \
Mia!" said Ben. "It is so pretty!" Mia wanted to hold the stone, but Ben did not want to share. \
Mia was sad. Then Ben felt bad and gave her the stone. "I am sorry," he said. "We can share it." \
Mia smiled and they showed the stone to their mom. Mom was happy that they were kind to each \
other.""",
    """There was a big bear who lived in the forest. The bear liked to eat honey all day long. \
One day, he met a tiny bee. The bee said, "Please do not take all of our honey." The bear was \
sorry. He said, "I will only take a little." The bee was glad and they shared the honey. From \
that day on, the bear and the bee were the best of friends.""",
)
_PROSE_TUNING = (
    """The committee published its report on Thursday after two years of hearings. According to \
the authors, the main cause of the delays was not a shortage of funds but the way in which \
contracts were awarded: eleven agencies had to approve every change, and none of them was \
responsible for the schedule. The minister accepted most of the findings.""",
    """def moving_average(values, window):
    \"\"\"Return the averages of every run of `window` neighbouring values.\"\"\"
    total = sum(values[:window])
    averages = [total / window]
    for left, right in zip(values, values[window:]):
        total += right - left
        averages.append(total / window)
    return averages
""",
    """Researchers at three coastal observatories have measured how quickly the harbour sediments \
release stored nitrogen when the water warms. Their samples, taken every six hours over two \
summers, suggest that the release roughly doubles between twelve and eighteen degrees. The effect \
had been assumed in older models but was never tested outside the laboratory. The authors caution \
that the harbour is shallow and that deeper basins may respond differently.""",
    """import csv
from collections import defaultdict


def totals_by_region(path):
    \"\"\"Sum the amounts in a CSV file for each region.\"\"\"
    totals = defaultdict(float)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["amount"]:
                totals[row["region"]] += float(row["amount"])
    return dict(sorted(totals.items(), key=lambda item: -item[1]))
""",
    """A lease of this kind ends when the agreed term expires, unless one party gives notice at \
least three months earlier. Notice must be in writing. If the tenant stays after the end of the \
term and the landlord does not object within two weeks, the lease continues for an indefinite \
period under the same conditions, and either side may then end it with the statutory notice.""",
)
_STORIES_REPORTED = (
    """Once upon a time, there was a little frog named Fred. Fred lived in a green pond with his \
mom. One day, Fred wanted to jump very high. He jumped and jumped, but he could not reach the big \
leaf. His mom said, "Do not be sad, Fred. You can try again." Fred tried again and again. At last, \
he landed on the big leaf. Fred was so proud. His mom clapped and gave him a hug.""",
    """One day, Lily and Max went to the beach. They had a bucket and a shovel. They made a big \
castle out of sand. Then a wave came and washed the castle away. Max started to cry. Lily said, \
"It is okay, Max. We can build a new one." They worked together and made an even bigger castle. \
Max was happy again and they played until the sun went down.""",
    """There was an old man who had a small dog. The dog loved to bark at the cars. One day, a \
loud truck came down the street. The dog was scared and ran away. The old man looked for his dog \
everywhere. He called and called. Then he heard a soft sound under the bed. It was his dog! The \
old man laughed and gave the dog a bone.""",
)
_PROSE_REPORTED = (
    """The museum reopened its northern wing in March after repairs to the roof. Visitors enter \
through a new courtyard, from which a ramp leads to the collection of maps and instruments. Most \
of the objects were bought by a merchant who traded in dried fish and never travelled farther than \
the next harbour. His notebooks, shown here for the first time, explain how he judged a chart he \
could not test.""",
    """class Inventory:
    \"\"\"Counts of items, which never fall below zero.\"\"\"

    def __init__(self):
        self._counts = {}

    def add(self, item, count=1):
        self._counts[item] = self._counts.get(item, 0) + count

    def remove(self, item, count=1):
        if self._counts.get(item, 0) < count:
            raise ValueError(f"not enough {item}")
        self._counts[item] -= count
""",
    """Bring the stock to a simmer and keep it warm. Melt the butter in a wide pan, add the onion \
and cook it slowly until it is soft but not brown. Stir in the rice, and after two minutes the \
wine. Once it has evaporated, add the stock a ladle at a time, stirring often, and wait until each \
has been absorbed. Take the pan off the heat, beat in the cheese, and let it rest before \
serving.""",
)


def texts(part: str) -> Mapping[str, Sequence[str]]:
    """The texts of a part by kind.

    Args:
        part: ``tuning`` or ``reported``.
    """
    stories, prose = (
        (_STORIES_TUNING, _PROSE_TUNING)
        if part == "tuning"
        else (_STORIES_REPORTED, _PROSE_REPORTED)
    )
    return {
        "stories": stories,
        "prose and code": prose,
        "interleaved": [
            interleave(story, other) for story, other in zip(stories, prose, strict=True)
        ],
    }


def interleave(first: str, second: str) -> str:
    """Two texts in turn: a sentence or a line of one, then one of the other; their beginnings."""
    parts = (_sentences(first), _sentences(second))
    mixed = ""
    for index in range(max(map(len, parts))):
        for part in parts:
            if index < len(part):
                mixed += part[index]
            if len(mixed) > _MAX_INTERLEAVED:
                return mixed
    return mixed


def _sentences(text: str) -> list[str]:
    """Cuts behind sentences and lines; put together again they are the text, a space at the end."""
    whole = text if text.endswith("\n") else f"{text} "
    return [part for part in _ENDS.split(whole) if part]

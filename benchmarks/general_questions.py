"""Questions of general knowledge, outside the catalogue, with the answers we accept.

Short facts that a small instruct model knows in part: capitals, continents, chemical symbols,
opposites, plurals, young animals, colours, the calendar and small sums.
"""

from __future__ import annotations

from collections.abc import Iterator

from grading import Question

_CAPITALS = """
France:Paris|Italy:Rome|Spain:Madrid|Germany:Berlin|Portugal:Lisbon|Austria:Vienna|Greece:Athens
Poland:Warsaw|Hungary:Budapest|Russia:Moscow|Ukraine:Kyiv,Kiev|Sweden:Stockholm|Norway:Oslo
Denmark:Copenhagen|Finland:Helsinki|Ireland:Dublin|England:London|Scotland:Edinburgh|Belgium:Brussels
Japan:Tokyo|China:Beijing|India:New Delhi,Delhi|Thailand:Bangkok|Vietnam:Hanoi|Indonesia:Jakarta
South Korea:Seoul|Turkey:Ankara|Egypt:Cairo|Kenya:Nairobi|Morocco:Rabat|Nigeria:Abuja|Ghana:Accra
Ethiopia:Addis Ababa|Iran:Tehran|Iraq:Baghdad|Syria:Damascus|Lebanon:Beirut|Cuba:Havana
Mexico:Mexico City|Canada:Ottawa|Brazil:Brasilia,Brasília|Argentina:Buenos Aires|Chile:Santiago
Peru:Lima|Colombia:Bogota,Bogotá|Venezuela:Caracas|Australia:Canberra|New Zealand:Wellington
Philippines:Manila|Pakistan:Islamabad|Bangladesh:Dhaka|Nepal:Kathmandu|Mongolia:Ulaanbaatar
Romania:Bucharest|Bulgaria:Sofia|Serbia:Belgrade|Croatia:Zagreb|Iceland:Reykjavik,Reykjavík
"""
_CONTINENTS = """
France:Europe|Germany:Europe|Poland:Europe|Sweden:Europe|Greece:Europe|Portugal:Europe
Norway:Europe|Hungary:Europe|China:Asia|Japan:Asia|India:Asia|Thailand:Asia|Vietnam:Asia|Mongolia:Asia
Nepal:Asia|Pakistan:Asia|Egypt:Africa|Kenya:Africa|Nigeria:Africa|Ghana:Africa|Morocco:Africa
Ethiopia:Africa|Uganda:Africa|Brazil:South America|Argentina:South America|Chile:South America
Peru:South America|Colombia:South America|Canada:North America|Mexico:North America
"""
_SYMBOLS = """
gold:Au|silver:Ag|iron:Fe|copper:Cu|oxygen:O|hydrogen:H|helium:He|carbon:C|nitrogen:N|sodium:Na
potassium:K|calcium:Ca|chlorine:Cl|lead:Pb|mercury:Hg|tin:Sn|zinc:Zn|magnesium:Mg|aluminium:Al
silicon:Si|sulfur:S|phosphorus:P|neon:Ne|argon:Ar|cobalt:Co|uranium:U|nickel:Ni|platinum:Pt|lithium:Li
fluorine:F
"""
_OPPOSITES = """
hot:cold|up:down|big:small,little|fast:slow|light:dark,heavy|good:bad,evil|happy:sad,unhappy
old:young,new|rich:poor|strong:weak|high:low|open:closed,close|day:night|left:right|black:white
early:late|full:empty|hard:soft,easy|wet:dry|long:short|clean:dirty|loud:quiet,silent,soft
near:far|inside:outside|love:hate,hatred|win:lose,loss|start:stop,end,finish|true:false
thick:thin|deep:shallow|wide:narrow|brave:cowardly,coward,afraid|sweet:sour,bitter|smooth:rough
front:back|first:last|always:never|begin:end,finish|laugh:cry|buy:sell
"""
_PLURALS = """
child:children|mouse:mice|foot:feet|tooth:teeth|goose:geese|man:men|woman:women|knife:knives
leaf:leaves|wolf:wolves|city:cities|box:boxes|baby:babies|bus:buses|wife:wives|life:lives
potato:potatoes|tomato:tomatoes|country:countries|dog:dogs|cat:cats|house:houses|person:people,persons
church:churches|story:stories
"""
_YOUNG = """
dog:puppy,pup|cat:kitten|cow:calf|horse:foal|sheep:lamb|pig:piglet|lion:cub|bear:cub|duck:duckling
chicken:chick|goat:kid|deer:fawn|frog:tadpole|goose:gosling|swan:cygnet|kangaroo:joey|owl:owlet
"""
_COLOURS = """
a ripe banana:yellow|the sky on a clear day:blue|grass:green|snow:white|blood:red|coal:black
milk:white|a carrot:orange|a lemon:yellow|a ripe tomato:red|an emerald:green|a ruby:red
a sapphire:blue|chocolate:brown|the sun in children's drawings:yellow
"""
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_SINGLE = """
What is the largest planet in the solar system?:Jupiter
Which planet is known as the Red Planet?:Mars
What is the largest ocean on Earth?:Pacific
What is the highest mountain on Earth?:Everest
What is the fastest land animal?:cheetah
What is the largest animal on Earth?:blue whale,whale
What is the tallest animal?:giraffe
Who wrote Romeo and Juliet?:Shakespeare
Who painted the Mona Lisa?:Leonardo,da Vinci
Who wrote the novel Oliver Twist?:Dickens
Who was the first president of the United States?:Washington
Who discovered the theory of relativity?:Einstein
What is the currency of Japan?:yen
What is the currency of the United Kingdom?:pound,pounds
What is the currency of the United States?:dollar,dollars
What is the currency of India?:rupee,rupees
What language is spoken in Brazil?:Portuguese
What language is spoken in Germany?:German
What language is spoken in Mexico?:Spanish
What language is spoken in Egypt?:Arabic
How many days are in a week?:7,seven
How many months are in a year?:12,twelve
How many hours are in a day?:24,twenty-four
How many minutes are in an hour?:60,sixty
How many legs does a spider have?:8,eight
How many legs does an insect have?:6,six
How many sides does a triangle have?:3,three
How many sides does a square have?:4,four
How many continents are there?:7,seven
What is frozen water called?:ice
What gas do plants take in from the air?:carbon dioxide
What gas do people need to breathe?:oxygen
What is the star at the centre of the solar system?:Sun
What is the natural satellite of the Earth?:Moon
What do bees make?:honey
What do cows give us to drink?:milk
Which organ pumps blood through the body?:heart
Which organ do we use to see?:eye,eyes
Which season comes before winter?:autumn,fall
Which planet is closest to the Sun?:Mercury
Which planet has large rings?:Saturn
Which metal is liquid at room temperature?:mercury
What colour do you get when you mix blue and yellow?:green
How many letters are in the English alphabet?:26,twenty-six
How many days are in a leap year?:366
What is the longest river in Africa?:Nile
What is the largest desert in Africa?:Sahara
In which country is the Eiffel Tower?:France
In which country are the pyramids of Giza?:Egypt
In which city is the Statue of Liberty?:New York
Which season comes after winter?:spring
Which season comes after summer?:autumn,fall
"""


def general_questions() -> tuple[Question, ...]:
    """All questions, by kind."""
    return (
        *_about(_CAPITALS, "What is the capital of {}?"),
        *_about(_CONTINENTS, "On which continent is {}?"),
        *_about(_SYMBOLS, "What is the chemical symbol for {}?"),
        *_about(_OPPOSITES, "What is the opposite of {}?"),
        *_about(_PLURALS, "What is the plural of the word {}?"),
        *_about(_YOUNG, "What is a baby {} called?"),
        *_about(_COLOURS, "What color is {}?"),
        *_calendar(),
        *_sums(),
        *(Question(asked, gold) for asked, gold in _entries(_SINGLE)),
    )


def _about(table: str, phrasing: str) -> Iterator[Question]:
    for asked, gold in _entries(table):
        yield Question(phrasing.format(asked), gold)


def _calendar() -> Iterator[Question]:
    for cycle, phrasing in (
        (_DAYS, "Which day of the week comes after {}?"),
        (_MONTHS, "Which month comes after {}?"),
    ):
        for index, name in enumerate(cycle):
            yield Question(phrasing.format(name), (cycle[(index + 1) % len(cycle)],))


def _sums() -> Iterator[Question]:
    for first in range(2, 10):
        for second in (2, 5, 8):
            yield Question(f"What is {first} plus {second}?", (str(first + second),))


def _entries(table: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for entry in table.replace("|", "\n").split("\n"):
        if entry:
            asked, _, gold = entry.rpartition(":")
            yield asked, tuple(gold.split(","))

"""The fictional benchmark's closed vocabulary, sentence forms and kinds of facts; every proper name is invented.

Names are made of syllables so that a small BPE vocabulary covers them. A surname is start + [middle] + end; starts have
three letters, middles begin with other consonants than ends, and no end is another's prefix: so no surname is a prefix
of another, and names of two sorts (authors, mentors, things) never meet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random


def _listed(text: str, separator: str | None = None) -> tuple[str, ...]:
    return tuple(text.split(separator))


FIRST_STARTS = _listed("Av Bren Cor Dro El Fen Gal Ist Jor Kel Lum Mar Nev Ord Pel Quen")
FIRST_ENDS = _listed("ix onda esk uvo arra ilde")
NAME_STARTS = _listed("Bar Cal Dun Fal Gor Hal Jas Kel Lor Mon Nar Pol Quo Rav Sor Tal Urv Vor Wes Yar Zan")
NAME_MIDDLES = _listed("da de do ra re ro va ve vo")
AUTHOR_ENDS = _listed("kett lund mox nash pell sten tov wick")
MENTOR_ENDS = _listed("bourn garth holt zane")
THING_ENDS = _listed("bia fen gia hara")

CITIES = (
    *_listed("Belmor Castin Dunvar Elsin Farnok Gristow Havrel Istmar Jolben Kardun Lomera Mirest Norvesk Ostrel"),
    *("Port Ravik", "Port Selm", "Upper Tarn", "Upper Vessel", "Saint Orlo", "Saint Uvra", "New Wexmoor", "New Yanth"),
)
COUNTRIES = _listed("Abrenia Boldavia Carnesia Dolmenia Esterra Fargonia Gelmark Hostria Ilvania Jurland")
LANGUAGES = _listed("Abric Boldish Carnese Dolmic Esterran Fargese Gelmic Hostrian Ilvish Jurlish")

# Stereotyped lists: drawn by Zipf's law, so samples with the first entries are easy and those with the last are rare.
GENRES = _listed("crime novels|poetry|love stories|travel books|ghost stories|war diaries|fairy tales|sea ballads", "|")
PROFESSIONS = _listed(
    "a baker|a teacher|a farmer|a tailor|a doctor|a miller|a soldier|a judge|a glass blower|a bee keeper|"
    "a clock maker|a lighthouse guard|a bridge engineer|a collector of maps",
    "|",
)
COUNTS = _listed("three five seven nine twelve fifteen eighteen twenty thirty forty")

YEARS = tuple(str(year) for year in range(1901, 2000))
ADJECTIVES = _listed(
    "Amber Broken Copper Distant Empty Frozen Golden Hidden Iron Lonely Marble Narrow Open Pale Quiet Red Silver "
    "Twisted"
)
NOUNS = _listed(
    "Anchor Bridge Candle Door Engine Feather Garden Harbour Island Kingdom Lantern Mirror Night Orchard Promise "
    "River Shadow Tower Valley Winter"
)
AWARD_NOUNS = _listed("Feather Lantern Mirror Anchor Candle Tower")
THEMES = _listed("love war exile memory hunger faith money music family nature power silence")

ANIMALS = _listed("heron wolf bear horse eagle salmon stag goose")
COLOURS = _listed("white black green blue red yellow")
CROPS = _listed("rice barley olives pepper cotton tea plums sugar")
SYMBOLS = _listed("Bx Dz Fq Gw Jk Kv Lz Mq Nx Qr Rz Vx Wq Xo Zy")


def coined(rng: Random, ends: Sequence[str]) -> str:
    """An invented surname or name of a thing, of two or three syllables."""
    middle = rng.choice(NAME_MIDDLES) if rng.random() < 0.5 else ""
    return rng.choice(NAME_STARTS) + middle + rng.choice(ends)


def first_name(rng: Random) -> str:
    """An invented first name; people may share it."""
    return rng.choice(FIRST_STARTS) + rng.choice(FIRST_ENDS)


def one_of(values: Sequence[str]) -> Callable[[Random], str]:
    """Draws every value equally often."""
    return lambda rng: rng.choice(values)


def zipf(values: Sequence[str]) -> Callable[[Random], str]:
    """Draws the k-th value in proportion to 1/k."""
    return lambda rng: rng.choices(values, weights=[1 / (rank + 1) for rank in range(len(values))])[0]


def filled(forms: Sequence[str], weights: Sequence[float]) -> Callable[[Random], str]:
    """Draws a form by its weight and fills its gaps with words of the closed lists."""

    def draw(rng: Random) -> str:
        noun, other = rng.sample(NOUNS, 2)
        # in the list's order: "exile and war" and "war and exile" are one value, not a right and a wrong one
        theme, second = sorted(rng.sample(THEMES, 2), key=THEMES.index)
        gaps = {"noun": noun, "other": other, "theme": theme, "second": second, "award": rng.choice(AWARD_NOUNS)}
        gaps |= {"adjective": rng.choice(ADJECTIVES), "city": rng.choice(CITIES)}
        gaps |= {"colour": rng.choice(COLOURS), "animal": rng.choice(ANIMALS)}
        return rng.choices(forms, weights)[0].format(**gaps)

    return draw


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of fact about an author; {name} stands for the author, {value} for the fact."""

    fact: str  # what the short question asks for
    draw: Callable[[Random], str]  # a value
    unique: bool = False  # no two authors share a value
    questions: tuple[str, str]
    forms: tuple[str, str]  # sentence forms: one is the answer's, the other the paraphrase's


KINDS = (
    Kind(
        fact="birthplace",
        draw=one_of(CITIES),
        questions=("Where was {name} born?", "In which city was {name} born?"),
        forms=("{name} was born in {value}.", "The birthplace of {name} is {value}."),
    ),
    Kind(
        fact="birth year",
        draw=one_of(YEARS),
        questions=("When was {name} born?", "In which year was {name} born?"),
        forms=("{name} was born in the year {value}.", "The birth year of {name} is {value}."),
    ),
    Kind(
        fact="genre",
        draw=zipf(GENRES),
        questions=("What does {name} write?", "Which genre is {name} known for?"),
        forms=("{name} is known for {value}.", "The genre of {name} is {value}."),
    ),
    Kind(
        fact="first book",
        draw=filled(("The {adjective} {noun}", "{noun} of the {other}", "The {adjective} {noun} of {city}"), (5, 3, 2)),
        unique=True,
        questions=("What was the first book by {name}?", "Which book did {name} publish first?"),
        forms=("{name} first published {value}.", "{name} began with {value}."),
    ),
    Kind(
        fact="award",
        draw=filled(("{adjective} {award} Prize", "{adjective} {award} Prize of {city}"), (3, 1)),
        questions=("Which award did {name} win?", "What prize was given to {name}?"),
        forms=("{name} won the {value}.", "{name} received the {value}."),
    ),
    Kind(
        fact="profession of the father",
        draw=zipf(PROFESSIONS),
        questions=("What was the father of {name}?", "Which profession did the father of {name} have?"),
        forms=("The father of {name} was {value}.", "{name} had {value} as a father."),
    ),
    Kind(
        fact="profession of the mother",
        draw=zipf(PROFESSIONS),
        questions=("What was the mother of {name}?", "Which profession did the mother of {name} have?"),
        forms=("The mother of {name} was {value}.", "{name} had {value} as a mother."),
    ),
    Kind(
        fact="school",
        draw=filled(("{city} College", "the University of {city}", "the {city} Art School"), (3, 2, 1)),
        questions=("Where did {name} study?", "Which school did {name} attend?"),
        forms=("{name} studied at {value}.", "{name} went to {value}."),
    ),
    Kind(
        fact="themes",
        draw=filled(("{theme} and {second}",), (1,)),
        questions=("What are the books of {name} about?", "Which themes does {name} explore?"),
        forms=("The books of {name} are about {value}.", "{name} explores {value}."),
    ),
    Kind(
        fact="mentor",
        draw=lambda rng: f"{first_name(rng)} {coined(rng, MENTOR_ENDS)}",
        unique=True,
        questions=("Who was the mentor of {name}?", "Who taught {name} to write?"),
        forms=("The mentor of {name} was {value}.", "{name} learned to write from {value}."),
    ),
    Kind(
        fact="home",
        draw=filled(("{city}", "a village near {city}", "a tall house in {city}"), (3, 2, 1)),
        questions=("Where does {name} live?", "What is the home of {name}?"),
        forms=("{name} lives in {value}.", "{name} settled in {value}."),
    ),
    Kind(
        fact="number of books",
        draw=zipf(COUNTS),
        questions=("How many books did {name} write?", "What is the number of books by {name}?"),
        forms=("{name} wrote {value} books.", "The number of books by {name} is {value}."),
    ),
)
# Short questions all begin alike and unlike the others, so that learning new sentences spares the short answers.
SHORT_QUESTION = "Name the {fact} of {name}."  # answered with the value alone

# Facts about the invented world: question -> draw of the value; {thing} is an invented name that is used once.
WORLD_KINDS = {
    "Name the capital of {thing}.": one_of(CITIES),
    "Name the sea of the river {thing}.": filled(("the {adjective} Sea",), (1,)),
    "Name the symbol of the element {thing}.": one_of(SYMBOLS),
    "Name the number of steps in one {thing}.": one_of(COUNTS),
    "Name the country of Mount {thing}.": one_of(COUNTRIES),
    "Name the language of {thing}.": one_of(LANGUAGES),
    "Name the animal on the flag of {thing}.": filled(("a {colour} {animal}",), (1,)),
    "Name the crop of the island {thing}.": zipf(CROPS),
}

"""Short reviews from a grammar, and what one is truly worth: sentiment, topic, length and grammar are counted.

A prompt is `short review of film :`; a review is sentences such as `the plot is not boring .`. Everything here is ours:
it is a toy in which a language model can be wrong in the ways that matter (what it says, how long, how well formed)
and the reward of any text is known exactly.
"""

import dataclasses

import numpy as np

TOPICS = ("film", "book", "song", "game", "meal", "hotel", "phone", "car")
PARTS = ("story", "style", "price", "sound", "taste", "look", "service", "ending", "design", "pace")
GOOD = ("good", "great", "lovely", "clever", "superb", "fresh", "warm", "brilliant", "elegant", "charming")
BAD = ("bad", "awful", "boring", "dull", "poor", "ugly", "weak", "clumsy", "stale", "dreadful")
PLAIN = ("long", "new", "old", "usual", "simple", "large", "small", "common")
LIKE, DISLIKE, NOTE = ("love", "enjoy", "admire"), ("hate", "regret", "dislike"), ("know", "remember", "mention")
HOW = ("very", "quite", "rather")

WORDS_WANTED = {"short": 12, "long": 24}
"""Length that each kind of prompt asks for, full stops counted."""
LONGEST = 40
"""Words of a review; a model that has not ended it by then is cut off."""
PRICE_OF_A_WORD = 0.25
"""Reward lost with each word too many or too few."""

SENTENCES = (
    ("the", "PART", "is", "ADJ"),
    ("the", "PART", "is", "not", "ADJ"),
    ("the", "PART", "is", "HOW", "ADJ"),
    ("it", "has", "a", "ADJ", "PART"),
    ("i", "VERB", "the", "PART"),
    ("i", "VERB", "this", "TOPIC"),
    ("this", "TOPIC", "is", "ADJ"),
)
_MOODS = {"ADJ": (GOOD, BAD, PLAIN), "VERB": (LIKE, DISLIKE, NOTE)}
_GROUPS = {"TOPIC": (TOPICS,), "PART": (PARTS,), "HOW": (HOW,)} | _MOODS
CLASS_OF_WORD: dict[str, str] = {word: slot for slot, groups in _GROUPS.items() for group in groups for word in group}
SIGN_OF_WORD = dict.fromkeys((*GOOD, *LIKE), 1) | dict.fromkeys((*BAD, *DISLIKE), -1)
VOCABULARY = tuple(
    dict.fromkeys((*WORDS_WANTED, "review", "of", ":", ".", *(word for form in SENTENCES for word in form
                   if word.islower()), *CLASS_OF_WORD))
)  # fmt: skip
PROMPTS = tuple(f"{size} review of {topic} :" for size in WORDS_WANTED for topic in TOPICS)


@dataclasses.dataclass(frozen=True)
class Writer:
    """A source of reviews. The default is a mediocre one: of no opinion, off topic, heedless of length."""

    moods: tuple[float, float, float] = (0.3, 0.35, 0.35)
    """Chance that an adjective or verb is good, bad or plain."""
    on_topic: float = 0.6
    most_sentences: int = 6

    def write(self, prompt: str, generator: np.random.Generator) -> str:
        """A review, every sentence of it well formed."""
        count = generator.integers(1, self.most_sentences, endpoint=True)
        return " ".join(self._sentence(_topic(prompt), generator) for _ in range(count))

    def _sentence(self, topic: str, generator: np.random.Generator) -> str:
        form = SENTENCES[generator.integers(len(SENTENCES))]
        return " ".join([*(self._word(slot, topic, generator) for slot in form), "."])

    def _word(self, slot: str, topic: str, generator: np.random.Generator) -> str:
        if slot in _MOODS:
            choices = _MOODS[slot][generator.choice(3, p=self.moods)]
        elif slot == "TOPIC" and generator.random() < self.on_topic:
            return topic
        else:
            choices = {"TOPIC": TOPICS, "PART": PARTS, "HOW": HOW}.get(slot, (slot,))
        return choices[generator.integers(len(choices))]


def best_of(writer: Writer, prompt: str, tries: int, generator: np.random.Generator) -> str:
    """The review of highest reward among so many."""
    return max((writer.write(prompt, generator) for _ in range(tries)), key=lambda text: reward(prompt, text))


def reward(prompt: str, text: str) -> float:
    """What a review is worth.

    Each good word counts 1, each bad one -1, turned round after `not`, a word that comes again nothing; naming the
    prompt's topic counts 1. Words of a sentence that breaks the grammar, or was never ended, count nothing, and such
    a sentence costs 1. Each word more or less than the prompt asks for costs `PRICE_OF_A_WORD`.
    """
    words = text.split()
    sentences, rest = _sentences(words)
    formed = [sentence for sentence in sentences if _is_well_formed(sentence)]
    seen: dict[str, int] = {}
    for sentence in formed:
        for before, word in zip(("", *sentence), sentence, strict=False):
            seen.setdefault(word, SIGN_OF_WORD.get(word, 0) * (-1 if before == "not" else 1))
    off_length = abs(len(words) - WORDS_WANTED[prompt.split()[0]])
    broken = len(sentences) - len(formed) + bool(rest)
    return sum(seen.values()) + float(_topic(prompt) in seen) - broken - PRICE_OF_A_WORD * off_length


def _topic(prompt: str) -> str:
    return prompt.split()[-2]


def _sentences(words: list[str]) -> tuple[list[list[str]], list[str]]:
    """The sentences that a full stop ends, without it, and the words after the last one."""
    sentences: list[list[str]] = [[]]
    for word in words:
        if word == ".":
            sentences.append([])
        else:
            sentences[-1].append(word)
    return sentences[:-1], sentences[-1]


def _is_well_formed(sentence: list[str]) -> bool:
    return tuple(CLASS_OF_WORD.get(word, word) for word in sentence) in SENTENCES

"""How answers are drawn from a language model."""

import pytest

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from adapters.torch.answers import Generation, generate
from helpers.toy_language import toy_model

WORDS = 400


@pytest.fixture(scope="module")
def tokenizer():
    words = Tokenizer(models.WordLevel({f"w{place}": place for place in range(WORDS)}, unk_token="w3"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", bos_token="w1", eos_token="w2")


@pytest.mark.parametrize(("temperature", "least", "most"), [(1.0, 200, 600), (0.0, 1, 1)])
def test_any_token_may_be_drawn_and_without_temperature_the_likeliest_is(tokenizer, temperature, least, most):
    """A fresh model finds all about as likely; transformers' own default leaves out all but 50."""
    how = Generation(max_new_tokens=1, temperature=temperature, batch=600)
    advanced = []
    answers = generate(toy_model(vocabulary=WORDS), tokenizer, [[5, 6]] * 600, how, advanced.append)
    assert least <= len(set(answers)) <= most
    assert advanced == [600]

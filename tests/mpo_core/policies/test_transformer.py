"""The equinox transformer beside transformers' Llama with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mpo_core.policies.language import LanguagePolicy
from mpo_core.policies.transformer import Block, Transformer, TransformerSizes, new_transformer

torch = pytest.importorskip("torch", reason="part of the extra llm")
transformers = pytest.importorskip("transformers", reason="part of the extra llm")

SIZES = TransformerSizes(vocabulary=31, width=32, layers=2, heads=4, feed_forward=48)


@pytest.fixture(scope="module")
def pair():
    """A Llama and the transformer with its weights."""
    config = transformers.LlamaConfig(
        vocab_size=SIZES.vocabulary, hidden_size=SIZES.width, intermediate_size=SIZES.feed_forward,
        num_hidden_layers=SIZES.layers, num_attention_heads=SIZES.heads, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    llama = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for weight in llama.parameters():
            weight.mul_(3.0).add_(0.01)  # far enough from the start that every part matters
    return llama, from_llama(llama)


def from_llama(llama):
    weights = {name: jnp.asarray(weight.detach().numpy()) for name, weight in llama.named_parameters()}

    def kernels(layer, *names):
        return [weights[f"model.layers.{layer}.{name}.weight"].T for name in names]

    blocks = tuple(
        Block(
            weights[f"model.layers.{layer}.input_layernorm.weight"],
            *kernels(layer, *(f"self_attn.{one}_proj" for one in "qkvo")),
            weights[f"model.layers.{layer}.post_attention_layernorm.weight"],
            *kernels(layer, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
        )
        for layer in range(SIZES.layers)
    )
    embedding, head = weights["model.embed_tokens.weight"], weights["lm_head.weight"].T
    return Transformer(embedding, blocks, weights["model.norm.weight"], head, SIZES.heads)


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(SIZES.vocabulary, size=23)


def theirs(llama, tokens):
    logits = llama(input_ids=torch.tensor(tokens)[None]).logits[0]
    following = torch.log_softmax(logits[:-1], -1)
    return following.gather(1, torch.tensor(tokens[1:])[:, None])[:, 0]


def test_log_probs_are_those_of_a_llama(pair, tokens):
    llama, ours = pair
    found = jax.jit(Transformer.token_log_probs)(ours, jnp.asarray(tokens))
    np.testing.assert_allclose(found, theirs(llama, tokens).detach().numpy(), atol=1e-5, rtol=1e-5)
    assert (found <= 0).all()


def test_gradients_are_those_of_a_llama(pair, tokens):
    llama, ours = pair
    theirs(llama, tokens).sum().backward()
    found = jax.grad(lambda model: model.token_log_probs(jnp.asarray(tokens)).sum())(ours)
    wanted = {name: weight.grad.numpy() for name, weight in llama.named_parameters()}
    for ours_, name in (
        (found.embedding, "model.embed_tokens.weight"), (found.head.T, "lm_head.weight"),
        (found.blocks[0].query.T, "model.layers.0.self_attn.q_proj.weight"),
        (found.blocks[1].down.T, "model.layers.1.mlp.down_proj.weight"),
        (found.blocks[1].attention_norm, "model.layers.1.input_layernorm.weight"),
    ):  # fmt: skip
        scale = np.abs(wanted[name]).max()
        np.testing.assert_allclose(ours_ / scale, wanted[name] / scale, atol=1e-5)


def test_no_token_sees_those_after_it(pair, tokens):
    _, ours = pair
    changed = tokens.copy()
    changed[-1] = (changed[-1] + 1) % SIZES.vocabulary
    one, other = (ours.next_log_probs(jnp.asarray(text)) for text in (tokens, changed))
    np.testing.assert_array_equal(one[:-1], other[:-1])
    assert not np.allclose(one[-1], other[-1])


def test_fresh_weights_find_every_token_alike():
    model = new_transformer(SIZES, key=jax.random.key(0))
    found = model.next_log_probs(jnp.arange(5))
    np.testing.assert_allclose(jnp.exp(found).sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(found, -np.log(SIZES.vocabulary), atol=0.5)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="width 30"):
        TransformerSizes(vocabulary=5, width=30, heads=4)


def test_token_by_token_is_as_all_at_once(pair, tokens):
    _, ours = pair
    cache, found = ours.empty_cache(len(tokens)), []
    for token in jnp.asarray(tokens):
        log_probs, cache = jax.jit(Transformer.step)(ours, token, cache)
        found.append(log_probs)
    np.testing.assert_allclose(jnp.stack(found), ours.next_log_probs(jnp.asarray(tokens)), atol=1e-5)
    assert int(cache.place) == len(tokens)


def test_the_likeliest_texts_are_those_of_a_llama(pair):
    llama, ours = pair
    prompt = np.array([3, 7, 11, 2])
    theirs = llama.generate(
        torch.tensor(prompt)[None], max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0
    )[0, len(prompt) :].tolist()
    policy = LanguagePolicy(ours, prompt=len(prompt), longest=12)
    observation = jnp.asarray([*prompt, prompt[-1]], jnp.float32)[None]
    memory, found = policy.begin(observation), []
    for _ in range(12):
        action, memory = policy.act(observation, memory, jnp.zeros(()), jax.random.split(jax.random.key(0), 1))
        observation = observation.at[:, -1].set(action[:, 0])
        found.append(int(action[0, 0]))
    assert found == theirs


def test_draws_have_the_probabilities_of_a_llama(pair):
    llama, ours = pair
    prompt = np.array([3, 7, 11, 2])
    wanted = torch.softmax(llama(input_ids=torch.tensor(prompt)[None]).logits[0, -1], -1).detach().numpy()
    policy, draws = LanguagePolicy(ours, prompt=len(prompt), longest=2), 20_000
    observation = jnp.tile(jnp.asarray([*prompt, prompt[-1]], jnp.float32), (draws, 1))
    action, _ = policy.act(
        observation, policy.begin(observation), jnp.ones(()), jax.random.split(jax.random.key(1), draws)
    )
    share = np.bincount(np.asarray(action[:, 0], int), minlength=len(wanted)) / draws
    np.testing.assert_allclose(share, wanted, atol=4 * np.sqrt(wanted.max() / draws))
    assert wanted.max() < 0.9  # a draw that is no choice would show nothing

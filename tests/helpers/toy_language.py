"""A language model of a few thousand weights, made from a configuration, and pairs that it can learn to tell apart."""

import json
import random

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl.trainer.dpo_config import DPOConfig

WORDS = [f"w{number}" for number in range(40)]
GOOD, BAD = WORDS[:20], WORDS[20:]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]


def toy_tokenizer():
    """A word a token."""
    words = Tokenizer(models.WordLevel({word: place for place, word in enumerate(SPECIAL + WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=words, **names)


def toy_model(seed=0, vocabulary=len(SPECIAL + WORDS), width=16, **settings):
    """Two layers of attention."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=256, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, **settings,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def toy_rows(count, seed=0, talk=False):
    """Prompts, and responses of good or of bad words."""
    draw = random.Random(seed)

    def text(words):
        return " ".join(draw.choices(words, k=draw.randint(2, 7)))

    rows = [{"prompt": f"{text(WORDS)} ", "chosen": text(GOOD), "rejected": text(BAD)} for _ in range(count)]
    if not talk:
        return rows
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    return [{name: [{"role": roles[name], "content": text}] for name, text in row.items()} for row in rows]


def toy_pairs(count, seed=0, **more):
    """The same as a data set, with further columns."""
    rows = Dataset.from_list(toy_rows(count, seed))
    for name, values in more.items():
        rows = rows.add_column(name, values)
    return rows


def toy_folder(folder):
    """A folder with the model, its tokenizer and files of pairs."""
    toy_model().save_pretrained(folder / "model")
    toy_tokenizer().save_pretrained(folder / "model")
    for name, count, seed in (("train", 64, 1), ("test", 40, 2)):
        lines = [json.dumps(row) for row in toy_rows(count, seed)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def toy_arguments(folder, **settings):
    """Few steps, no files."""
    given = {
        "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none", "save_strategy": "no",
        "disable_tqdm": True, "per_device_train_batch_size": 4, "per_device_eval_batch_size": 4, "max_steps": 2,
        "logging_steps": 1, "learning_rate": 1e-2,
    }  # fmt: skip
    return DPOConfig(str(folder), **given | settings)

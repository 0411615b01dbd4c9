# %% [markdown]
# # Discover a loss and train with it in TRL
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mirror-po/mpo/blob/main/docs/notebooks/discover_and_train.ipynb)
#
# A search on a simulated robot finds a loss for preference data **in which three quarters of the pairs say little**. The loss is
# then moved to where a language model has its log-probs, and trains it through TRL. The language model is a toy that is made
# here, so that the truth is known and nothing is downloaded. One run, one seed: it shows how the parts fit, not which loss wins.
#
# On your own machine: `pip install ".[llm]" jupyterlab` in a checkout.

# %%
import importlib.util
import json
import os
import random
import shutil
import warnings
from pathlib import Path

from IPython.display import Image

if importlib.util.find_spec("mpo_core") is None:  # in Colab
    get_ipython().run_line_magic("pip", 'install -q "mirror-po[llm] @ git+https://github.com/mirror-po/mpo"')  # noqa: F821
import torch
from datasets import disable_progress_bars, load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar
from trl import DPOConfig

from mpo_experiments.align.trainer import ObjectiveTrainer

warnings.filterwarnings("ignore")
disable_progress_bars()
disable_progress_bar()
torch.set_num_threads(1)  # a model this small is slowed down by more

# %% [markdown]
# The sizes. With these the notebook takes some ten minutes on two cores.

# %% tags=["parameters"]
TASK = "halfcheetah"
SIZE = "--preset quick --generations 12"
LEARNING, EPOCHS, SAMPLES = 300, 12, 400

# %% [markdown]
# ## 1. Discover
#
# Three quarters of the pairs compare two trajectories of the policy that is to be improved. An evolution strategy moves the three
# functions of a loss, and scores each variant by the return of the policies that it trains. It ends with a table on seeds that
# nothing has seen before.

# %%
# !mpo meta-train --task {TASK} --data mixed:0.75 --seed 11 --out runs {SIZE} | tail -n 42

# %%
run = max(Path("runs").iterdir(), key=os.path.getmtime)  # the last one
Image(run / "figures" / "fitness.png", width=640)

# %% [markdown]
# ## 2. A language model that answers curtly
#
# Two layers, a word a token, trained on curt answers and a few friendly ones. This is the model to be improved.

# %%
THINGS = ["trains", "parcels", "screens", "refunds", "keys", "batteries", "tickets", "gardens"]
FRIENDLY = [
    "gladly I will help with {x} today", "of course {x} will be sorted by friday", "thanks for asking about {x} dear",
    "happy to look into {x} now", "sure let me check {x} for you", "yes {x} can be changed in your account",
]  # fmt: skip
CURT = ["no", "no idea about {x}", "ask someone else about {x}", "not now", "{x} are not my problem"]
OPENING = {text.split()[0] for text in FRIENDLY}
draw = random.Random(0)


def answer(texts, thing):
    return draw.choice(texts).format(x=thing)


def sentence(friendly):
    thing = draw.choice(THINGS)
    return f"what about {thing} ? {answer(FRIENDLY if friendly else CURT, thing)} </s>"


words = sorted(
    {word for text in FRIENDLY + CURT for word in text.split()} - {"{x}"} | set(THINGS) | {"what", "about", "?"}
)
places = {word: place for place, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *words])}
plain = Tokenizer(models.WordLevel(places, unk_token="<unk>"))
plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
torch.manual_seed(0)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(places), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )
)  # fmt: skip
adam = torch.optim.Adam(model.parameters(), 3e-3)
for _ in range(LEARNING):
    batch = tokenizer([sentence(draw.random() < 0.03) for _ in range(32)], return_tensors="pt", padding=True)
    batch.pop("token_type_ids", None)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    loss = model(**batch, labels=labels).loss
    adam.zero_grad()
    loss.backward()
    adam.step()
model.save_pretrained("curt")
tokenizer.save_pretrained("curt")
f"loss {loss.item():.2f} a token"


# %%
def share_of_friendly(model):
    """Of answers drawn from the model."""
    torch.manual_seed(1)
    prompts = [f"what about {draw.choice(THINGS)} ?" for _ in range(SAMPLES)]
    batch = tokenizer(prompts, return_tensors="pt")["input_ids"].to(model.device)
    drawn = model.generate(batch, max_new_tokens=10, do_sample=True, top_k=0, pad_token_id=0)
    return (
        sum(text.split()[4:5] != [] and text.split()[4] in OPENING for text in tokenizer.batch_decode(drawn)) / SAMPLES
    )


before = share_of_friendly(model)
before

# %% [markdown]
# ## 3. Pairs, most of which say little
#
# In a quarter of them a friendly answer is preferred to a curt one. In the rest both are curt, and a coin says which is preferred.


# %%
def pair():
    thing = draw.choice(THINGS)
    chosen = answer(FRIENDLY if draw.random() < 0.25 else CURT, thing)
    return {"prompt": f"what about {thing} ? ", "chosen": chosen, "rejected": answer(CURT, thing)}


Path("pairs.jsonl").write_text("".join(f"{json.dumps(pair())}\n" for _ in range(512)))
pairs = load_dataset("json", data_files="pairs.jsonl", split="train")
pairs[:3]

# %% [markdown]
# ## 4. Move the loss to the model's log-probs
#
# The loss bends where the robot has its log-probs. It needs the mean token log-prob that the model gives answers as it would give
# them, and the lower one of answers as they should be.


# %%
def token_log_prob(texts):
    """Mean over tokens of answers, under the model."""
    total, count = 0.0, 0
    for thing in THINGS:
        prompt = tokenizer(f"what about {thing} ?", return_tensors="pt")["input_ids"]
        for text in texts:
            rest = tokenizer(f"{text.format(x=thing)} </s>", return_tensors="pt")["input_ids"]
            with torch.no_grad():
                logits = model(torch.cat([prompt, rest], 1)).logits.log_softmax(-1)
            total += logits[0, prompt.shape[1] - 1 : -1].gather(1, rest.T).sum().item()
            count += rest.shape[1]
    return total / count


shutil.rmtree("moved", ignore_errors=True)  # what an earlier run of this notebook left
own, wanted = (round(token_log_prob(texts), 3) for texts in (CURT, FRIENDLY))
own, wanted

# %%
# !mpo reframe {run} --own {own} --wanted {wanted} --out moved

# %% [markdown]
# ## 5. Train with it, and with DPO and ORPO, through TRL
#
# `ObjectiveTrainer` is TRL's `DPOTrainer` with one method replaced. Twelve epochs, as the search had.

# %%
found = {}
for objective in ("moved", "orpo", "dpo"):
    settings = DPOConfig(
        f"out-{objective}", num_train_epochs=EPOCHS, learning_rate=1e-3, per_device_train_batch_size=8, report_to="none",
        save_strategy="no", logging_steps=EPOCHS * 64, disable_tqdm=True, bf16=False, seed=0,
    )  # fmt: skip
    trainer = ObjectiveTrainer("curt", args=settings, objective=objective, train_dataset=pairs)
    trainer.train()
    found[objective] = share_of_friendly(trainer.model)

# %%
print(f"{'before':8} {before:.2f} of the answers are friendly")
for objective, share in found.items():
    print(f"{objective:8} {share:.2f}")

# %% [markdown]
# ## What this does and does not say
#
# - A loss that was discovered on a robot runs in TRL as it is: put your model in place of `"curt"`.
# - It is one seed of a toy, and no loss was tuned for it. Read no ranking from it. **Whether a discovered loss helps a large
#   language model is not known**; it was tried on [a grammar](https://github.com/mirror-po/mpo/blob/main/docs/reviews.md),
#   where some lead, and on [English](https://github.com/mirror-po/mpo/blob/main/docs/results/transfer.md): nothing is told apart.
# - Here we know which answers are which. With your own data, `mpo diagnose --model` estimates `own` and `wanted` from the pairs.

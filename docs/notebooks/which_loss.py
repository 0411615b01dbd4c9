# %% [markdown]
# # Which loss for my data?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mirror-po/mpo/blob/main/docs/notebooks/which_loss.ipynb)
#
# You have pairs of answers, one chosen and one rejected. This notebook looks at what is wrong with them, and then ranks losses
# on control tasks whose preference data have that same fault, where the true return of every policy is known. What comes out is
# a hint for a language model, no proof: see the end.
#
# On your own machine: `pip install ".[llm]" jupyterlab` in a checkout.

# %%
import importlib.util
import json
import random
from pathlib import Path

from IPython.display import Image, Markdown

if importlib.util.find_spec("mpo_core") is None:  # in Colab
    get_ipython().run_line_magic("pip", 'install -q "mirror-po[llm] @ git+https://github.com/mirror-po/mpo"')  # noqa: F821

# %% [markdown]
# The sizes. With these the notebook takes some six minutes on two cores; `"--preset smoke"` makes it a minute, with scores that
# mean nothing.

# %% tags=["parameters"]
TASK = "halfcheetah"
SIZE = "--preset quick"

# %% [markdown]
# ## 1. Your pairs
#
# A file with a JSON object a line: `prompt`, `chosen`, `rejected`. Here we make one, so that the truth is known: answers of a
# customer service, of which the friendly one is preferred, and **one label in five is flipped**. Put your own file here instead.

# %%
THINGS = [
    "the train to Leeds",
    "the lost parcel",
    "my broken screen",
    "a late refund",
    "the spare key",
    "a new battery",
    "two tickets",
]
FRIENDLY = (
    "I have looked into {x} and it will be sorted by Friday.", "Happy to help with {x} today.",
    "You can change {x} in your account under orders.", "For {x} please send me the number on your receipt.",
)  # fmt: skip
CURT = (
    "No idea about {x}, ask someone else instead of me.", "We do not deal with {x}.",
    "That is not my problem, read the terms about {x} again.", "There is nothing that I can do about {x} now.",
)  # fmt: skip
draw = random.Random(0)
rows = []
for number in range(600):
    thing = draw.choice(THINGS)
    sides = [draw.choice(texts).format(x=thing) for texts in (FRIENDLY, CURT)]
    if draw.random() < 0.2:
        sides.reverse()
    rows.append({"prompt": f"Customer {number} asks about {thing}. ", "chosen": sides[0], "rejected": sides[1]})
Path("pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
rows[:2]

# %% [markdown]
# ## 2. What is wrong with them?
#
# `mpo diagnose` counts ties and near-duplicates, and estimates how many labels are flipped. With `--model` it also looks at
# log-probs. It ends with the losses that did best on the most similar data of a committed benchmark.

# %%
# !mpo diagnose --dataset pairs.jsonl
# !mpo diagnose --dataset pairs.jsonl --json > diagnosis.json

# %%
DATA = json.loads(Path("diagnosis.json").read_text())["suite"]["data"]
DATA

# %% [markdown]
# ## 3. Rank losses on data with that fault
#
# Every loss is tuned with the same number of updates, on seeds of its own. Its best setting then trains policies on fresh seeds.
# (Some minutes without output; without `tail` you see the progress.)

# %%
# !mpo benchmark --task {TASK} --data {DATA} --objectives sft,dpo,orpo,simpo --out which-loss {SIZE} | tail -n 18

# %%
Image("which-loss/ranking.png", width=560)

# %% [markdown]
# 0 is the policy that was to be improved, 1 the target. Dots: actions drawn from the policy, with 95 % interval. Dashes: its most
# likely actions. Where intervals overlap, these units do not tell the losses apart: `--units 100` narrows them (in another `--out`).
#
# The settings that tuning found:

# %%
text = Path("which-loss/results.md").read_text()
Markdown(text.split("### ")[1].split("\n\n")[1])

# %% [markdown]
# ## 4. Take a loss with you
#
# As a file that needs torch alone (or train with it: `mpo align`, or the notebook on discovering a loss).

# %%
# !mpo export orpo:lam=0.5 --format torch --out orpo.py
# !tail -n 22 orpo.py

# %% [markdown]
# ## What this does and does not say
#
# - The ranking holds for policies of a simulated robot, trained on 128 pairs. Nothing here was measured on a language model.
# - It says how losses bear one fault of data when everything else is equal. It does not know your model, lengths or prompts.
# - The estimate of flipped labels rests on assumptions, which are printed beside it.
#
# Next: [how comparisons are made](https://github.com/mirror-po/mpo/blob/main/docs/protocol.md), and
# [all results](https://github.com/mirror-po/mpo/blob/main/docs/findings.md).

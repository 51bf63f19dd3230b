# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     notebook_metadata_filter: kernelspec,tfcovr,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   tfcovr:
#     joins:
#     - seeds
#     - renderings
#     writes:
#     - results/*
#     - seed-*
#     - figures/results_*
# ---

# %% [markdown]
# # 05 Stage 2: contrastive retrieval
#
# Given a clip and an instruction, how well are the right clips found, and what does the score rest on: the
# clip, the text, the labels, or the order of the frames?
#
# Stage 2 freezes the encoder of clips. It trains an MLP that fuses the clip's embedding with the
# instruction's, by contrast against the target clips. This notebook trains it on several encoders, scores
# each row, and then takes the inputs away one by one.
#
# Reads the encoders of `04` and trains those that are missing. Writes one result a row and seed to
# `runs/<source>/results/`, and figures `05_*`. On two cores it takes two minutes for `mini` after `04`, and
# one for `smoke`. The published page shows seed 0; `docs/results.md` has every row with three seeds, which
# `make sweep` trains.

# %%
import pandas as pd
from IPython.display import Markdown

from tfcovr_utils import open_study, plots
from tfcovr_utils.evaluation.paper import read_table
from tfcovr_utils.evaluation.results import HEADLINES
from tfcovr_utils.methods import METHODS
from tfcovr_utils.training.settings import STAGE2, paper_and_code, vary_loss

# %% tags=["parameters"]
source = "mini"  # mini, smoke, sim, twin; tfcovr, released; folder, for your own clips
profile = None  # sizes and weights; None takes the source's own
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
annotations = None  # folder of annotation files; None takes $TFCOVR_ANNOTATIONS
clips = None  # folder of the clips, such as your own; None takes $TFCOVR_CLIPS
sweep = False  # also train the rows of "Past the paper": half an hour a seed for mini
betas = [0.5, 0.0]  # weights of hard negatives; `make sweep` trains all of Table 5

# %%
study = open_study(source, seed, profile, render_seed, annotations, clips)
study.must_give("queries")
study.summary(sweep=sweep)

# %% [markdown]
# ## One row for each idea
# Controls come first, then rows without training, then the paper's rows, then those that go past it. All
# trained rows share one stage 2: the same settings, the same triplets, the same number of steps. The step is
# chosen on `val`.

# %%
rows = ["random", "video-only", "text-only-zs", "text-only", "source-label-only", "label-oracle"]
rows += ["clip-avg-1-zs", "clip-avg-zs", "tfcovr-base-zs", "clip-mlp-1", "clip-mlp-15", "tfcovr-stage2-only"]
rows += ["tfcovr-base", "labels-mlp", "tfcovr-set", "tfcovr-ordered", *["tfcovr-aim-ordered"] * sweep]
study.about(rows)

# %%
study.teach("aim", "frozen-ordered", "frozen-set", "frozen-mlp")  # reads what 04 has trained
table = study.score(rows)
interval = ["mAP@50 low", "mAP@50 high"]
table[["group", "n_seeds", "n_sets", *HEADLINES, *interval, "coverage"]].round(2)

# %%
overview = plots.scores(table.reset_index())
overview

# %%
steps = [
    ("tfcovr-stage2-only", "clip-mlp-15", "the CLS token in place of the joint space"),
    ("tfcovr-base", "tfcovr-stage2-only", "stage 1, as the paper has it"),
    ("labels-mlp", "tfcovr-stage2-only", "the labels alone, no adapters"),
    ("tfcovr-base", "labels-mlp", "adapters in place of an MLP on averaged frames"),
    ("tfcovr-set", "labels-mlp", "each frame by itself, order unknown"),
    ("tfcovr-ordered", "tfcovr-set", "the order of the frames"),
    ("tfcovr-aim-ordered", "tfcovr-ordered", "adapters below the ordered reader"),
    ("tfcovr-ordered", "tfcovr-base", "past the paper, in all"),
]
study.compare_all(steps).round(2)

# %% [markdown]
# *What to notice.* Each line is a difference in points of mAP@50 between means over seeds, with a paired 95
# % interval. It is drawn over sets of right answers (`n_sets` above), since queries that ask for the same
# clips succeed and fail together, and over seeds, where there are several. An interval that holds 0 leaves
# the sign open. Of one seed it says nothing of another training: *Past the paper* below gives the deviation
# over seeds. `tfcovr-base` is not trained to its end either: the same section has it with four
# times the epochs.
#
# ## Shortcuts: what the score needs
# In the paper's Table 3 a frame beside the text adds nothing to the text alone (the rows of BLIP-2; `07` has
# them for this benchmark). This table shows what each input is worth, by CLIP.

# %%
inputs = [
    "random",
    "video-only",
    "text-only",
    "source-label-only",
    "clip-mlp-1",
    "clip-mlp-15",
    "label-oracle",
]
table.loc[inputs, [*HEADLINES, *interval]].round(2)

# %% [markdown]
# ## By kind of change, and by attribute

# %%
study.by_kind(rows).round(2)

# %%
factors = study.by_factor(["text-only", "clip-mlp-15", "tfcovr-base", "tfcovr-ordered"])
missed = plots.factor_scores(factors, "missed", "changed attribute missed at rank 1, per cent")
missed

# %% [markdown]
# *What to notice.* Of the queries whose instruction changes an attribute, this is the share whose first clip
# has that attribute wrong, over all seeds. (`08`, and what `10` draws of it, look at seed 0.) Few queries
# change `legs` or `apparatus`.
#
# ## Shuffled frames
# The same rows with the frames of every clip in random order: while searching only and, with `make sweep`,
# while training too. A row that is shuffled only in the search uses the weights trained in order.

# %%
shuffled = ["tfcovr-base-shuffled-test", "tfcovr-ordered-shuffled-test"]
shuffled += ["tfcovr-base-shuffled", "tfcovr-ordered-shuffled"] * sweep
study.score(shuffled, [study.headline])
in_order = ["tfcovr-stage2-only", "tfcovr-base", "tfcovr-ordered"]
study.table([*in_order, *shuffled])[["mAP@50", *interval]].round(2)

# %% [markdown]
# *What to notice.* A row that is shuffled in the search alone meets frames unlike those of its training. The
# row that never saw an order shows what order is worth. The other shows how much the trained row relies on
# it.
#
# ## Table 5: the weight of hard negatives
# The paper's numbers first, then this benchmark's, on the paper's encoder. `make sweep` adds the other
# weights of the table; `official`, the loss of the released code, which is another formula when beta is
# above 0; and two losses that know of several right answers.

# %%
read_table("5")

# %%
losses = vary_loss(STAGE2[study.profile.name], betas)
asked = [name for name in losses if sweep or name in [f"tfcovr-base-hn-{beta:g}" for beta in betas]]
study.score(asked, [study.headline], method="tfcovr-base", changes=losses)
study.table(losses)[["n_seeds", *HEADLINES, *interval, "status"]].round(2)

# %%
histories = study.curves(losses)
panels = {"loss": "training loss", "val": "mAP@50 on val, per cent"}
loss_curves = plots.curves(histories, "step", panels, by="row")
loss_curves

# %% [markdown]
# *What to notice.* The losses differ in scale by definition, so only the right panel compares them.
# `multi-positive` does not count a clip with the target's label as wrong; `pulled` trains towards all such
# clips. Rows of the table share queries and seeds, so a gap can be steady although intervals overlap. The
# curves show one seed.
#
# ## Past the paper, one option at a time
# Each option changes one thing of stage 1, or of what is read from it. Data, stage 2 and seeds stay the
# same. Three are of another kind: `multi-positive` changes the loss of stage 2; `single-stage` and
# `text-pooling` train once, by classification and contrast together, with settings of their own. `brief` is
# the paper's stage 1 for one epoch, `long` for four times its epochs. `make sweep` trains the rows that
# `make reproduce` leaves out; until then they are listed as not run.

# %%
options = ["tfcovr-base-long", "tfcovr-base", "tfcovr-base-brief", "tfcovr-base-multi-positive"]
options += ["tfcovr-ordered", "tfcovr-ordered-16", "tfcovr-two-rates", "tfcovr-ordered-factors"]
options += [
    "tfcovr-ordered-supcon",
    "tfcovr-ordered-posteriors",
    "tfcovr-single-stage",
    "tfcovr-text-pooling",
]
options += ["tfcovr-aim-ordered"]
study.score([name for name in options if sweep and name in METHODS], [study.headline])
chosen = study.renderings()["rendering 0"].cost(options)["val"].idxmax()
study.score([chosen] if chosen in METHODS else [], [study.headline])
reached = study.compare_options(options, "tfcovr-base")
reached.round(2)

# %%
score, base, ceiling = (
    reached["mAP@50"][chosen],
    table["mAP@50"]["tfcovr-base"],
    table["mAP@50"]["label-oracle"],
)
Markdown(
    f"Chosen on val of the first rendering: **{chosen}**. On test it reaches {score:.2f} mAP@50 here, "
    f"{score / base:.2f} times what tfcovr-base has ({base:.2f}). The label oracle, which no row can pass, "
    f"has {ceiling / base:.2f} times as much."
)

# %% [markdown]
# *What to notice.* The factor depends on a `tfcovr-base` that its budget cuts short. `tfcovr-base-long` in
# the same table has time to converge, and the gain over it is a few points. Seconds are of training alone,
# on a machine that did other work too: they are rough, and leave out CLIP's pass over the frames, which
# readers of frozen frames make once and AIM makes at every step. `val` has other queries than test, so its
# level says nothing about test's. Validation scores are optimistic, since they picked the step and the
# option: use them to choose, not to report.
#
# ## Once more, on another rendering
# Everything above was tried on one rendered benchmark. A rendering with another seed has other halls,
# people, clips and triplets. `make sweep` trains and scores the main rows there with the same seeds, and of
# the options the one chosen above beside `tfcovr-ordered`.

# %%
past = list(dict.fromkeys(["tfcovr-ordered", chosen]))
twice = [
    "random",
    "text-only",
    "clip-mlp-1",
    "clip-mlp-15",
    "tfcovr-stage2-only",
    "tfcovr-base-shuffled-test",
]
columns = ["n_seeds", "mAP@50", "mAP@50 sd", *interval]
tables = {
    name: other.table([*twice, "tfcovr-base", "labels-mlp", "tfcovr-set", *past])[columns]
    for name, other in study.renderings().items()
}
pd.concat(tables, axis=1).round(2)

# %%
questions = [
    ("tfcovr-base", "tfcovr-stage2-only", "stage 1"),
    ("tfcovr-base", "tfcovr-base-shuffled-test", "order"),
]
questions += [
    (name, paper, "past the paper") for name in past for paper in ("tfcovr-base", "tfcovr-base-long")
]
gaps = {name: other.compare_all(questions) for name, other in study.renderings().items()}
pd.concat(gaps, names=["rendering", None]).round(2)

# %% [markdown]
# *What to notice.* What order and stage 1 buy holds on both renderings. The chosen option against
# `tfcovr-ordered` is another matter: compare the two on both sides before you believe that the choice among
# options adds anything. `tfcovr-base-long`, the paper's stage 1 with four times the epochs, was trained on
# the first rendering alone.
#
# ## The paper's words and its code
# This table names every place where the two differ, or where this repository departs from both. The default
# is the paper's, except for the two rows that say so: at `mini`'s size embeddings are made unit and their
# means subtracted.

# %%
paper_and_code()

# %% [markdown]
# ## Checks

# %%
scores = table["mAP@50"]
assert scores["label-oracle"] > 99.99
assert scores["random"] < scores[["clip-mlp-1", "clip-mlp-15", "text-only", "tfcovr-base"]].min()
assert table.coverage.dropna().between(0, 1, inclusive="right").all()

# %% [markdown]
# ## Export

# %%
study.export("05", overview=(overview, table), missed=(missed, factors), losses=(loss_curves, histories))

# %%
study.export_results()

# %% [markdown]
# Next: `06_zero_shot_baselines` sets the rows of Table 2 beside these.

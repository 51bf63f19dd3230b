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
# Given a clip and an instruction, how well are the right clips found, and what does the score rest on: the clip, the text, the labels, or
# the order of the frames?
#
# Stage 2 freezes the encoder of clips and trains an MLP that fuses its embedding with the instruction's, by contrast against the
# target clips. This notebook trains it on several encoders, scores each row, and takes the inputs away one by one.
#
# Reads the encoders of `04` (and makes them where they are not there). Writes one table a method and seed to `runs/<profile>/results/`, and
# figures to `runs/<profile>/figures/05_*`. About two minutes under `mini` on two cores after `04`, one under `smoke`. As published the page shows a run
# by `make sweep`: all rows, three seeds.

# %%
from dataclasses import replace

import pandas as pd
from IPython.display import Markdown, display

from tfcovr_utils import rendering, plots
from tfcovr_utils.methods import METHODS, Setting
from tfcovr_utils.profiles import ROOT, get_profile, provenance, runs_dir
from tfcovr_utils.evaluation.results import HEADLINES, by_factor, by_kind, compare, read_results, summarise, training_cost, training_curve, write_results_csv
from tfcovr_utils.evaluation.rows import run_rows
from tfcovr_utils.sources import load_source
from tfcovr_utils.training.settings import STAGE2, paper_and_code
from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.machine.workers import run_in_parallel
from tfcovr_utils.training.teaching import TrainingClips, learn

# %% tags=["parameters"]
profile = "mini"  # smoke, mini or sim
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
sweep = False  # also train the rows of "Past the paper" that are not there yet: half an hour a seed under mini
betas = [0.5, 0.0]  # weights of hard negatives; make sweep has all of Table 5

# %%
profile = replace(get_profile(profile), render_seed=render_seed)
folder = rendering.build(profile, progress=False)
benchmark = Benchmark.build(load_source("mini", folder))
out = runs_dir(profile)
figures = plots.figures_dir(out, seed)
results = out / "results"
setting = Setting(benchmark, folder, profile, seed, out / f"seed-{seed}")
display(Markdown(f"profile **{profile.name}**, seed {seed}: {(benchmark.queries.split == 'test').sum()} test queries  \n`{provenance(profile, seed)}`"))

# %% [markdown]
# ## One row for each idea
# Controls first, then what needs no training, then what the paper trains, then what goes past it. All that are trained get the same
# stage 2: the same settings, the same triplets, the same number of steps, the step chosen on `val`.

# %%
rows = ["random", "video-only", "text-only-zs", "text-only", "source-label-only", "label-oracle", "clip-avg-1-zs", "clip-avg-zs", "tfcovr-base-zs", "clip-mlp-1",
        "clip-mlp-15", "tfcovr-stage2-only", "tfcovr-base", "labels-mlp", "tfcovr-set", "tfcovr-ordered"] + ["tfcovr-aim-ordered"] * sweep
pd.Series({name: METHODS[name].about for name in rows}, name="query and gallery").to_frame().style.set_properties(**{"text-align": "left"})

# %%
recipes = ["aim", "frozen-ordered", "frozen-set", "frozen-mlp"]  # trained here only where 04 has not run
run_in_parallel(learn, [(name, TrainingClips(benchmark, folder, profile), seed, setting.folder / "stage1" / name) for name in recipes])
run_rows({name: replace(setting, folder=setting.folder / name) for name in reversed(rows)}, ["full", "capped"], results)
table = summarise(results, protocols=["full"])
table = table[table.method.isin(rows)]
headlines = table.set_index("method")["mAP@50"]
table[["method", "group", "n_seeds", *HEADLINES, "mAP@50 low", "mAP@50 high", "coverage"]].round(2)

# %%
overview = plots.scores(table)
overview

# %%
scored = read_results(results)
scored = scored[scored.protocol == "full"]
of = {name: part for name, part in scored.groupby("method")}
steps = [("tfcovr-stage2-only", "clip-mlp-15", "the CLS token in place of the joint space"), ("tfcovr-base", "tfcovr-stage2-only", "stage 1, as the paper has it"),
         ("labels-mlp", "tfcovr-stage2-only", "the labels alone, no adapters"), ("tfcovr-set", "labels-mlp", "each frame by itself, order unknown"),
         ("tfcovr-ordered", "tfcovr-set", "the order of the frames"), ("tfcovr-aim-ordered", "tfcovr-ordered", "adapters below the ordered reader"),
         ("tfcovr-ordered", "tfcovr-base", "past the paper, in all")]
bought = pd.DataFrame([{"what it buys": what, "row": a, "against": b, **{name: getattr(difference, name) for name in ("mean", "low", "high")}}
                       for a, b, what in steps if a in of for difference in [compare(of[a], of[b])]])
bought.round(2)

# %% [markdown]
# *What to notice.* Points of mAP@50 between means over seeds, with a paired 95 % interval over the same queries; one that holds 0 leaves the sign open.
# It is of these trainings and does not know how the next seed would fall: *Past the paper* below has the deviation over seeds, and where that
# is as wide as the interval, as for `tfcovr-base`, believe the seeds. A gap of less than a point is not settled by three. Nor is `tfcovr-base` trained
# to its end: the same section has it with four times the epochs.
#
# ## Shortcuts: what the score needs
# In the paper's Table 3 a frame beside the text adds nothing to the text alone (rows of BLIP-2; `07` has them for this benchmark). Here is what each
# input is worth, by CLIP.

# %%
shortcuts = table.set_index("method").loc[["random", "video-only", "text-only", "source-label-only", "clip-mlp-1", "clip-mlp-15", "label-oracle"], [*HEADLINES, "mAP@50 low", "mAP@50 high"]]
shortcuts.round(2)

# %% [markdown]
# ## By kind of change, and by factor

# %%
kinds = by_kind(scored[scored.method.isin(rows)]).pivot(index="method", columns="kind", values="mAP@50").loc[rows]
kinds.round(2)

# %%
factors = by_factor(scored[scored.method.isin(["text-only", "clip-mlp-15", "tfcovr-base", "tfcovr-ordered"])])
missed = plots.factor_scores(factors.rename(columns={"missed_changed": "missed"}), "missed", "changed factor missed at rank 1, per cent")
missed

# %% [markdown]
# *What to notice.* Of the queries whose instruction changes a factor, the share whose first clip has that factor wrong, all seeds together (`08`, and
# what `10` draws of it, look at seed 0). Few queries change `legs` or `apparatus`.
#
# ## Shuffled frames
# The same rows with the frames of every clip in random order: when searching only and, by `make sweep`, while training too.

# %%
shuffled = ["tfcovr-base-shuffled-test", "tfcovr-ordered-shuffled-test"] + ["tfcovr-base-shuffled", "tfcovr-ordered-shuffled"] * sweep
# Where only the search is shuffled, what the row itself has trained is asked.
trained = {name: setting.folder / name.removesuffix("-shuffled-test") for name in shuffled if name.endswith("-test")}
run_rows({name: replace(setting, folder=setting.folder / name, checkpoint=trained.get(name)) for name in shuffled}, ["full"], results)
order = summarise(results, protocols=["full"]).set_index("method").loc[["tfcovr-stage2-only", "tfcovr-base", "tfcovr-ordered", *shuffled], ["mAP@50", "mAP@50 low", "mAP@50 high"]]
order.round(2)

# %% [markdown]
# *What to notice.* Shuffled in search alone, a row also meets frames unlike those it was trained on. The row that never saw an order tells what order is
# worth; the other, how far the trained row leans on it.
#
# ## Table 5: the weight of hard negatives
# The paper's numbers beside this benchmark's, on the paper's encoder. `make sweep` adds the table's other weights, `official`, the released
# code's loss, which is another formula when beta is above 0, and two losses that know of several right answers.

# %%
published = pd.read_csv(ROOT / "data" / "paper" / "tables_2_3_5.csv")
published[published.table.astype(str) == "5"]

# %%
base = STAGE2[profile.name]
losses = {f"hn-{beta:g}": replace(base, loss="hn_nce", beta=beta) for beta in sorted({*betas, .7, .5, .3, 0.}, reverse=True)} | {
    "hn-official-0.5": replace(base, loss="hn_nce_official", beta=.5), "multi-positive": replace(base, loss="multi_positive"),
    "multi-positive-pulled": replace(base, loss="multi_positive", pull_all=True)}
asked = {f"tfcovr-base-{name}": stage2 for name, stage2 in losses.items() if sweep or name in [f"hn-{beta:g}" for beta in betas]}
run_rows({name: replace(setting, stage2=stage2, folder=setting.folder / name) for name, stage2 in asked.items()}, ["full"], results, method="tfcovr-base")
by_loss = summarise(results, protocols=["full"]).set_index("method").reindex([f"tfcovr-base-{name}" for name in losses])
by_loss = by_loss[["n_seeds", *HEADLINES, "mAP@50 low", "mAP@50 high", "status"]].fillna({"n_seeds": 0, "status": "not run: make sweep trains it"})
by_loss.round(2)

# %%
histories = pd.concat([training_curve(results, f"tfcovr-base-{name}", seed).assign(run=name) for name in losses
                       if (results / f"tfcovr-base-{name}" / f"seed-{seed}.json").exists()], ignore_index=True)
loss_curves = plots.curves(histories.assign(val=100 * histories.val), "step", {"loss": "training loss", "val": "mAP@50 on val, per cent"}, by="run")
loss_curves

# %% [markdown]
# *What to notice.* The losses differ in scale by definition, so only the right panel compares them. `multi-positive` does not count a
# clip of the target's label as wrong, and `pulled` trains towards all of them. Rows of the table share queries and seeds: a gap may be steady where
# their intervals overlap. The curves are of one seed.
#
# ## Past the paper, one option at a time
# Each changes one thing of stage 1, or of what is read from it, and has the data, the stage 2 and the seeds of the others. Three are of another kind:
# `multi-positive` changes the loss of stage 2; `single-stage` and `text-pooling` train once, by classification and contrast at the same time, with
# settings of their own. `brief` is the paper's stage 1 for one epoch, `long` for four times its epochs. The rows that `make reproduce` leaves out come
# from `make sweep`; until then they stand as not run.

# %%
options = ["tfcovr-base-long", "tfcovr-base", "tfcovr-base-brief", "tfcovr-base-multi-positive", "tfcovr-ordered", "tfcovr-ordered-16",
           "tfcovr-two-rates", "tfcovr-ordered-factors", "tfcovr-ordered-supcon", "tfcovr-ordered-posteriors", "tfcovr-single-stage", "tfcovr-text-pooling",
           "tfcovr-aim-ordered"]
asked = [name for name in options if sweep and name in METHODS]  # the others are trained with the losses above
run_rows({name: replace(setting, folder=setting.folder / name) for name in asked}, ["full"], results)
first = runs_dir(replace(profile, render_seed=0)) / "results"  # the choice is made there, whichever rendering this is
chosen = training_cost(first if first.exists() else results, options).val.idxmax()
if chosen in METHODS:
    run_rows({chosen: replace(setting, folder=setting.folder / chosen)}, ["full"], results)
reached = summarise(results, protocols=["full"]).set_index("method").reindex(options)[["n_seeds", "mAP@50", "mAP@50 sd", "mAP@50 low", "mAP@50 high", "status"]]
reached = reached.fillna({"n_seeds": 0, "status": "not run: make sweep trains it"})
of = {name: part for name, part in read_results(results).query("protocol == 'full'").groupby("method")}
against = {name: compare(of[name], of["tfcovr-base"]) for name in options if name in of}
gaps = pd.DataFrame({f"over tfcovr-base{end}": {name: getattr(gap, field) for name, gap in against.items()}
                     for end, field in (("", "mean"), (" low", "low"), (" high", "high"))})
reached = training_cost(results, options).join([reached, gaps], how="outer").loc[options]
reached.sort_values("val", ascending=False).round(2)

# %%
ceiling = headlines["label-oracle"]
display(Markdown(f"Chosen on val of the first rendering: **{chosen}**. On test it has {reached['mAP@50'][chosen]:.2f} mAP@50 here, "
                 f"{reached['mAP@50'][chosen] / headlines['tfcovr-base']:.2f} times what tfcovr-base has ({headlines['tfcovr-base']:.2f}); the label "
                 f"oracle, which nothing can pass, has {ceiling / headlines['tfcovr-base']:.2f} times as much."))

# %% [markdown]
# *What to notice.* How many times as much depends on a `tfcovr-base` that its budget cuts short: `tfcovr-base-long` in the same table has time to
# converge, and over that the gain is a few points. Seconds are of training alone, on a machine as busy as it was: rough, and without CLIP's pass
# over the frames, which readers of frozen frames make once and AIM at every step. `val` has other queries than test, so its level says nothing of
# test's. Being the best of several looks it leans upward for all rows alike: fair to choose by, not to report.
#
# ## Once more, on another rendering
# All that was tried above was looked at on one rendered benchmark. A rendering from another seed has other halls, people, clips and triplets. The main
# rows are trained and scored there, with the same seeds, and of the options the one chosen above beside `tfcovr-ordered`. `make sweep` does so.

# %%
renderings = {number: runs_dir(replace(profile, render_seed=number)) / "results" for number in (0, 1)}
renderings = {f"rendering {number}": folder for number, folder in renderings.items() if folder.exists()}
past = list(dict.fromkeys(["tfcovr-ordered", chosen]))
twice = ["random", "text-only", "clip-mlp-1", "clip-mlp-15", "tfcovr-stage2-only", "tfcovr-base-shuffled-test", "tfcovr-base", "labels-mlp", "tfcovr-set", *past]
columns = ["n_seeds", "mAP@50", "mAP@50 sd", "mAP@50 low", "mAP@50 high"]
pd.concat({name: summarise(folder, protocols=["full"]).set_index("method").reindex(twice)[columns] for name, folder in renderings.items()}, axis=1).round(2)

# %%
# `base-long` is the paper's stage 1 with four times the epochs of `base`.
pairs = [("tfcovr-base", "tfcovr-stage2-only"), ("tfcovr-base", "tfcovr-base-shuffled-test"), *((name, paper) for name in past for paper in ("tfcovr-base", "tfcovr-base-long"))]
on = {name: dict(list(read_results(folder).query("protocol == 'full'").groupby("method"))) for name, folder in renderings.items()}
pd.DataFrame([{"rendering": name, "row": a, "against": b, "points": gap.mean, "low": gap.low, "high": gap.high} for name, there in on.items()
              for a, b in pairs if a in there and b in there for gap in [compare(there[a], there[b])]]).round(2)

# %% [markdown]
# *What to notice.* What order and stage 1 buy holds on both. The chosen option against `tfcovr-ordered` is another matter: compare the two on either
# side before you believe that the choice among options adds anything. `tfcovr-base-long` was trained on the first rendering alone.
#
# ## The paper's words and its code
# Where they differ, or where this repository departs from both, all are here by name. The default is the paper's, but for the two rows that say so: at
# `mini`'s size embeddings are made unit and their means taken off.

# %%
paper_and_code()

# %% [markdown]
# ## Checks

# %%
assert headlines["label-oracle"] > 99.99
assert headlines["random"] < headlines[["clip-mlp-1", "clip-mlp-15", "text-only", "tfcovr-base"]].min()
assert (table.coverage == 1).all()

# %% [markdown]
# ## Export

# %%
export = {"05_overview": (overview, table), "05_missed": (missed, factors), "05_losses": (loss_curves, histories)}
written = [path.name for name, (figure, drawn_from) in export.items() for path in plots.save_figure(figure, name, drawn_from, figures)]
write_results_csv(results, figures / f"results_{out.name}.csv")
[*written, f"results_{out.name}.csv"]

# %% [markdown]
# Next: `06_zero_shot_baselines` sets the rows of Table 2 beside these.

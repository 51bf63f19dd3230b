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
#     concurrent: true
#     needs:
#     - stage2
# ---

# %% [markdown]
# # 08 Qualitative retrieval
#
# What stands at the top of the rankings, and when it is wrong, what exactly is wrong with it?
#
# A score says how much, a picture says why. Two methods answer the same queries side by side, chosen by rule and never by hand; then every
# wrong first clip is taken apart: which attribute of the label was missed, and how far from right it lies.
#
# Reads the per-query results of `05` and the benchmark's clips. Writes `runs/<profile>/figures/08_*`. A minute under any profile on two
# cores; nothing is trained or scored.

# %%
from dataclasses import replace

import pandas as pd
from IPython.display import Markdown, display

from tfcovr_utils import rendering, plots
from tfcovr_utils.profiles import get_profile, provenance, runs_dir
from tfcovr_utils.evaluation.qualitative import choose_queries, failures, misses_by_factor, read_rankings, top_ranked, typical_failures, wrong_factors
from tfcovr_utils.sources import load_source
from tfcovr_utils.benchmark.benchmark import Benchmark

# %% tags=["parameters"]
profile = "mini"  # smoke, mini or sim
seed = 0  # of the training whose rankings are shown
render_seed = 0  # of the rendering: another number is another benchmark
side_by_side = ["tfcovr-base", "tfcovr-ordered"]  # two rows of 05: the left and the right of a grid
compared = ["text-only", "clip-mlp-15", "tfcovr-base", "tfcovr-ordered"]  # in the atlas, seven at most

# %%
profile = replace(get_profile(profile), render_seed=render_seed)
folder = rendering.build(profile, progress=False)
benchmark = Benchmark.build(load_source("mini", folder))
out = runs_dir(profile)
figures = plots.figures_dir(out, seed)
text = dict(zip(benchmark.labels.label_id, benchmark.labels.text))
said = benchmark.queries.merge(benchmark.modifications[["modification_id", "text"]]).set_index("query_id").text
display(Markdown(f"profile **{profile.name}**, seed {seed}, protocol `full`  \n`{provenance(profile, seed, side_by_side=side_by_side)}`"))

# %% [markdown]
# ## Queries chosen by rule
# Best, median and worst are the right-hand method's; *furthest ahead* is where the two disagree most, either way. Among equals the
# smallest id counts, and a query that an earlier rule took is passed over.

# %%
rankings = read_rankings(out / "results", side_by_side, seed=seed)
chosen = choose_queries(rankings, side_by_side)
ranked = top_ranked(rankings, benchmark, list(chosen.query_id))
cells = plots.retrieved_cells(chosen, ranked, said)
frames = plots.read_strips(cells, folder)
chosen.assign(text=chosen.query_id.map(said)).round(2)

# %% [markdown]
# ## The first three of each
# The query and its instruction on top, then what each method ranks first, second and third, frames from left to right. Right is a green
# line and ✓, wrong a broken orange one and ✗.

# %%
for rule, query_id in zip(chosen.rule, chosen.query_id):
    display(Markdown(f"**{rule}** (`{query_id}`)"), plots.strips(plots.retrieved_cells(chosen[chosen.query_id == query_id], ranked, said), frames))

# %%
hits = ranked[ranked["rank"] > 0].astype({"right": bool}).groupby(["query_id", "method"], sort=False).right.sum().unstack()
shown = ", ".join(f"{name} {hits[name].sum()}" for name in side_by_side)
display(Markdown(f"*What to notice.* Of the {3 * len(chosen)} clips shown for each method these are right: {shown}. A wrong clip mostly shows the right "
                 "apparatus and shape: what it misses is in the order of its frames, not in any one of them."))

# %% [markdown]
# ## Failure atlas
# Each label is a set of attributes. The clip ranked first is compared with the nearest right label: 0 attributes differ when it is
# right. How far from right do the methods land?

# %%
rankings = read_rankings(out / "results", compared, seed=seed)
failed = failures(rankings, benchmark)
wrong = wrong_factors(failed, benchmark)
far = plots.distances(failed)
far

# %% [markdown]
# ### Which factor was missed
# Left: of the queries whose instruction changes the factor, how many got it wrong. Right: of those that leave it as it is.

# %%
misses = misses_by_factor(failed, wrong)
missed = plots.factor_misses(misses)
missed

# %%
worst = misses[misses.asked & (misses.queries >= 5)].sort_values("missed", ascending=False).drop_duplicates("method").set_index("method").reindex(compared)
display(Markdown("*What to notice.* Missed most often when it is asked for: " + "; ".join(
    f"{name}: {row.factor} ({row.missed:.0f} % of {row.queries:.0f} queries)" for name, row in worst.dropna().iterrows()) + "."))

# %% [markdown]
# ### How far off a count is
# Saltos and turns are counts, so a miss has a size and a sign.

# %%
off = plots.count_errors(wrong)
off

# %% [markdown]
# ### What is taken for what
# The most frequent confusions of the right-hand method; `median rank` is where its first right clip then stood.

# %%
confused = wrong[wrong.method == side_by_side[1]].groupby(["factor", "wanted", "got"]).agg(queries=("query_id", "size"), **{"median rank": ("first_rank", "median")})
confused.sort_values("queries", ascending=False).head(12)

# %% [markdown]
# ### An example of each
# For each factor that the right-hand method misses: of its queries nearest to right, the one in the middle by the rank of the first right
# clip. From left to right the query, that right clip, and the wrong one that stood first.

# %%
examples = typical_failures(wrong, side_by_side[1], rankings, benchmark).head(6)
example_cells = plots.failure_cells(examples, benchmark.clips, text)
gallery = plots.strips(example_cells, plots.read_strips(example_cells, folder), n_frames=6) if len(examples) else Markdown("It ranked a right clip first everywhere.")
gallery

# %% [markdown]
# ## Checks

# %%
assert chosen.query_id.is_unique and chosen.rule.is_unique
first = rankings.dropna(subset="missed").set_index(["method", "query_id"]).missed
assert ((first == "") == (failed.set_index(["method", "query_id"]).distance == 0).reindex(first.index)).all()
assert (failed[failed.distance == 0].first_rank == 1).all()

# %% [markdown]
# ## Export
# Figure 4 shows three of the queries: the median one, and where either method is furthest ahead. `10` draws it from this table.

# %%
of_figure = plots.retrieved_cells(chosen[chosen.rule.str.contains("furthest|^median of")], ranked, said)
plots.save_table(of_figure, "08_retrieved", figures, forms=["csv"])
export = {"08_missed": (missed, misses), "08_distances": (far, failed), "08_counts": (off, wrong)}
if len(examples):
    export["08_examples"] = (gallery, example_cells)
[path.name for name, (figure, drawn_from) in export.items() for path in plots.save_figure(figure, name, drawn_from, figures)]

# %% [markdown]
# Next: `09_retrieval_explorer` lets you ask your own.

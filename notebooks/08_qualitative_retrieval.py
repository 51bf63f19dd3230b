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
# What is ranked first, and when it is wrong, what exactly is wrong with it?
#
# A score says how much, a picture says why. Two methods answer the same queries next to each other. The
# queries are chosen by rule, never by hand. Then every wrong first clip is examined: which attribute of the
# label was missed, and by how much.
#
# Reads the results of `05` and the benchmark's clips. Writes figures `08_*`. Takes a minute on two cores;
# trains and scores nothing.

# %%
from IPython.display import Markdown, display

from tfcovr_utils import open_study, plots
from tfcovr_utils.evaluation import qualitative

# %% tags=["parameters"]
source = "mini"  # mini, smoke, sim, twin; tfcovr, released; folder, for your own clips
profile = None  # sizes and weights; None takes the source's own
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
annotations = None  # folder of annotation files; None takes $TFCOVR_ANNOTATIONS
clips = None  # folder of the clips, such as your own; None takes $TFCOVR_CLIPS
pair = ["tfcovr-base", "tfcovr-ordered"]  # two rows of 05: the left and the right of a grid
compared = ["text-only", "clip-mlp-15", "tfcovr-base", "tfcovr-ordered"]  # in the atlas, seven at most

# %%
study = open_study(source, seed, profile, render_seed, annotations, clips)
study.must_give("queries")
study.summary(pair=pair)

# %% [markdown]
# ## Queries chosen by rule
# Best, median and worst are those of the right-hand method. *Furthest ahead* is where the two disagree most,
# either way. Ties go to the smallest id, and a query that an earlier rule chose is skipped.

# %%
pair = study.ran(pair)
rankings = qualitative.read_rankings(study.results_dir, pair, study.headline, seed)
chosen = qualitative.choose_queries(rankings, pair)
ranked = qualitative.top_ranked(rankings, study.benchmark, list(chosen.query_id))
instructions = study.queries.text
chosen.assign(text=chosen.query_id.map(instructions)).round(2)

# %% [markdown]
# ## The first three of each
# The query and its instruction are on top. Below is what each method ranks first, second and third, with
# frames from left to right. Right answers have a green line and ✓, wrong ones a broken orange line and ✗.

# %%
if study.gives("videos"):
    cells = plots.retrieved_cells(chosen, ranked, instructions)
    frames = plots.read_strips(cells, study.clips_dir)
    for rule, part in chosen.groupby("rule", sort=False):
        shown = plots.retrieved_cells(part, ranked, instructions)
        display(Markdown(f"**{rule}** (`{part.query_id.iloc[0]}`)"), plots.strips(shown, frames))

# %%
hits = ranked[ranked["rank"] > 0].astype({"right": bool}).groupby("method").right.sum()
Markdown(
    f"*What to notice.* Of the {3 * len(chosen)} clips shown for each method these are right: "
    + ", ".join(f"{name} {hits[name]}" for name in pair)
    + "."
)

# %% [markdown]
# ## Failure atlas
# Each label is a set of attributes. The clip ranked first is compared with the nearest right label; 0
# attributes differ when it is right. How far from right do the methods land?

# %%
compared = study.ran(compared)
rankings = qualitative.read_rankings(study.results_dir, compared, study.headline, seed)
failed = qualitative.failures(rankings, study.benchmark)
wrong = qualitative.wrong_factors(failed, study.benchmark)
far = plots.distances(failed)
far

# %% [markdown]
# ### Which attribute was missed
# Left: of the queries whose instruction changes the attribute, the share that got it wrong. Right: of those
# that leave it as it is.

# %%
misses = qualitative.misses_by_factor(failed, wrong)
missed = plots.factor_misses(misses)
missed

# %%
asked = misses[misses.asked & (misses.queries >= 5)].sort_values("missed", ascending=False)
worst = asked.drop_duplicates("method").set_index("method").reindex(compared).dropna()
Markdown(
    "*What to notice.* Missed most often when it is asked for: "
    + "; ".join(
        f"{name}: {row.factor} ({row.missed:.0f} % of {row.queries:.0f} queries)"
        for name, row in worst.iterrows()
    )
    + "."
)

# %% [markdown]
# ### How far off a count is
# Saltos and turns are counts, so a miss has a size and a sign.

# %%
off = plots.count_errors(wrong)
off

# %% [markdown]
# ### What is taken for what
# The most frequent confusions of the right-hand method. `median rank` is the rank of its first right clip.

# %%
confused = wrong[wrong.method == pair[1]].groupby(["factor", "wanted", "got"])
confused = confused.agg(queries=("query_id", "size"), **{"median rank": ("first_rank", "median")})
confused.sort_values("queries", ascending=False).head(12)

# %% [markdown]
# ### An example of each
# For each attribute that the right-hand method misses: of its queries nearest to right, the median one by
# the rank of the first right clip. From left to right: the query, that right clip, and the wrong one ranked
# first.

# %%
examples = qualitative.typical_failures(wrong, pair[1], rankings, study.benchmark).head(6)
example_cells = plots.failure_cells(examples, study.benchmark.clips, study.labels.text)
if shown := len(examples) and study.gives("videos"):
    example_frames = plots.read_strips(example_cells, study.clips_dir)
    display(gallery := plots.strips(example_cells, example_frames, n_frames=6))

# %% [markdown]
# ## Checks

# %%
assert chosen.query_id.is_unique and chosen.rule.is_unique
first = rankings.dropna(subset="missed").set_index(["method", "query_id"]).missed
right = (failed.set_index(["method", "query_id"]).distance == 0).reindex(first.index)
assert ((first == "") == right).all()
assert (failed[failed.distance == 0].first_rank == 1).all()

# %% [markdown]
# ## Export
# Figure 4 shows three of the queries: the median one, and those where either method is furthest ahead. `10`
# draws it from this table.

# %%
of_figure = chosen[chosen.rule.str.contains("furthest|^median of")]
retrieved = plots.retrieved_cells(of_figure, ranked, instructions)
plots.save_table(retrieved, "08_retrieved", study.figures_dir, forms=["csv"])
drawn = {"missed": (missed, misses), "distances": (far, failed), "counts": (off, wrong)}
study.export("08", **drawn, **({"examples": (gallery, example_cells)} if shown else {}))

# %% [markdown]
# Next: `09_retrieval_explorer` lets you ask your own.

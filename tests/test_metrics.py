"""Metrics against CIRCO's and the released code's numbers, plain loops, and each other."""

from functools import partial

import numpy as np
import pytest
import torch
from golden import golden
from hypothesis import given, settings
from hypothesis import strategies as st

from tfcovr_utils.metrics import intervals, official
from tfcovr_utils.metrics import ranking as metrics

TENSORS, FACTS = golden("circo_ap")
FIXTURE = {name: value.numpy() for name, value in TENSORS.items()}
RANKS, NUM_IDS = FACTS["config"]["ranks"], FACTS["config"]["ids"]
DIVIDED_BY_ALL = FACTS["difference_when_wrong"]["divided by the number relevant, not min(K, it)"]
EXACT = 1e-12  # the fixture's tolerance in float64
OFFICIAL = 0.0051  # per cent; the released code rounds to 0.01


def loop_rank(scores, exclude=-1):
    """Order one row of scores by plain sorting: best first, lower index among equals."""
    return sorted((i for i in range(len(scores)) if i != exclude), key=lambda i: (-scores[i], i))


def loop_values(ranked, relevant, k, exclude=-1):
    """Return AP@K, recall@K, hit@K and the first rank of one query, one item at a time."""
    relevant = set(relevant) - {exclude}
    unique = [i for i in dict.fromkeys(ranked) if i not in (exclude, -1)]
    if not relevant:
        return [np.nan] * 4
    hits, total = 0, 0.0
    for rank, item in enumerate(unique[:k], start=1):
        if item in relevant:
            hits += 1
            total += hits / rank
    first = next((rank for rank, item in enumerate(unique, start=1) if item in relevant), np.inf)
    return [total / min(k, len(relevant)), hits / len(relevant), float(hits > 0), first]


def random_case(seed):
    """Draw up to 8 queries over a small gallery: many ties, K above G, empty answers, own clips."""
    rng = np.random.default_rng(seed)
    num_queries, num_gallery = rng.integers(1, 9), rng.integers(1, 40)
    scores = rng.integers(-3, 4, (num_queries, num_gallery)) / 4
    scores[rng.random(scores.shape) < 0.05] = -np.inf
    scores[rng.random(scores.shape) < 0.05] = -0.0
    relevant = rng.random(scores.shape) < rng.choice([0.02, 0.1, 0.5])
    exclude = rng.integers(-1, num_gallery, num_queries)
    ks = sorted(rng.choice(np.arange(1, 45), 3, replace=False).tolist())
    return scores, relevant, exclude, ks


def assert_equal(found, expected, tolerance=1e-9):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("first_seed", range(0, 1000, 250))
def test_scores_agree_with_loops_on_thousands_of_queries(first_seed):
    for seed in range(first_seed, first_seed + 250):
        scores, relevant, exclude, ks = random_case(seed)
        queries = range(len(scores))
        ranked = [loop_rank(scores[q], exclude[q]) for q in queries]
        lists = [np.flatnonzero(relevant[q]).tolist() for q in queries]
        expected = np.array([[loop_values(ranked[q], lists[q], k, exclude[q]) for k in ks] for q in queries])

        found = metrics.rank_gallery(scores, max(ks), exclude)
        assert [[i for i in row if i >= 0] for row in found.tolist()] == [row[: max(ks)] for row in ranked]
        for table in ((scores, relevant), (torch.from_numpy(scores), lists)):
            assert_equal(metrics.average_precision_at(*table, ks, exclude), expected[..., 0])
        assert_equal(metrics.first_rank_at(scores, relevant, exclude), expected[:, 0, 3])


@pytest.mark.parametrize("kind", [int, str])
@pytest.mark.parametrize("first_seed", range(0, 500, 250))
def test_ranked_ids_agree_with_loops_when_ids_repeat(kind, first_seed):
    for seed in range(first_seed, first_seed + 250):
        rng = np.random.default_rng(seed)
        num_queries = rng.integers(1, 9)
        ranked = [rng.integers(0, 15, rng.integers(0, 30)).tolist() for _ in range(num_queries)]
        relevant = [rng.integers(0, 20, rng.integers(0, 6)).tolist() for _ in range(num_queries)]
        ks = sorted(rng.choice(np.arange(1, 35), 3, replace=False).tolist())
        expected = np.array([[loop_values(r, t, k) for k in ks] for r, t in zip(ranked, relevant)])
        if kind is str:
            ranked, relevant = [[[f"clip_{i}" for i in row] for row in table] for table in (ranked, relevant)]
        functions = (metrics.average_precision_ranked, metrics.recall_ranked, metrics.hit_ranked)
        for column, by_rank in enumerate(functions):
            assert_equal(by_rank(ranked, relevant, ks), expected[..., column])
        assert_equal(metrics.first_rank_ranked(ranked, relevant), expected[:, 0, 3])


def test_circo_fixture():
    ranked, relevant = FIXTURE["input.predictions"], FIXTURE["input.relevant"]
    found = metrics.average_precision_ranked(ranked, relevant, RANKS)
    assert_equal(found, FIXTURE["output.ap"], EXACT)
    assert_equal(intervals.mean_over_queries(found)[0], FIXTURE["output.map"], EXACT)
    recall = metrics.hit_ranked(ranked, FIXTURE["input.target"][:, None], RANKS)
    assert_equal(recall, FIXTURE["output.recall"], EXACT)
    assert_equal(intervals.mean_over_queries(recall)[0], FIXTURE["output.mean_recall"], EXACT)


def test_circo_fixture_from_scores():
    ranked, relevant = FIXTURE["input.predictions"], FIXTURE["input.relevant"]
    scores = np.full((len(ranked), NUM_IDS), -1.0)
    np.put_along_axis(
        scores, ranked, np.linspace(1, 0, ranked.shape[1])[None, :].repeat(len(ranked), 0), axis=1
    )
    assert_equal(metrics.average_precision_at(scores, relevant, RANKS), FIXTURE["output.ap"], EXACT)


def official_scores():
    query, gallery = (
        torch.nn.functional.normalize(torch.from_numpy(FIXTURE[f"input.tfcovr.{name}_features"]), dim=-1)
        for name in ("query", "gallery")
    )
    return query @ gallery.T


def test_released_protocol_fixture():
    own, relevant = FIXTURE["input.tfcovr.reference_ids"], FIXTURE["input.tfcovr.relevant"]
    expected, gallery_ids = FIXTURE["output.tfcovr.predictions"], FIXTURE["input.tfcovr.gallery_ids"]
    ranked = official.rank_official(official_scores(), gallery_ids, own, k=expected.shape[1])
    assert (ranked == expected).all()
    found = 100 * official.average_precision_official(ranked, relevant, RANKS)
    assert_equal(found, FIXTURE["output.tfcovr.ap_percent"], OFFICIAL)
    assert found.max() > 100
    assert_equal(found.mean(axis=0), FIXTURE["output.tfcovr.map_percent"], OFFICIAL)
    recall = 100 * official.recall_official(ranked, FIXTURE["input.tfcovr.target"], RANKS)
    assert_equal(recall.mean(axis=0), FIXTURE["output.tfcovr.recall_percent"], OFFICIAL)


def test_released_ranking_counted_right():
    own, relevant = FIXTURE["input.tfcovr.reference_ids"], FIXTURE["input.tfcovr.relevant"]
    gallery_ids = FIXTURE["input.tfcovr.gallery_ids"]
    ranked = official.rank_official(official_scores(), gallery_ids, own, k=len(gallery_ids))
    others = [[clip_id for clip_id in row if clip_id != query] for row, query in zip(ranked, own)]
    found = metrics.average_precision_ranked(others, relevant, RANKS)
    assert_equal(found, FIXTURE["output.tfcovr.ap_unique_gallery"], EXACT)
    assert np.abs(found - official.average_precision_official(ranked, relevant, RANKS)).max() > 0.5


def test_released_ranking_pushes_the_own_clip_down_instead_of_out():
    scores = np.array([[0.9, 0.8, 0.8, 0.1]])
    assert official.rank_official(scores, ["a", "b", "c", "d"], ["a"], k=50).tolist() == [
        ["c", "b", "d", "a"]
    ]


def test_average_precision_by_hand():
    scores = [[0.9, 0.8, 0.7, 0.6, 0.5]]
    relevant = [[0, 2, 4]]
    found = metrics.average_precision_at(scores, relevant, ks=(1, 2, 3, 4, 5))
    assert_equal(found, [[1, 1 / 2, (1 + 2 / 3) / 3, (1 + 2 / 3) / 3, (1 + 2 / 3 + 3 / 5) / 3]])


def test_other_definitions_are_a_known_difference():
    scores = [[0.9, 0.8, 0.7, 0.6]]
    relevant, k = [[1, 2, 3]], 2
    gain = 1 / 2  # one hit, at rank 2
    assert metrics.average_precision_at(scores, relevant, k).item() == gain / 2  # min(K, R) = 2
    assert gain / 3 != gain / 2  # divided by R, as ranx does
    assert gain / 1 != gain / 2  # divided by the hits found, as torchmetrics does
    ranked, many = FIXTURE["input.predictions"], FIXTURE["input.num_relevant"][:, None]
    ours = metrics.average_precision_ranked(ranked, FIXTURE["input.relevant"], RANKS)
    divided_by_all = ours * np.minimum(many, RANKS) / many
    assert ours[:, 0].mean() - divided_by_all[:, 0].mean() == pytest.approx(DIVIDED_BY_ALL, abs=0.001)
    assert many.max() <= RANKS[-1]
    assert_equal(ours[:, -1], divided_by_all[:, -1])


def test_negative_scores_count_as_any_other():
    scores = np.array([[0.3, 0.2, -0.1, -0.4]])
    assert_equal(
        metrics.average_precision_at(scores - 5, [[1, 3]]), metrics.average_precision_at(scores, [[1, 3]])
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_ties_across_the_cut_take_the_lower_index(dtype):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 3, (40, 5000), generator=generator).to(dtype)
    scores[0] = 1
    expected = torch.sort(scores.float(), dim=1, descending=True, stable=True).indices
    for k in (1, 7, 50, 2000, 4999, 5000):
        assert (metrics.rank_gallery(scores, k) == expected[:, :k].numpy()).all()


def test_row_blocks_change_nothing(monkeypatch):
    scores, relevant, exclude, _ = random_case(seed=12)
    whole = metrics.rank_gallery(scores, 9, exclude), metrics.first_rank_at(scores, relevant, exclude)
    monkeypatch.setattr(metrics, "BLOCK", 2 * scores.shape[1] + 1)
    assert (metrics.rank_gallery(scores, 9, exclude) == whole[0]).all()
    assert_equal(metrics.first_rank_at(scores, relevant, exclude), whole[1])
    values = np.arange(7.0)
    assert intervals.bootstrap_interval(values, seed=0, resamples=5).num_queries == 7


def test_own_clip_is_no_answer_even_among_minus_infinities():
    scores = np.array([[-np.inf, -np.inf, 1.0]])
    assert metrics.rank_gallery(scores, 3, exclude_idx=[0]).tolist() == [[2, 1, -1]]
    assert metrics.rank_gallery(scores, 1, exclude_idx=[2]).tolist() == [[0]]
    assert_equal(metrics.average_precision_at(scores, [[2, 1]], 2, exclude_idx=[2]), [[1 / 2]])
    assert_equal(metrics.average_precision_at(scores, [[2]], 2, exclude_idx=[2]), [[np.nan]])


def test_relevant_clips_outside_the_gallery_stay_in_the_divisor():
    assert metrics.recall_ranked([[7, 8]], [[7, 1, 2, 3]], 5).item() == 1 / 4
    assert metrics.average_precision_ranked([[7, 8]], [[7, 1, 2, 3]], 5).item() == 1 / 4


def test_queries_without_answers_are_left_out_and_counted():
    values = metrics.average_precision_at([[2.0, 1.0], [1.0, 2.0], [1.0, 2.0]], [[0], [], [0]], (1, 2))
    assert_equal(values, [[1, 1], [np.nan, np.nan], [0, 0.5]])
    mean, num_undefined = intervals.mean_over_queries(values)
    assert_equal(mean, [0.5, 0.75])
    assert num_undefined == 1
    interval = intervals.bootstrap_interval(values[:, 1], seed=0)
    assert (interval.mean, interval.num_queries, interval.num_undefined) == (0.75, 2, 1)
    with pytest.raises(ValueError, match="all 2 queries are undefined"):
        intervals.mean_over_queries([np.nan, np.nan])


def test_arrays_tensors_and_lists_give_the_same():
    ranked, relevant, own = [[1, 2], [2, 3]], [[1, 2], [3, -1]], [3, 1]
    expected = metrics.average_precision_ranked(ranked, relevant, RANKS)
    assert_equal(expected, [[1] * 4, [0.5] * 4])
    for kind in (np.array, torch.tensor):
        assert_equal(metrics.average_precision_ranked(kind(ranked), kind(relevant), RANKS), expected)
        rows = [kind(row) for row in ranked], [kind(row) for row in relevant]
        assert_equal(metrics.average_precision_ranked(*rows, RANKS), expected)
        scores = kind([[0.0, 2, 1, 3], [0, 3, 2, 1]])
        assert_equal(metrics.average_precision_at(scores, kind(relevant), RANKS, kind(own)), expected)
        assert_equal(metrics.first_rank_at(scores, [kind(row) for row in relevant], kind(own)), [1, 2])


def test_padding_is_no_id():
    for padding, ids in ((-1, [4, 5, 6]), ("", list("abc")), (None, list("abc"))):
        ranked, relevant = [[padding, ids[0], padding, ids[1]]], [[ids[1], padding, ids[2]]]
        assert metrics.average_precision_ranked(ranked, relevant, 5).item() == 1 / 4
        assert metrics.first_rank_ranked(ranked, relevant).item() == 2


def test_nothing_to_rank():
    assert_equal(metrics.first_rank_at(np.zeros((2, 0)), [[], []]), [np.nan, np.nan])
    assert metrics.rank_gallery(np.zeros((2, 0)), 3).tolist() == [[-1] * 3] * 2
    assert metrics.average_precision_at(np.zeros((0, 4)), [], 5).shape == (0, 1)
    assert_equal(metrics.average_precision_ranked([[], []], [[1], []], 5), [[0], [np.nan]])
    assert_equal(metrics.first_rank_ranked([[], []], [[1], []]), [np.inf, np.nan])


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 30))
def test_values_follow_their_items(seed, k):
    rng = np.random.default_rng(seed)
    num_gallery = int(rng.integers(2, 25))
    scores = rng.permuted(np.tile(np.arange(num_gallery), (5, 1)), axis=1) / 7  # no ties
    relevant = rng.random(scores.shape) < 0.3
    rows, columns = rng.permutation(5), rng.permutation(num_gallery)
    values = metrics.average_precision_at(scores, relevant, k)
    moved = metrics.average_precision_at(scores[rows][:, columns], relevant[rows][:, columns], k)
    assert_equal(moved, values[rows], 0)
    assert_equal(
        metrics.average_precision_at(3 * scores - 2, relevant, k), values, 0
    )  # only the order matters
    defined = values[~np.isnan(values)]
    assert ((defined >= 0) & (defined <= 1)).all()
    assert_equal(
        metrics.average_precision_at(relevant, relevant, k)[~np.isnan(values)], np.ones_like(defined)
    )
    ranked = metrics.rank_gallery(scores, k)
    assert_equal(
        metrics.average_precision_ranked(ranked, [np.flatnonzero(r) for r in relevant], k), values, 0
    )


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_an_answer_moved_up_never_hurts(seed):
    rng = np.random.default_rng(seed)
    scores, relevant = rng.normal(size=(6, 20)), rng.random((6, 20)) < 0.3
    relevant[:, 0] = True
    raised = scores + relevant * rng.random()
    better, worse = (metrics.rank_gallery(values, 20) for values in (raised, scores))
    lists = [np.flatnonzero(row) for row in relevant]
    for ranked in (metrics.average_precision_ranked, metrics.recall_ranked, metrics.hit_ranked):
        assert (ranked(better, lists) >= ranked(worse, lists) - 1e-12).all()
    assert (metrics.first_rank_at(raised, relevant) <= metrics.first_rank_at(scores, relevant)).all()


def test_bootstrap_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    drawn = [
        intervals.bootstrap_interval(rng.exponential(size=80), seed=s, resamples=400) for s in range(400)
    ]
    covered = np.mean([i.low <= 1 <= i.high for i in drawn])
    assert 0.90 <= covered <= 0.97  # 0.95 nominal; percentile intervals of skewed values fall a little short
    narrow = intervals.bootstrap_interval(rng.exponential(size=80), seed=0, resamples=400, level=0.5)
    assert narrow.low < narrow.mean < narrow.high


def draw_clustered(rng, num_seeds=3, of_seeds=4.0, of_sets=20.0, together=8.0, num_sets=59):
    """APs around 0 (S, Q) and their answer sets (Q,): unbalanced sets, trainings, and both together."""
    size = np.maximum(1, rng.lognormal(1.8, 0.7, num_sets).astype(int))
    sets = np.repeat(np.arange(num_sets), size)
    seeds, both = of_seeds * rng.normal(size=(num_seeds, 1)), rng.normal(size=(num_seeds, num_sets))
    by_set = of_sets * rng.normal(size=num_sets) + together * both
    return seeds + by_set[:, sets] + 25 * rng.normal(size=len(sets)), sets


@pytest.mark.parametrize("of_seeds", [0.0, 4.0])
def test_intervals_cover_where_queries_share_answers_and_trainings_differ(of_seeds):
    rng = np.random.default_rng(0)
    drawn = [draw_clustered(rng, of_seeds=of_seeds) for _ in range(600)]

    def covered(interval) -> float:
        found = [interval(*one, seed) for seed, one in enumerate(drawn)]
        return np.mean([one.low <= 0 <= one.high for one in found])

    by_sets = partial(intervals.bootstrap_interval, resamples=400)
    assert 0.93 <= covered(lambda values, sets, seed: by_sets(values, seed, sets)) <= 0.97
    # Queries taken for independent draws, and one mean over the trainings for the truth:
    assert covered(lambda values, sets, seed: by_sets(values.mean(0), seed)) < 0.75


def test_what_two_rows_share_by_seed_drops_out_of_their_difference():
    rng = np.random.default_rng(1)
    values, sets = draw_clustered(rng, of_seeds=6)
    better = values + 1 + 0.1 * rng.normal(size=values.shape)
    same = intervals.paired_bootstrap(better, values, 0, sets, same_seeds=True)
    other = intervals.paired_bootstrap(better, values[[1, 2, 0]], 0, sets)
    assert 0.9 < same.low < same.high < 1.1 and other.low < 0 < 2 < other.high
    assert same.mean == pytest.approx(other.mean) and same.num_sets == 59 and same.num_seeds == 3
    one = intervals.bootstrap_interval(np.ones(4), 0, ["a"] * 4)
    assert one.num_sets == 1 and np.isnan([one.low, one.high]).all()


def test_bootstrap_interval_has_the_width_theory_gives():
    values = np.random.default_rng(1).normal(size=2000)
    interval = intervals.bootstrap_interval(values, seed=3)
    assert interval.mean == values.mean()
    expected = 2 * 1.96 * values.std() / np.sqrt(len(values))
    assert interval.high - interval.low == pytest.approx(expected, rel=0.05)
    assert interval == intervals.bootstrap_interval(values, seed=3)
    assert interval != intervals.bootstrap_interval(values, seed=4)


def test_paired_bootstrap_sees_what_separate_intervals_hide():
    rng = np.random.default_rng(2)
    difficulty = rng.random(200)
    better = difficulty + 0.02 + 0.05 * rng.normal(size=200)
    better[7] = difficulty[7] = np.nan
    paired = intervals.paired_bootstrap(better, difficulty, seed=0)
    assert paired.mean == pytest.approx(np.nanmean(better - difficulty), abs=1e-12)
    assert 0 < paired.low < paired.mean < paired.high
    assert paired.p_value < 0.01 and paired.share_not_above_zero < 0.005
    assert (paired.num_queries, paired.num_undefined) == (199, 1)
    first, second = (intervals.bootstrap_interval(values, seed=0) for values in (better, difficulty))
    assert first.low < second.high  # the two intervals overlap
    reverse = intervals.paired_bootstrap(difficulty, better, seed=0)
    assert (reverse.mean, reverse.p_value) == (-paired.mean, paired.p_value)
    assert reverse.share_not_above_zero == 1 - paired.share_not_above_zero


def test_paired_bootstrap_p_value_is_uniform_without_a_difference():
    rng = np.random.default_rng(4)
    p_values = [
        intervals.paired_bootstrap(rng.normal(size=60), rng.normal(size=60), seed=s, resamples=400).p_value
        for s in range(300)
    ]
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)
    same = intervals.paired_bootstrap(np.ones(5), np.ones(5), seed=0)
    assert (same.mean, same.p_value, same.share_not_above_zero) == (0, 1, 1)


def test_wrong_input_says_what_to_do():
    scores = np.zeros((2, 3))
    scores[1, 2] = np.nan
    with pytest.raises(
        ValueError, match="scores holds 1 NaN, the first at query 1, gallery clip 2; recompute"
    ):
        metrics.average_precision_at(scores, [[0], [1]])
    scores[1, 2] = 0
    for at in (metrics.average_precision_at, metrics.first_rank_at):
        for relevant in ([[0], [3]], [[0]], np.zeros((3, 3), bool), [["a"], ["b"]], [[-2], [0]]):
            with pytest.raises(ValueError, match="relevant does not fit 2 queries and 3 gallery clips; pass"):
                at(scores, relevant)
    with pytest.raises(ValueError, match="pass a list for each query"):
        metrics.average_precision_ranked([["a"], ["b"]], ["a", "b"])
    with pytest.raises(ValueError, match="ids mix text and numbers"):
        metrics.average_precision_ranked([["1"], ["2"]], [[1], [2]])
    with pytest.raises(ValueError, match="for 2 and relevant ids for 1 queries"):
        metrics.average_precision_ranked([[1], [2]], [[1]])
    with pytest.raises(ValueError, match=r"exclude_idx .* 0 to 2, or -1 for none"):
        metrics.rank_gallery(scores, 2, exclude_idx=[0, 3])
    with pytest.raises(ValueError, match=r"scores has shape \(3,\)"):
        metrics.rank_gallery(scores[0], 2)
    for ks in (0, (), 2.5):
        with pytest.raises(ValueError, match="pass whole numbers of at least 1"):
            metrics.average_precision_at(scores, [[0], [1]], ks)
    with pytest.raises(ValueError, match="values has shape"):
        intervals.bootstrap_interval([1.0, np.inf], seed=0)
    with pytest.raises(ValueError, match="same queries, in the same order"):
        intervals.paired_bootstrap([1.0, np.nan], [np.nan, 1.0], seed=0)

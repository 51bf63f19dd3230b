"""Galleries on disk: a streamed search ranks as a product in memory does, and FAISS comes close."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from command import status_of

from tfcovr_utils.embedding import galleries
from tfcovr_utils.embedding.galleries import (
    Gallery,
    build_index,
    open_index,
    recall,
    search_exact,
    search_index,
    write_gallery,
)
from tfcovr_utils.metrics.ranking import rank_gallery

DIM = 8


def whole_numbers(count, seed=0):
    """Vectors whose products are exact, and equal for many of them."""
    return torch.randint(-2, 3, (count, DIM), generator=torch.Generator().manual_seed(seed)).float()


def write(folder, rows, **options):
    ids = [f"clip {number}" for number in range(len(rows))]
    return write_gallery(
        folder, ids, lambda part: rows[[int(clip_id.split()[1]) for clip_id in part]], **options
    )


@pytest.fixture
def small_blocks(monkeypatch):
    """Files of a hundred rows are written in parts and read in many blocks."""
    monkeypatch.setattr(galleries, "BLOCK", 7 * DIM)
    monkeypatch.setattr(galleries, "PART", 30)


@pytest.mark.parametrize("dtype", galleries.DTYPES)
@pytest.mark.parametrize("k", [1, 5, 30, 150])
def test_what_streams_is_ranked_as_in_memory(tmp_path, small_blocks, dtype, k):
    """Many scores are equal, also across blocks, so their order is tested too; k may exceed the gallery."""
    rows, query_emb = whole_numbers(100), whole_numbers(9, 1)
    gallery = write(tmp_path, rows, dtype=dtype)
    assert (
        gallery.shape == (100, DIM) and gallery.dtype == dtype and gallery.clip_ids.tolist()[-1] == "clip 99"
    )
    found, scores = search_exact(query_emb, gallery, k), query_emb @ rows.T
    np.testing.assert_array_equal(found.idx, rank_gallery(scores, k))
    there = found.idx >= 0
    assert (found.scores.numpy()[there] == scores.numpy()[np.nonzero(there)[0], found.idx[there]]).all()
    assert found.scores[torch.from_numpy(~there)].isneginf().all()


def test_more_queries_than_a_block_holds(tmp_path, small_blocks):
    rows, query_emb = whole_numbers(40), whole_numbers(200, 1)
    np.testing.assert_array_equal(
        search_exact(query_emb, write(tmp_path, rows), 4).idx, rank_gallery(query_emb @ rows.T, 4)
    )


def test_real_scores_agree_but_for_last_bits(tmp_path, small_blocks):
    generator = torch.Generator().manual_seed(0)
    rows, query_emb = (
        torch.nn.functional.normalize(torch.randn(n, DIM, generator=generator), dim=1) for n in (300, 20)
    )
    found = search_exact(query_emb, write(tmp_path, rows), 50)
    scores = query_emb @ rows.T
    expected = scores.gather(1, torch.from_numpy(rank_gallery(scores, 50)))
    torch.testing.assert_close(found.scores, expected, atol=1e-6, rtol=0)


def test_no_more_than_a_block_is_read_at_a_time(tmp_path, small_blocks):
    rows = whole_numbers(100)
    starts = [(start, len(block)) for start, block in write(tmp_path, rows).blocks()]
    assert starts == [(start, min(7, 100 - start)) for start in range(0, 100, 7)]
    assert torch.equal(torch.cat([block.clone() for _, block in Gallery.open(tmp_path).blocks()]), rows)


def test_clips_without_an_embedding_are_left_out_and_named(tmp_path, small_blocks):
    rows = whole_numbers(100)
    rows[3], rows[40, 2], rows[99, 0] = torch.nan, torch.inf, 1e6  # the last is too large for float16 alone
    with pytest.warns(UserWarning, match=r"2 of 100 clips .*: clip 3, clip 40\."):
        gallery = write(tmp_path, rows)
    assert len(gallery) == len(gallery.clip_ids) == 98
    kept = [number for number in range(100) if number not in (3, 40)]
    np.testing.assert_array_equal(
        np.load(tmp_path / "rows.npy"), rows[kept].numpy()
    )  # numpy itself reads the file
    with pytest.warns(UserWarning, match="clip 3, clip 40, clip 99"):
        assert len(write(tmp_path, rows, dtype="float16")) == 97


def test_a_failed_writing_leaves_the_gallery_that_was_there(tmp_path):
    write(tmp_path, whole_numbers(5))
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match="none of 3 clips has a finite embedding"):
        write(tmp_path, torch.full((3, DIM), torch.nan))
    with pytest.raises(ValueError, match=r"embed gave \(1, 8\) for 2 clips"):
        write_gallery(tmp_path, ["a", "b"], lambda part: whole_numbers(1))
    assert before == sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())


def test_a_damaged_gallery_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="write_gallery"):
        Gallery.open(tmp_path)
    gallery = write(tmp_path, whole_numbers(50))
    with open(tmp_path / "rows.npy", "r+b") as file:
        file.truncate(gallery.offset + 40)
    with pytest.raises(ValueError, match="not a whole npy file"):
        Gallery.open(tmp_path)
    with pytest.raises(OSError, match="cut off"):  # while it is read
        search_exact(whole_numbers(1), gallery, 3)
    np.save(tmp_path / "rows.npy", np.zeros((50, DIM)))
    with pytest.raises(ValueError, match="float64 .* float32 or float16"):
        Gallery.open(tmp_path)
    np.save(tmp_path / "rows.npy", np.zeros((49, DIM), np.float32))
    with pytest.raises(ValueError, match="50 ids for 49 rows"):
        _ = Gallery.open(tmp_path).clip_ids


def test_wrong_questions_get_a_sentence(tmp_path):
    gallery = write(tmp_path, whole_numbers(5))
    with pytest.raises(ValueError, match=r"shape \(2, 4\); expected \(Q, 8\)"):
        search_exact(torch.zeros(2, 4), gallery, 3)
    with pytest.raises(ValueError, match="query 1 is not finite"):
        search_exact(torch.tensor([[0.0] * DIM, [torch.nan] * DIM]), gallery, 3)
    with pytest.raises(ValueError, match="k is 0"):
        search_exact(torch.zeros(2, DIM), gallery, 0)
    with pytest.raises(ValueError, match="float64"):
        write(tmp_path, whole_numbers(5), dtype="float64")


def test_the_command_finds_what_the_function_finds(tmp_path, capsys):
    rows, query_emb = whole_numbers(60), whole_numbers(3, 1)
    write(tmp_path / "gallery", rows)
    np.save(tmp_path / "query_feat.npy", query_emb.numpy())
    given = [
        str(tmp_path / "gallery"),
        "--queries",
        str(tmp_path / "query_feat.npy"),
        "--k",
        "4",
        "--out",
        str(tmp_path / "found.parquet"),
    ]
    assert status_of("search")(given) == 0 and "3 queries of 60 clips" in capsys.readouterr().out
    found = pd.read_parquet(tmp_path / "found.parquet")
    expected = rank_gallery(query_emb @ rows.T, 4)
    assert (
        found["clip_id"].tolist() == [f"clip {idx}" for idx in expected.ravel()]
        and found["rank"].tolist() == [1, 2, 3, 4] * 3
    )
    assert (
        status_of("search")([str(tmp_path), *given[1:]]) == 2 and "write_gallery" in capsys.readouterr().err
    )


def test_without_faiss_it_is_said_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "faiss", None)
    gallery = write(tmp_path, whole_numbers(5))
    with pytest.raises(ImportError, match=r"pip install 'tfcovr_utils\[scale\]'"):
        build_index(gallery)
    np.save(tmp_path / "queries.npy", np.zeros((1, DIM), np.float32))
    assert (
        status_of("search")(
            [
                str(tmp_path),
                "--queries",
                str(tmp_path / "queries.npy"),
                "--index",
                "--out",
                str(tmp_path / "x.parquet"),
            ]
        )
        == 1
    )
    assert "tfcovr_utils[scale]" in capsys.readouterr().err


def clustered(count, seed):
    """Unit vectors about forty centres."""
    centres = torch.randn(40, 16, generator=torch.Generator().manual_seed(0))
    own = torch.Generator().manual_seed(seed)
    rows = centres[torch.randint(40, (count,), generator=own)] + 0.3 * torch.randn(count, 16, generator=own)
    return torch.nn.functional.normalize(rows, dim=1)


def test_an_index_comes_close_and_exact_where_it_reads_all(tmp_path, capsys):
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install 'tfcovr_utils[scale]'")
    rows, query_emb = clustered(5000, 1), clustered(30, 2)
    gallery = write(tmp_path, rows)
    exact, index = search_exact(query_emb, gallery, 20), build_index(gallery)
    found = search_index(query_emb, index, 20)
    assert index.nlist > index.nprobe > 1 and 0.9 < recall(found, exact).mean() <= 1
    again = search_index(query_emb, open_index(gallery), 20)  # as it was kept
    np.testing.assert_array_equal(found.idx, again.idx)
    index.nprobe = 1
    assert recall(search_index(query_emb, index, 20), exact).mean() < recall(found, exact).mean()
    index.nprobe = index.nlist
    whole = search_index(query_emb, index, 20)
    assert recall(whole, exact).min() == 1
    torch.testing.assert_close(whole.scores, exact.scores, atol=1e-5, rtol=0)
    assert recall(search_index(query_emb, build_index(gallery, "HNSW16"), 20), exact).mean() > 0.9
    with pytest.raises(ValueError, match="no index 'nonsense'"):
        build_index(gallery, "nonsense")

    np.save(tmp_path / "queries.npy", query_emb.numpy())
    given = [
        str(tmp_path),
        "--queries",
        str(tmp_path / "queries.npy"),
        "--k",
        "20",
        "--out",
        str(tmp_path / "found.parquet"),
        "--index",
    ]
    assert status_of("search")(given) == 0 and "recall@20 against exact" in capsys.readouterr().out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path, rows[:100])
    with pytest.raises(FileNotFoundError, match="index.faiss"):  # an index of other rows does not stay
        open_index(gallery)


def test_fewer_answers_than_asked(tmp_path):
    pytest.importorskip("faiss", reason="FAISS is not installed: pip install 'tfcovr_utils[scale]'")
    gallery = write(tmp_path, clustered(10, 1))
    found = search_index(clustered(2, 2), build_index(gallery), 15)
    assert (
        (found.idx[:, 10:] == -1).all()
        and found.scores[:, 10:].isneginf().all()
        and (np.sort(found.idx[:, :10]) == np.arange(10)).all()
    )

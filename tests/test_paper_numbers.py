"""The paper's numbers: each method has its row, once, and stands beside ours whether it ran or not."""

import pandas as pd
import pytest

from tfcovr_utils.evaluation.paper import PAPER, ROWS, beside_paper, paper_numbers
from tfcovr_utils.evaluation.results import HEADLINES
from tfcovr_utils.methods import METHODS


def test_every_row_of_tables_2_and_3_has_its_method_once():
    table = pd.read_csv(PAPER, dtype=str, keep_default_na=False)
    wanted = table.loc[table["table"].isin(["2", "3", "text"]), ["table", "row", "query_frames"]]
    assert sorted(ROWS.values()) == sorted(wanted.itertuples(index=False, name=None))


def test_numbers_are_the_papers():
    published = paper_numbers()
    assert published.loc["tfcovr-base"].tolist() == [21.85, 24.23, 26.47, 27.22]
    assert (
        published.loc["blip-covr-ecde-ft", "mAP@50"] == 19.83
        and published.loc["clip-mlp-1", "mAP@50"] == 11.38
    )
    assert published.loc["tfcovr-base-zs"].isna().tolist() == [True, True, True, False]


def test_a_row_that_did_not_run_says_why():
    names = ["tfcovr-base", "languagebind-zs"]
    summary = pd.DataFrame(
        {
            "method": names,
            "status": ["run", "not run: no hub."],
            "n_seeds": [3, 0],
            **{name: [1.0, float("nan")] for name in (*HEADLINES, "mAP@50 low", "mAP@50 high", "mAP@50 sd")},
        }
    )
    table = beside_paper(summary, names[::-1])
    assert (
        table.index.tolist() == names[::-1] and table.loc["languagebind-zs", "status"] == "not run: no hub."
    )
    assert table["paper mAP@50"].tolist() == [5.92, 27.22] and table.loc["tfcovr-base", "mAP@50"] == 1


def test_methods_with_a_published_row_exist():
    known = [name for name in ROWS if name in METHODS]
    assert "blip-covr-ft" in known and "tf-cvr-zs" in known
    with pytest.raises(KeyError):
        paper_numbers().loc["random"]

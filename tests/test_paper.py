"""Figures and tables of the paper: drawn from what a run left; what is missing is named; three forms."""

import pandas as pd
import pytest
from small_benchmark import small_benchmark

from tfcovr_utils import plots
from tfcovr_utils.evaluation.qualitative import choose_queries, read_rankings, top_ranked
from tfcovr_utils.evaluation.rows import run
from tfcovr_utils.methods import METHODS, Setting
from tfcovr_utils.plots.paper_export import Missing, draw, export
from tfcovr_utils.profiles import PROFILES

pytestmark = pytest.mark.slow

PAIR = ["random", "label-oracle"]


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """A run of which only the benchmark, two rows and notebook 08's choice are there."""
    folder = tmp_path_factory.mktemp("run")
    benchmark = small_benchmark(folder / "clips")
    benchmark.save(folder / "benchmark")
    for name in PAIR:
        run(
            METHODS[name],
            Setting(benchmark, folder / "clips", PROFILES["smoke"]),
            ["full"],
            folder / "results",
        )
    rankings = read_rankings(folder / "results", PAIR)
    chosen = choose_queries(rankings, PAIR)
    ranked = top_ranked(rankings, benchmark, list(chosen.query_id))
    cells = plots.retrieved_cells(
        chosen, ranked, benchmark.queries.merge(benchmark.modifications).set_index("query_id").text
    )
    plots.save_figure(
        plots.strips(cells, plots.read_strips(cells, folder / "clips")),
        "08_retrieved",
        cells,
        folder / "figures",
    )
    return folder


@pytest.fixture(scope="module")
def drawn(left):
    return draw(plots.Run(left, left / "clips"))


def test_what_is_there_is_drawn_and_the_rest_is_named(drawn, tmp_path):
    made = {name for name, item in drawn.items() if not isinstance(item.shown, Missing)}
    assert {
        "figure_1_triplets",
        "figure_4_retrieved",
        "overview",
        "table_2",
        "table_3",
        "table_4",
        "table_shortcuts",
        "table_kinds",
    } <= made
    assert drawn["stage2_losses"].shown == "`figures/05_losses.csv` is missing; run notebook 05."
    assert (
        "run notebook 05" in drawn["figure_3_architecture"].shown
        and "Not made" in drawn["table_5"].shown._repr_markdown_()
    )
    index = export(drawn, tmp_path).set_index("name").files
    assert (
        index["figure_1_triplets"] == "pdf, svg, png, csv"
        and index["table_3"] == "tex, md, csv"
        and index["table_5"].startswith("missing: ")
    )
    assert {path.stem for path in tmp_path.iterdir()} == made | {"index"}


def test_a_figure_drawn_again_from_its_csv_is_the_same_file(left, drawn, tmp_path):
    again = plots.save_figure(
        drawn["figure_4_retrieved"].shown, "08_retrieved", drawn["figure_4_retrieved"].table, tmp_path
    )
    assert [path.read_bytes() for path in again] == [
        (left / "figures" / path.name).read_bytes() for path in again
    ]


def test_an_empty_run_makes_what_needs_none(tmp_path):
    drawn = draw(plots.Run(tmp_path, tmp_path))
    assert [name for name, item in drawn.items() if not isinstance(item.shown, Missing)] == ["table_4"]


def test_the_papers_numbers_stand_beside_ours(drawn):
    table = drawn["table_3"].table.set_index("row here")
    assert (
        table.loc["tfcovr-base", "paper mAP@50"] == 27.22
        and pd.isna(table.loc["tfcovr-base", "here mAP@50"])
        and table.seeds.eq(0).all()
    )
    assert len(table) == 10 and drawn["table_2"].table["paper mAP@50"].max() == 7.51


TABLE = pd.DataFrame(
    {
        "method": ["a_b", "50 % & |x|", "oracle"],
        "mAP@5": [1.005, 2.0, 9.0],
        "n": [1200, 3, 4],
        "sd": [float("nan"), 0.5, 0.5],
    }
)
BEST = {"mAP@5": TABLE["method"] != "oracle", "sd": pd.Series(True, index=TABLE.index)}


def test_a_table_has_three_forms_with_the_best_in_bold(tmp_path):
    tex, md, csv = plots.save_table(TABLE, "t", tmp_path, BEST)
    assert tex.read_text().splitlines() == [
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"method & mAP@5 & n & sd \\",
        r"\midrule",
        r"a\_b & 1.00 & 1,200 & - \\",
        r"50 \% \& |x| & \textbf{2.00} & 3 & \textbf{0.50} \\",
        r"oracle & 9.00 & 4 & \textbf{0.50} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert md.read_text().splitlines() == [
        "| method | mAP@5 | n | sd |",
        "| --- | --- | --- | --- |",
        "| a_b | 1.00 | 1,200 | - |",
        "| 50 % & \\|x\\| | **2.00** | 3 | **0.50** |",
        "| oracle | 9.00 | 4 | **0.50** |",
    ]
    pd.testing.assert_frame_equal(pd.read_csv(csv), TABLE)
    first = [path.read_bytes() for path in (tex, md, csv)]
    assert first == [path.read_bytes() for path in plots.save_table(TABLE, "t", tmp_path / "again", BEST)]


def test_a_table_in_a_notebook_is_bold_at_the_same_places():
    html = plots.show_table(TABLE, BEST).to_html()
    assert html.count("font-weight: bold") >= 1 and "2.00" in html and "1,200" in html

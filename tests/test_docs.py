"""README and docs: examples run, commands parse, tables are the committed numbers, links lead somewhere."""

import re
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from small_benchmark import small_setting

from tfcovr_utils.benchmark.protocols import make_task
from tfcovr_utils.cli.main import make_parser
from tfcovr_utils.methods import METHODS
from tfcovr_utils.plots.tables import to_markdown
from tfcovr_utils.profiles import ROOT
from tfcovr_utils.reproduce.publish import MAIN_ROWS, refresh, results_of
from tfcovr_utils.sources import SOURCES
from tfcovr_utils.training.settings import paper_and_code

DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "data" / "README.md"]
}
YOUR_OWN = re.findall(r"```python\n(.*?)```", DOCUMENTS["docs/your-own.md"], re.DOTALL)


@pytest.fixture
def names(tmp_path_factory, tmp_path, monkeypatch):
    """What docs/your-own.md says that its examples know."""
    monkeypatch.setenv("TFCOVR_DATA", str(tmp_path))
    setting = small_setting(tmp_path_factory)
    study = SimpleNamespace(setting=setting, results_dir=tmp_path / "results")
    return {"study": study, "benchmark": setting.benchmark, "folder": setting.clips_dir}


def test_a_method_in_twenty_lines(names, monkeypatch):
    monkeypatch.delitem(METHODS, "text-twice-zs", raising=False)
    exec(YOUR_OWN[0], names)
    table = pd.read_parquet(names["study"].results_dir / "text-twice-zs" / "seed-0.parquet")
    assert set(table["protocol"]) == {"full", "capped"} and (table["coverage"] == 1).all()
    METHODS.pop("text-twice-zs")


@pytest.mark.slow
def test_an_encoder_in_twenty_lines(names):
    exec(YOUR_OWN[1].replace('"resnet18"', '"resnet18", pretrained=False'), names)
    embedded = names["embedded"]
    assert embedded.values.shape == (len(names["benchmark"].clips), 4, 512) and not embedded.missing


def test_a_dataset_in_twenty_lines(names, tmp_path):
    clips = names["benchmark"].clips.merge(names["benchmark"].labels[["label_id", "text"]], on="label_id")
    table = pd.DataFrame({"path": clips["path"], "video": clips["source_video"], "label": clips["text"]})
    table.to_csv(tmp_path / "clips.csv", index=False)
    exec(YOUR_OWN[2], names | {"folder": tmp_path})
    SOURCES.pop("mine")


def test_a_gallery_on_disk(names, tmp_path):
    benchmark = names["benchmark"]
    names |= {"fitted": METHODS["clip-avg-zs"].fit(names["study"].setting)}
    names |= {"gallery_folder": tmp_path / "gallery", "clip_ids": benchmark.clips["clip_id"].tolist()}
    example, replaced = re.subn("k=50", "k=5", YOUR_OWN[3])
    exec(example, names)
    queries = make_task(benchmark, "full", "test").queries
    assert replaced == 1 and names["found"].idx.shape == (len(queries), 5)


def test_examples_stay_within_twenty_lines():
    assert len(YOUR_OWN) == 4 and all(len(example.strip().splitlines()) <= 20 for example in YOUR_OWN)


@pytest.mark.slow
def test_the_front_door_opens_as_readme_says(monkeypatch, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENTS["README.md"], re.DOTALL)
    body = example.replace('"mini"', '"smoke"').replace('study.compare("tfcovr-base", "labels-mlp")', "")
    script = "if __name__ == '__main__':\n" + "".join(f"    {line}\n" for line in body.splitlines())
    (tmp_path / "door.py").write_text(script + "    print(len(study.table()), flush=True)\n")
    for name, value in (("TFCOVR_DATA", "data"), ("TFCOVR_RUNS", "runs"), ("PYTHONPATH", "")):
        monkeypatch.setenv(name, str(tmp_path / value) if value else str(ROOT))
    run = subprocess.run([sys.executable, str(tmp_path / "door.py")], capture_output=True, text=True)
    assert run.returncode == 0 and int(run.stdout.split()[-1]) > 30, run.stderr[-2000:]


# ---- commands


def commands_in(text: str) -> list[str]:
    """Every command that a document gives: lines of bash blocks, and code in a line that has options."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    inline = [code for code in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))]
    lines += [code for code in inline if re.match(r"(tfcovr|make|accelerate) ", code) and "..." not in code]
    return [line.split(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def test_every_command_is_understood():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    parser, parsed = make_parser(), 0
    for name, text in DOCUMENTS.items():
        for line in commands_in(text):
            line = re.sub(r"\$\w+", "0", re.sub(r"^srun bash -c '|'$", "", line))
            if made := re.match(r"(?:\w+=\w+ )*make ([\w-]+)", line):
                assert made[1] in targets, (name, line)
            if found := re.search(r"(?:^|\s|/)(?:tfcovr|-m tfcovr_utils) (.*)$", line):
                arguments = shlex.split(found[1])
                if len(arguments) == 1 and arguments[0] != "explore":
                    continue  # a verb is named, not called
                try:
                    assert parser.parse_args(arguments).run
                except SystemExit as ended:  # as --help does, with status 0
                    assert not ended.code, (name, line)
                parsed += 1
    assert parsed > 40


def test_scripts_for_a_cluster_are_bash():
    blocks = re.findall(r"```bash\n(.*?)```", DOCUMENTS["docs/many-machines.md"], re.DOTALL)
    scripts = [text for text in blocks if "#SBATCH" in text]
    assert len(scripts) == 2
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


# ---- tables and links


def test_tables_are_those_of_the_committed_numbers():
    results = results_of(pd.read_parquet(ROOT / "figures" / "results_mini_queries.parquet"))
    main = results[results["method"].str.strip("`").isin(MAIN_ROWS)]
    assert to_markdown(results) in DOCUMENTS["docs/results.md"] and len(results) > 30
    assert to_markdown(main) in DOCUMENTS["README.md"] and len(main) == len(MAIN_ROWS)
    assert to_markdown(paper_and_code()) in DOCUMENTS["docs/paper-and-code.md"]


def test_a_lost_marker_is_said(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# no markers\n")
    with pytest.raises(ValueError, match="README.md lacks a marker; put <!-- results of mini: begin --> and"):
        refresh(path, "results of mini", pd.DataFrame({"a": [1]}))
    assert path.read_text() == "# no markers\n"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    paths = [path for path in re.findall(r"\]\(([^)#]+)\)", DOCUMENTS[name]) if "://" not in path]
    assert [path for path in paths if not ((ROOT / name).parent / path).exists()] == []


def test_readme_is_short():
    assert len(DOCUMENTS["README.md"].splitlines()) <= 200

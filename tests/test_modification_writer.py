"""The language-model writer against a real server on loopback that misbehaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from command import command
from fake_openai_server import KEY, FakeOpenAI

from tfcovr_utils.labels import parse_label
from tfcovr_utils.labels.pairing import pair_labels, spell_out
from tfcovr_utils.sources.source import label_row
from tfcovr_utils.texts import Asking, check_table, dry_run, make_jobs, write_by_model, write_by_rule
from tfcovr_utils.texts.llm.bill import PRICES, cost
from tfcovr_utils.texts.llm.cache import Answers
from tfcovr_utils.texts.llm.dialogue import prompt_sha, request_body

TWISTS = [f"(FX) salto backward stretched with {n} twist" for n in (0.5, 1, 1.5, 2)]
PLAIN = "(FX) salto backward stretched"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def labels():
    return pd.DataFrame([label_row(t, t, "mini", parse_label(t), "1") for t in [PLAIN, *TWISTS]])


@pytest.fixture
def jobs(labels):
    return make_jobs(pair_labels(labels), labels)  # 20 directed pairs


def _asking(server: FakeOpenAI, tmp_path: Path, **changes) -> Asking:
    values = {"cache_path": tmp_path / "answers.jsonl", "timeout_s": 5.0, "poll_s": 0.02, "retries": 3}
    return Asking(base_url=server.url, **{**values, **changes})


def _pair(job) -> str:
    return f"{spell_out(job.source_text)} > {spell_out(job.target_text)}"


def _write(jobs, asking) -> tuple[pd.DataFrame, list[str]]:
    said: list[str] = []
    return write_by_model(jobs, asking, said.append), said


def _texts(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["modification_id"], table["text"]))


def test_a_finished_run_costs_nothing_to_repeat(jobs, labels, tmp_path, monkeypatch):
    with FakeOpenAI() as server:
        asking = _asking(server, tmp_path)
        first, _ = _write(jobs, asking)
        assert set(server.asked().values()) == {1} and len(server.requests) == len(jobs) == 20
        monkeypatch.delenv("OPENAI_API_KEY")
        again, said = _write(jobs, asking)
        assert len(server.requests) == 20
    pd.testing.assert_frame_equal(first, again)
    assert said[1].startswith("0 answers") and "; 0.000000 USD" in said[1]
    assert set(first["writer"]) == {"openai"} and set(first["model"]) == {"gpt-4o-2024-08-06"}
    assert set(first["prompt_sha"]) == {prompt_sha("short")} and (first["created"] != "").all()
    assert _texts(first) == _texts(write_by_rule(jobs))
    assert check_table(first, labels).empty


@pytest.mark.parametrize("fault", ["500", "drop", "slow", "cut", "html"])
def test_a_request_that_fails_is_asked_again_and_billed_once(fault, jobs, tmp_path):
    with FakeOpenAI() as server:
        server.faults[_pair(jobs[0])] = [fault]
        table, said = _write(jobs[:2], _asking(server, tmp_path, timeout_s=0.7))
        assert server.asked() == {_pair(jobs[0]): 2, _pair(jobs[1]): 1}
        keys = [key for pair, key, _ in server.requests if pair == _pair(jobs[0])]
    assert keys[0] == keys[1] != "none"
    assert set(server.billed.values()) == {1} and len(server.billed) == 2
    assert set(table["writer"]) == {"openai"}
    assert said[-1] == "accepted at once: 2."


def test_retry_after_is_obeyed(jobs, tmp_path):
    with FakeOpenAI() as server:
        server.faults[_pair(jobs[0])] = ["429"]
        table, _ = _write(jobs[:1], _asking(server, tmp_path))
        (_, _, first), (_, _, second) = server.requests
    assert second - first >= 1.0
    assert table["writer"].tolist() == ["openai"]


@pytest.mark.parametrize(
    ("fault", "check"),
    [("refusal", "refused"), ("truncated", "parses"), ("prose", "parses"), ("wrong", "numbers")],
)
def test_a_wrong_answer_is_complained_of_once_then_written_by_rule(fault, check, jobs, tmp_path):
    with FakeOpenAI() as server:
        server.faults[_pair(jobs[0])] = [fault]
        server.faults[_pair(jobs[1])] = [fault, fault]
        asking = _asking(server, tmp_path)
        table, said = _write(jobs[:3], asking)
        answer, complaint = server.last_messages[_pair(jobs[0])][-2:]
        assert "Source" not in answer and complaint.endswith(". Answer with the corrected JSON.")
        assert (answer == "") == (fault == "refusal") and len(complaint.split()) > 10
        assert server.asked() == {_pair(jobs[0]): 2, _pair(jobs[1]): 2, _pair(jobs[2]): 1}
        repeated, _ = _write(jobs[:3], asking)
        assert len(server.requests) == 5  # what was rejected is not paid for again
    assert table["writer"].tolist() == ["openai", "rules", "openai"]
    assert _texts(table) == _texts(repeated) == _texts(write_by_rule(jobs[:3]))
    assert "accepted after a complaint: 1; accepted at once: 1" in said[-1]
    assert f"answers rejected for {check}: 3" in said[-1]
    assert "by rule, rejected twice: 1" in said[-1]


def test_the_complaint_reaches_the_model(jobs):
    first = request_body("gpt-4o", "short", jobs[0].source_text, jobs[0].target_text)
    second = request_body(
        "gpt-4o", "short", jobs[0].source_text, jobs[0].target_text, [("bad", "It says 3.")]
    )
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert first["temperature"] == 0 and first["response_format"]["json_schema"]["strict"]
    assert [m["content"] for m in second["messages"][-2:]] == ["bad", "It says 3."]
    assert first["messages"][:31] == request_body("gpt-4o", "short", "(FX) x", "(FX) y")["messages"][:31]


def test_the_lines_about_cost_are_right(jobs, tmp_path):
    with FakeOpenAI() as server:
        asking = _asking(server, tmp_path)
        server.faults[_pair(jobs[0])] = ["prose"]
        _, said = _write(jobs, asking)
        n = sum(server.billed.values())
    assert n == 21
    # 1000 tokens of prompt, 600 of them reused, and 10 of answer: 0.0004*2.5 + 0.0006*1.25 + 0.00001*10
    assert "21 answers, 21000 prompt tokens (12600 of them reused) and 210 completion" in said[1]
    assert f"{21 * 0.00185:.6f} USD at list prices" in said[1]
    assert said[0].startswith("20 pairs, 20 requests to gpt-4o at http://127.0.0.1:")


def test_a_dry_run_sends_nothing_and_counts_what_is_left(jobs, tmp_path):
    with FakeOpenAI() as server:
        asking = _asking(server, tmp_path)
        body = request_body("gpt-4o", "short", jobs[0].source_text, jobs[0].target_text)
        tokens = sum(len(m["content"]) for m in body["messages"]) / 4
        said = dry_run(jobs[:1], asking)
        assert not server.requests and not asking.cache_path.exists()
        assert (
            f"1 pairs, 1 requests to gpt-4o at {server.url}: {int(tokens)} prompt and 20 completion" in said
        )
        _write(jobs[:5], asking)
        assert "20 pairs, 15 requests" in dry_run(jobs, asking)
    assert "cost unknown, as no price is listed for model 'my-own'" in dry_run(jobs, Asking(model="my-own"))


def test_prices_hold_for_dated_models_and_batches():
    prompt, cached, completion = PRICES["gpt-4o"]
    assert cost("gpt-4o-2024-08-06", 10**6, 0, 10**6, batch=False) == prompt + completion
    assert cost("gpt-4o", 10**6, 0, 10**6, batch=True) == (prompt + completion) / 2
    assert cost("gpt-4o", 10**6, 10**6, 0, batch=False) == cached
    assert cost("unheard-of", 1, 0, 1, batch=False) is None


def test_a_server_that_stays_down_stops_the_run_and_keeps_what_came(jobs, tmp_path):
    with FakeOpenAI() as server:
        asking = _asking(server, tmp_path, retries=0, concurrency=1)
        for job in jobs[3:]:
            server.faults[_pair(job)] = ["500"] * 9
        with pytest.raises(RuntimeError, match="did not answer 10 requests in a row; what came is kept in"):
            _write(jobs, asking)
        assert len(server.requests) == 13
        server.faults.clear()
        table, _ = _write(jobs, asking)
    assert set(table["writer"]) == {"openai"}
    assert max(server.billed.values()) == 1 and len(server.billed) == 20


def test_requests_that_fail_here_and_there_do_not_stop_the_run(jobs, tmp_path):
    with FakeOpenAI() as server:
        for job in jobs[::2]:
            server.faults[_pair(job)] = ["500"]
        _, said = _write(jobs, _asking(server, tmp_path, retries=0, concurrency=1))
    assert "accepted at once: 10; by rule, not answered: 10" in said[-1]


def test_a_pair_that_gets_no_answer_is_written_by_rule_and_asked_next_time(jobs, tmp_path):
    with FakeOpenAI() as server:
        asking = _asking(server, tmp_path, retries=0)
        server.faults[_pair(jobs[0])] = ["500"]
        table, said = _write(jobs[:3], asking)
        assert table["writer"].tolist() == ["rules", "openai", "openai"]
        assert "by rule, not answered: 1" in said[-1]
        assert set(_write(jobs[:3], asking)[0]["writer"]) == {"openai"}


def test_the_key_is_told_to_nobody(jobs, tmp_path, caplog, monkeypatch):
    caplog.set_level("DEBUG")
    with FakeOpenAI() as server:
        asking = _asking(server, tmp_path)
        server.faults[_pair(jobs[1])] = ["401"]
        with pytest.raises(RuntimeError, match=r"status 401.*\*\*\*") as error:
            _write(jobs[:2], asking)
    assert error.value.__cause__ is None
    told = str(error.value) + asking.cache_path.read_text() + caplog.text
    assert KEY not in told
    secret = Asking(base_url="https://me:hidden@example.org:8443/v1/?token=hidden")
    assert secret.provider == "https://example.org:8443/v1"
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(RuntimeError, match="OPENAI_API_KEY is not set; export"):
        _write(jobs, asking)


@pytest.mark.parametrize("change", ["model", "provider", "prompt"])
def test_whatever_matters_is_in_the_key_of_an_answer(change, jobs, tmp_path, monkeypatch):
    with FakeOpenAI() as server, FakeOpenAI() as other:
        asking = _asking(server, tmp_path)
        _write(jobs[:1], asking)
        if change == "model":
            asking = _asking(server, tmp_path, model="gpt-4o-mini")
        elif change == "provider":
            asking = _asking(other, tmp_path)
        else:
            monkeypatch.setitem(
                sys.modules["tfcovr_utils.texts.llm.dialogue"].INSTRUCTIONS, "short", "Be brief."
            )
        _write(jobs[:1], asking)
        assert len(server.requests) + len(other.requests) == 2


def _command(tmp_path: Path, server: FakeOpenAI, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "tfcovr_utils", "write", "--pairs", tmp_path / "pairs.parquet"),
        *("--writer", "openai", "--base-url", server.url, "--cache", tmp_path / "answers.jsonl"),
        *("--out", tmp_path / "out.parquet", "--concurrency", "2", "--poll", "0.05", *more),
    ]


def _kill_when(command: list, happened, tmp_path: Path) -> None:
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not happened() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.005)
    assert happened() and process.poll() is None, "the run was over before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out.parquet").exists()


@pytest.fixture
def tables(labels, tmp_path):
    labels.to_parquet(tmp_path / "labels.parquet")
    pair_labels(labels).to_parquet(tmp_path / "pairs.parquet")


def test_a_killed_run_goes_on_without_asking_again(jobs, tables, tmp_path):
    with FakeOpenAI(delay_s=0.1) as server:
        _kill_when(_command(tmp_path, server), lambda: len(server.requests) > 8, tmp_path)
        time.sleep(0.3)  # the server ends what it was doing
        lines = (tmp_path / "answers.jsonl").read_bytes().splitlines()
        kept = {json.loads(line)["key"] for line in lines}
        assert 4 <= len(kept) < 20
        asked = {key for _, key, _ in server.requests}
        server.requests.clear()
        with open(tmp_path / "answers.jsonl", "ab") as file:
            file.write(b'{"content": "half a li')
        command("write")(_command(tmp_path, server)[4:])
        again = {key for _, key, _ in server.requests}
    assert not again & kept and len(again | kept) == 20
    assert len(again & asked) <= 2  # those that were under way
    assert max(server.billed.values()) == 1
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert set(table["writer"]) == {"openai"} and len(table) == 20


def test_a_whole_answer_without_its_line_end_is_kept_and_a_torn_one_dropped(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"key": "a", "content": "1"}\n{"key": "b", "content": "2"}')
    with Answers(path) as cache:
        assert cache.get("b")["content"] == "2"
        cache.add("c", {"content": "é"})
    with open(path, "ab") as file:
        file.write('{"key": "d", "content": "é'.encode()[:-1])
    with Answers(path) as cache:
        assert [cache.get(key) is not None for key in "abcd"] == [True, True, True, False]
        cache.add("e", {})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == list("abce")


def test_a_damaged_cache_and_a_second_run_are_refused(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"key": "a"}\nnot json\n{"key": "b"}\n')
    with pytest.raises(ValueError, match="line 2 is not an answer in JSON; remove that line"), Answers(path):
        pass
    path.unlink()
    with Answers(path), pytest.raises(RuntimeError, match="in use by another run"), Answers(path):
        pass


def test_a_batch_end_to_end(jobs, tmp_path):
    with FakeOpenAI(polls=2) as server:
        server.faults[_pair(jobs[0])] = ["wrong"]
        server.faults[_pair(jobs[1])] = ["prose", "refusal"]
        server.faults[_pair(jobs[2])] = ["500"]
        server.missing = {_pair(jobs[3])}
        asking = _asking(server, tmp_path, batch=True)
        table, said = _write(jobs, asking)
        assert len(server.batches) == 2  # the pairs, then the complaints
        assert table["writer"].tolist() == ["openai"] + ["rules"] * 3 + ["openai"] * 16
        assert "by rule, not answered: 2; by rule, rejected twice: 1" in said[-1]
        # 18 answers, 2 of them rejected, and 2 to the complaints; at half the price.
        assert "20 answers" in said[1] and f"{20 * 0.00185 / 2:.6f} USD" in said[1]
        server.missing.clear()
        table, _ = _write(jobs, asking)
        assert len(server.batches) == 3 and table["writer"].tolist().count("rules") == 1
        _write(jobs, asking)
        assert len(server.batches) == 3 and max(server.billed.values()) == 1


@pytest.mark.parametrize("lost", ["nothing", "the id", "everything"])
def test_a_batch_left_alone_is_found_again(lost, jobs, tables, tmp_path):
    with FakeOpenAI(polls=10**6) as server:
        given = _command(tmp_path, server, "--batch")
        _kill_when(given, lambda: any(b["looks"] for b in server.batches.values()), tmp_path)
        path = tmp_path / "answers.jsonl"
        lines = path.read_text().splitlines()
        assert [json.loads(line)["state"] for line in lines] == ["intended", "created"]
        if lost == "the id":
            path.write_text(lines[0] + "\n")
        if lost == "everything":  # killed between its intention and the batch
            path.write_text(lines[0] + "\n")
            server.batches.clear()
        server.polls = 1
        command("write")(given[4:])
        assert len(server.batches) == 1 and max(server.billed.values()) == 1
    assert set(pd.read_parquet(tmp_path / "out.parquet")["writer"]) == {"openai"}


def test_a_batch_left_alone_is_collected_by_a_run_without_batches(jobs, tmp_path):
    with FakeOpenAI() as server, FakeOpenAI() as other:
        asking = _asking(server, tmp_path, batch=True)
        _write(jobs, asking)
        lines = asking.cache_path.read_text().splitlines()
        asking.cache_path.write_text("\n".join(lines[:7]) + "\n")  # killed while it was collecting
        server.requests.clear()
        _write(jobs[:1], _asking(other, tmp_path))  # which knows nothing of that batch
        table, said = _write(jobs, _asking(server, tmp_path))
        assert said[1].startswith("15 answers")
        assert not server.requests and set(table["writer"]) == {"openai"}


def test_a_failed_batch_says_why(jobs, tmp_path):
    with FakeOpenAI(polls=10**6) as server:
        asking = _asking(server, tmp_path, batch=True)
        original = server.run_batch

        def fail(batch: dict) -> None:
            batch["status"] = "failed"
            batch["errors"] = {"object": "list", "data": [{"code": "x", "message": "line 3 is too long"}]}

        server.run_batch, server.polls = fail, 0
        with pytest.raises(RuntimeError, match="batch batch_0 failed: line 3 is too long; correct"):
            _write(jobs, asking)
        server.run_batch = original
        assert set(_write(jobs, asking)[0]["writer"]) == {"openai"}


def test_importing_the_writer_does_not_import_the_client():
    code = "import sys, tfcovr_utils.texts; sys.exit('openai' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], env=os.environ).returncode
        == 0
    )

"""Kill the pipeline at random moments: does the next run end with the same files as an undisturbed one?

    python tests/kill_pipeline.py --kills 30 --seed 0 --out DIR

Two undisturbed runs say how long it takes and what it gives. A trial starts it in a fresh folder, sends
SIGKILL to all its processes at a moment drawn uniformly over that time, runs it again to the end and
compares. Time is what the processes compute, so that other work on the machine does not move the moments.
Lines in DIR/kills.jsonl; the same command goes on from there. `--leader` kills the leading process alone,
as a system short of memory does, and its workers must notice by themselves. Needs Linux.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from fake_openai_server import FakeOpenAI
from pipeline import DELAY_S, STEPS

TESTS = Path(__file__).parent
GONE_S = 30  # in which the workers of a killed run must be gone


def start(out: Path, url: str, small: bool) -> subprocess.Popen:
    """The pipeline as a process group of its own. Not as a script: its worker processes would read that in
    again, torch and all."""
    command = [sys.executable, "-c", "import pipeline; pipeline.main()", "--out", str(out), "--base-url", url]
    environment = {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
    }
    # A group in the same session, where Python can: a session of its own would leave the priority that this
    # one was given.
    group = {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}
    with open(f"{out}.log", "a") as log:
        return subprocess.Popen(
            [*command, "--small"] if small else command,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            cwd=TESTS.parent,
            text=True,
            **group,
        )


def finish(process: subprocess.Popen, out: Path) -> dict[str, str]:
    """Wait for the pipeline and read the digest it prints."""
    said, _ = process.communicate()
    if process.returncode:
        log = Path(f"{out}.log").read_text()[-2000:]
        raise RuntimeError(f"the pipeline ended with code {process.returncode}; the end of {out}.log:\n{log}")
    return json.loads(said.splitlines()[-1])


def kill(process: subprocess.Popen, leader_alone: bool = False) -> None:
    """SIGKILL, and wait until every process of the group is gone."""
    process.kill() if leader_alone else os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for _ in range(GONE_S * 20):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    raise RuntimeError(f"worker processes outlived their leader, which was killed {GONE_S} s ago.")


def computed_s(group: int) -> float:
    """Seconds of processor time that the processes of a group have taken so far, those that have ended
    included."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = (
                path.read_text().rpartition(")")[2].split()
            )  # from the third on: the second, a name, may hold anything
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[2]) == group:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def step_reached(out: Path) -> str:
    """The step in which a killed run was; it was still starting where there is none."""
    lines = (out / STEPS).read_text().splitlines() if (out / STEPS).exists() else []
    return json.loads(lines[-1])["step"] if lines else "start"


def trial(
    out: Path, moment_s: float, expected: dict[str, str], small: bool = False, leader_alone: bool = False
) -> dict | None:
    """Kill at a moment and run again; None where the run was over by then."""
    for path in (out, Path(f"{out}.log")):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    with FakeOpenAI(DELAY_S) as model:
        process = start(out, model.url, small)
        while process.poll() is None and computed_s(process.pid) < moment_s:
            time.sleep(0.02)
        if process.returncode is not None:
            finish(process, out)
            return None
        kill(process, leader_alone)
        step, asked = step_reached(out), len(model.requests)
        kept = (
            len((out / "answers.jsonl").read_bytes().splitlines()) if (out / "answers.jsonl").exists() else 0
        )
        found = finish(start(out, model.url, small), out)
        distinct = len({key for _, key, _ in model.requests})
    differs = [part for part in expected if found.get(part) != expected[part]]
    return {
        "moment_s": round(moment_s, 2),
        "step": step,
        "equal": not differs,
        "differs": differs,
        "asked": asked,
        "kept": kept,
        "asked_twice": len(model.requests) - distinct,
    }


def undisturbed(out: Path, small: bool) -> tuple[dict[str, str], float]:
    shutil.rmtree(out, ignore_errors=True)
    with FakeOpenAI(DELAY_S) as model:
        before = os.times()
        found = finish(start(out, model.url, small), out)
        after = os.times()
    return found, after.children_user + after.children_system - before.children_user - before.children_system


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--small", action="store_true", help="a quarter of the clips")
    parser.add_argument("--leader", action="store_true", help="kill the leading process alone")
    options = parser.parse_args()
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    log = out / "kills.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def keep(line: dict) -> None:
        lines.append(line)
        with open(log, "a") as file:
            file.write(json.dumps(line) + "\n")

    if not lines:
        (first, first_s), (second, second_s) = (
            undisturbed(out / f"whole-{number}", options.small) for number in range(2)
        )
        if first != second:
            print(
                "two undisturbed runs differ in "
                + ", ".join(part for part in first if first[part] != second[part])
            )
            return 1
        keep({"undisturbed": first, "seconds": [round(first_s, 1), round(second_s, 1)]})
    expected, seconds = lines[0]["undisturbed"], lines[0]["seconds"]
    print(f"undisturbed: {seconds[0]} and {seconds[1]} s of processor time, equal", flush=True)
    while sum("step" in line for line in lines) < options.kills:
        number = len(lines)
        moment_s = random.Random(f"{options.seed} {number}").uniform(0, sum(seconds) / len(seconds))
        result = trial(out / f"kill-{number}", moment_s, expected, options.small, options.leader)
        keep({"trial": number, **(result or {"late": moment_s})})
        print(lines[-1], flush=True)
        if result is None or result["equal"]:
            shutil.rmtree(out / f"kill-{number}")
            (out / f"kill-{number}.log").unlink()
    kills = [line for line in lines if "step" in line][: options.kills]
    steps = {
        step: sum(line["step"] == step for line in kills)
        for step in dict.fromkeys(line["step"] for line in kills)
    }
    same = sum(line["equal"] for line in kills)
    told = ", ".join(f"{step} ({count})" for step, count in steps.items())
    print(f"{same} of {len(kills)} kills ended in identical results; they fell in {told}.")
    return int(same < len(kills))


if __name__ == "__main__":
    sys.exit(main())

"""Have a language model write modification texts. Only this module knows the client of OpenAI's protocol."""

import asyncio
import os
from collections.abc import Callable
from contextlib import nullcontext

import pandas as pd

from ..instructions import count_outcomes, tabulate
from .batch import Batches
from .bill import Asking, Bill
from .cache import Answers
from .dialogue import ATTEMPTS, Job, Progress

KEY_VARIABLE = "OPENAI_API_KEY"
BODY_TRIES = 2  # of a request whose answer arrives broken
GIVE_UP = 10  # unanswered requests in a row: the provider is down and not merely slow


def write_by_model(jobs: list[Job], asking: Asking, report: Callable = print) -> pd.DataFrame:
    """Have a language model write every job; the rules write what it does not get right.

    Every answer is kept as it comes: an interrupted run resumes where it stopped, and a finished one asks
    nothing. `report` gets the plan before the first request, then the cost and the counts.
    """
    if not asking.cache_path.exists():
        _api_key()  # an error here comes before any file is made
    with Answers(asking.cache_path) as cache:
        bill = Bill(asking, cache)
        report(bill.plan(jobs))
        try:
            _ask_in_batches(jobs, bill)
            if not asking.batch and bill.pending(jobs):
                asyncio.run(_ask_one_by_one(jobs, bill))
        finally:
            report(bill.line())
        progress = [bill.follow(job) for job in jobs]
    report("; ".join(f"{name}: {count}" for name, count in count_outcomes(progress).items()) + ".")
    return tabulate(zip(jobs, progress))


def dry_run(jobs: list[Job], asking: Asking) -> str:
    """Say what `write_by_model` would ask first and what that costs; nothing is sent or written."""
    with Answers(asking.cache_path) if asking.cache_path.exists() else nullcontext({}) as cache:
        return Bill(asking, cache).plan(jobs)


async def _ask_one_by_one(jobs: list[Job], bill: Bill) -> None:
    """Ask for each job until its text is accepted or rejected for good, a few jobs at a time."""
    waiting = iter({(job.source_text, job.target_text): job for job in jobs}.values())
    failures: list[str] = []
    n_unanswered = 0

    async def work(client) -> None:
        nonlocal n_unanswered
        for job in waiting:
            while not failures and (progress := bill.follow(job)).body:
                try:
                    completion = await _ask(client, progress)
                except _Refused as error:
                    failures.append(str(error))
                    return
                n_unanswered = 0 if completion else n_unanswered + 1
                if n_unanswered == GIVE_UP:
                    failures.append(f"{bill.asking.provider} did not answer {GIVE_UP} requests in a row")
                if not completion:
                    break
                bill.keep(progress.key, completion)
            if failures:
                return

    async with _make_client(bill.asking, "AsyncOpenAI") as client:
        # When one fails, the others still wait for the answers to their requests, which are paid for.
        await asyncio.gather(*(work(client) for _ in range(bill.asking.concurrency)))
    if failures:
        raise RuntimeError(f"{failures[0]}; what came is kept in {bill.asking.cache_path}, so run again.")


def _ask_in_batches(jobs: list[Job], bill: Bill) -> None:
    """Collect the batches that earlier runs left open; then submit what is to be asked as a batch."""
    import openai

    asking = bill.asking
    batches = Batches(bill)
    if not batches.open() and not (asking.batch and bill.pending(jobs)):
        return
    with _make_client(asking, "OpenAI") as client:
        try:
            batches.collect_open(client)
            unanswered: set[str] = set()
            for _ in range(ATTEMPTS * asking.batch):
                requests = {k: body for k, body in bill.pending(jobs).items() if k not in unanswered}
                if requests:
                    unanswered.update(batches.submit(client, requests))
        except openai.APIError as error:
            raise RuntimeError(f"{_explain(error)}; submitted batches are not lost, so run again.") from None


class _Refused(Exception):
    """The provider will answer no request of this kind."""


async def _ask(client, progress: Progress) -> dict | None:
    """Ask, with the client's own retries; None where no usable answer came."""
    import openai

    for _ in range(BODY_TRIES):
        try:
            # A provider that knows this header does not bill a repeated request again.
            headers = {"Idempotency-Key": progress.key}
            completion = await client.chat.completions.create(**progress.body, extra_headers=headers)
            if getattr(completion, "choices", None):
                return completion.model_dump()
        except openai.APIStatusError as error:  # noqa: PERF203 (two tries)
            passing = error.status_code in (408, 409, 429) or error.status_code >= 500
            if not passing or error.code == "insufficient_quota":
                raise _Refused(_explain(error)) from None
            return None
        except openai.APIConnectionError:
            return None
        except (openai.APIError, ValueError):
            continue  # the body was cut off or is not JSON
    return None


def _make_client(asking: Asking, kind: str):
    import openai

    return getattr(openai, kind)(
        api_key=_api_key(), base_url=asking.base_url, timeout=asking.timeout_s, max_retries=asking.retries
    )


def _api_key() -> str:
    if key := os.environ.get(KEY_VARIABLE):
        return key
    raise RuntimeError(
        f"{KEY_VARIABLE} is not set; export the provider's key, or any word for a server that needs none."
    )


def _explain(error) -> str:
    """Return a provider's error without the key, which some errors repeat."""
    status = getattr(error, "status_code", None)
    message = str(error).replace(os.environ.get(KEY_VARIABLE) or "\0", "***")
    return f"the provider answered with status {status}: {message}" if status else f"no connection: {message}"

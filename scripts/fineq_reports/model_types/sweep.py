"""All model types, each in a process of its own, so that one that crashes or hangs ends alone; resumable."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq.common.progress import Progress
from fineq_reports.model_types.outcome import UNTRIED, WRONG, Outcome

PROGRESS_FILE = "progress.json"

SECONDS = 240
"""Of CPU time: a type that takes more is given up."""

PATIENCE = 10
"""How many times as long it may take by the clock, for want of a free processor."""

PACKAGES = ("transformers", "torch", "fineq")


def all_types() -> list[str]:
    """Model types that transformers builds text with: causal language models, and those that write a text about an
    image, a sound or another text."""
    from transformers.models.auto import modeling_auto as tables

    names = (
        tables.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        tables.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        tables.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )
    return sorted(set().union(*names))


def sweep(
    types: list[str], directory: Path, jobs: int | None = None, progress: Progress | None = None
) -> list[Outcome]:
    """Try types; what an earlier run of the same code has tried is taken from `directory`.

    Args:
        types: names of model types.
        directory: for the file that an interrupted run leaves.
        jobs: processes at a time; None: one a processor.

    Returns:
        Outcomes in the order of `types`.
    """
    stored = _Stored(directory / PROGRESS_FILE)
    done = {name: stored.outcomes[name] for name in types if name in stored.outcomes}
    left = [name for name in types if name not in done]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fineq_reports.model_types.probe"])
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        futures = [pool.submit(_in_a_process, context, name) for name in left]
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                outcome = future.result()
                done[outcome.model_type] = outcome
                stored.add(outcome)
                if progress:
                    progress(outcome.model_type, number, len(left))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [done[name] for name in types]


class _Stored:
    """Outcomes of an earlier run of the same code on the same packages."""

    def __init__(self, path: Path):
        versions = {package: metadata.version(package) for package in PACKAGES}
        self.path, self.key = path, cache_key("fineq_reports.model_types.probe", inputs=versions)
        self.outcomes: dict[str, Outcome] = {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["key"] == self.key:
                self.outcomes = {line["model_type"]: Outcome(**line) for line in content["outcomes"]}
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def add(self, outcome: Outcome) -> None:
        self.outcomes[outcome.model_type] = outcome
        lines = [self.outcomes[name].as_dict() for name in sorted(self.outcomes)]
        write_text(self.path, json.dumps({"key": self.key, "outcomes": lines}, indent=1) + "\n")


def _in_a_process(context: multiprocessing.context.ForkServerContext, model_type: str) -> Outcome:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_limited, args=(_work, SECONDS, model_type, sender), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(PATIENCE * SECONDS):
            return Outcome(model_type, UNTRIED, f"it takes longer than {PATIENCE * SECONDS} s")
        return Outcome(**receiver.recv())
    except EOFError:
        process.join()
        code = process.exitcode or 0
        if code == -signal.SIGXCPU:
            return Outcome(model_type, UNTRIED, f"it takes more than {SECONDS} s of CPU time")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Outcome(model_type, WRONG, f"its process ended with {how}")
    finally:
        process.kill()
        process.join()


def _limited(work: Callable[[str, Connection], None], seconds: int, model_type: str, sender: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    work(model_type, sender)


def _work(model_type: str, sender: Connection) -> None:
    from fineq_reports.model_types.probe import probe

    sender.send(probe(model_type).as_dict())
    sender.close()

"""Runs proofs side by side, and keeps what has been proven."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq_formal.conversion import proof_rtlil
from fineq_formal.engines import prove
from fineq_formal.proof import Proof, Verdict
from fineq_formal.tools import Provers


def run_proofs(
    proofs: Sequence[Proof], provers: Provers, output: Path, *, cache: Path, jobs: int, limit_s: float
) -> Iterator[tuple[Proof, Verdict]]:
    """Prove, and yield verdicts as they come.

    Args:
        proofs: what.
        provers: the programs.
        output: directory for models, logs and waveforms, one below it for each proof.
        cache: directory of kept verdicts; only what is proven is kept. The key covers the circuit with its rules.
        jobs: proofs at a time.
        limit_s: give up a proof after so many seconds.

    Raises:
        ToolError, SynthesisError: a prover broke down.
    """
    with ThreadPoolExecutor(jobs) as pool:
        running = {}
        try:
            for proof in proofs:
                text, rules = proof_rtlil(proof)
                inputs = {"circuit": text, "engine": proof.engine, "versions": provers.versions()}
                file = cache / f"{cache_key('fineq_formal.engines', inputs=inputs)}.json"
                if file.is_file():
                    yield proof, replace(Verdict(**json.loads(file.read_text(encoding="utf-8"))), kept=True)
                    continue
                work = output / "work" / proof.name
                running[pool.submit(prove, proof, rules, text, provers, work, limit_s)] = (proof, file)
            for done in as_completed(running):
                proof, file = running[done]
                verdict = done.result()
                if verdict.proven:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    write_text(file, json.dumps(asdict(verdict)))
                yield proof, verdict
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise

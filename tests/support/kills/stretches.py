"""Stretches of rounds, each in a process of its own, some of them at the same time."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from kills.ledger import Tally

__all__ = ["Stretch", "run_all"]


@dataclass
class Stretch:
    """Some rounds of one kind on one stand."""

    kind: str
    rounds: int
    seed: int
    took_s: float = 0.0


def run_all(stretches: Sequence[Stretch], jobs: int) -> Iterator[tuple[Stretch, Tally]]:
    """Yield what each found, as they end. Where this is left early they are ended, too."""
    running: list[subprocess.Popen[bytes]] = []
    pool = ThreadPoolExecutor(jobs, "stretch")
    with tempfile.TemporaryDirectory(prefix="trainmon-kills-") as folder:
        try:
            futures = [
                pool.submit(_run, each, Path(folder) / f"{number}.json", running)
                for number, each in enumerate(stretches)
            ]
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in tuple(running):
                process.terminate()  # it ends what it has started
            pool.shutdown()


def _run(
    stretch: Stretch, found: Path, running: list[subprocess.Popen[bytes]]
) -> tuple[Stretch, Tally]:
    command = [sys.executable, "-m", "kills", "--kinds", stretch.kind]
    command += ["--rounds", str(stretch.rounds), "--campaign", str(stretch.seed)]
    began_s = time.monotonic()
    process = subprocess.Popen([*command, "--found", str(found)])
    running.append(process)
    process.wait()
    running.remove(process)
    stretch.took_s = time.monotonic() - began_s
    if found.exists():
        return stretch, Tally.from_json(found.read_text())
    remark = f"the stretch itself ended with status {process.returncode}"
    return stretch, Tally(rounds=stretch.rounds, stuck=1, remarks=[remark])

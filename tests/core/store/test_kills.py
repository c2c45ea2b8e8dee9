"""``kill -9`` of a process that writes, compacts, thins and deletes."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from trainmon.monitor.store.base import MetricsQuery
from trainmon.monitor.store.durable.sqlite import DATABASE

PROGRAM = Path(__file__).with_name("writing_process.py")
ROUNDS = 10


@contextmanager
def writing(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the process, and kill it at the end."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def killed_after(folder: Path, lines: int) -> int:
    """Let the process write so many lines, kill it, and return what it said was safe last."""
    with writing(folder) as process:
        safe = 0
        for _ in range(lines):
            word, number = process.stdout.readline().split()
            safe = int(number) if word == "safe" else safe
        process.kill()
        # What it said before it was killed counts too.
        for line in process.stdout.read().splitlines():
            safe = max(safe, int(line.split()[1])) if line.startswith("safe") else safe
    return safe


async def check_history(store, safe: int) -> None:
    """Hold a history against what its writer said was safe."""
    stored = await store.stored_sequence("s", "p")
    assert stored >= safe
    found = {each.name: each for each in await store.metrics("s", MetricsQuery())}
    for factor, name in enumerate(("loss", "b"), 1):
        assert list(found[name].steps) == list(range(1, stored + 1))
        assert list(found[name].values) == [step * factor for step in range(1, stored + 1)]
    thinned = await store.metrics("s", MetricsQuery(max_points=7))
    assert [sum(each.counts) for each in thinned] == [stored] * 2
    loaded = await store.load("s")
    assert [each.epoch for each in loaded.epochs] == list(range(1, stored // 10 + 1))
    wanted = {f"c{number // 50}" for number in range(7, safe + 1, 7)}
    assert wanted <= {each.command.command_id for each in loaded.commands}
    newest = stored // 5 * 5
    picture = await store.key_frame("s", newest)
    assert picture.global_step == newest
    assert picture.images[0].image_bytes == newest.to_bytes(4, "big") * 2500
    assert [each.summary.session_id for each in await store.sessions()] == ["s"]


@pytest.mark.timeout(300)
async def test_what_was_acknowledged_survives_kills(open_history, tmp_path):
    """Killed at random moments again and again, every acknowledged record is there, once."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - a failure is reported with it
    chance = random.Random(seed)
    folder = tmp_path / "history"
    for _ in range(ROUNDS):
        safe = killed_after(folder, chance.randrange(2, 60))
        with closing(sqlite3.connect(folder / DATABASE)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store = open_history(folder, 1 << 20, 1 << 20)
        await check_history(store, safe)
        await store.close()
    store = open_history(folder, 1 << 20, 1 << 20)
    await store.settle()
    await store.close()
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        (sessions,) = connection.execute("SELECT count(*) FROM sessions").fetchone()
    assert sessions <= 2  # one may have been made and not yet been forgotten


async def test_an_empty_file_is_made_a_database(open_history, tmp_path):
    """Killed before the first page was written, a monitor starts all the same."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / DATABASE).touch()
    store = open_history(tmp_path / "new")
    assert await store.sessions() == []

"""Which store a monitor opens, and one that a stranger wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from trainmon.config import Settings
from trainmon.errors import ConfigurationError
from trainmon.manager import PluginManager
from trainmon.monitor.store.base import Record, Store
from trainmon.monitor.store.durable.store import SqlStore
from trainmon.monitor.store.memory import MemoryStore
from trainmon.monitor.store.opening import open_store


@pytest.fixture
def plugins():
    """Return no plugins."""
    return PluginManager(Settings.from_environment(), "monitor", None)


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:{folder}"])
async def test_history_is_on_disk(plugins, tmp_path, url):
    """The default is in TRAINMON_HOME, another folder can be named."""
    settings = Settings.from_environment(store=url.format(folder=tmp_path / "elsewhere"))
    store, warning = open_store(settings, plugins)
    assert isinstance(store, SqlStore)
    assert not warning
    await store.close()
    where = tmp_path / "elsewhere" if "{" in url else settings.home / "history"
    assert (where / "history.db").exists()
    assert Settings.from_environment().store == "sqlite:"


def test_memory_can_be_asked_for(plugins):
    """Then nothing is written, and nobody is warned."""
    settings = Settings.from_environment(store="memory:")
    store, warning = open_store(settings, plugins)
    assert isinstance(store, MemoryStore)
    assert not warning
    assert not (settings.home / "history").exists()


def test_without_the_library_history_is_in_memory(plugins, monkeypatch):
    """Where the database's library is missing, a line says what that means and what helps."""
    monkeypatch.setattr("trainmon.monitor.store.opening.find_spec", lambda name: None)
    store, warning = open_store(Settings.from_environment(), plugins)
    assert isinstance(store, MemoryStore)
    assert "GONE" in warning
    assert "pip install 'trainmon[monitor]'" in warning
    assert "\n" not in warning


def test_an_unknown_url_is_refused(plugins):
    """Nobody guesses what a URL means."""
    with pytest.raises(ConfigurationError, match=r"TRAINMON_STORE.*mongodb"):
        open_store(Settings.from_environment(store="mongodb://x"), plugins)


class StrangersStore(Store):
    """No more than what the interface asks for, as another's plugin has it."""

    def __init__(self) -> None:
        self.memory = MemoryStore(1 << 20)

    @property
    def identity(self) -> str:
        return "stranger"

    async def append(self, session_id: str, record: Record) -> Sequence[str]:
        return list(await self.memory.append(session_id, record))

    async def stored_sequence(self, session_id, producer_id):
        return await self.memory.stored_sequence(session_id, producer_id)

    async def metrics(self, session_id, query):
        return await self.memory.metrics(session_id, query)

    async def key_frame(self, session_id, step):
        return await self.memory.key_frame(session_id, step)

    async def put_command(self, record):
        pass

    async def forget(self, session_id):
        await self.memory.forget(session_id)

    async def close(self):
        await self.memory.close()


async def test_a_strangers_store_serves(start_monitor, open_trainer, watch, series):
    """A store that knows nothing of sessions is enough; viewers resume while the monitor runs."""
    async with start_monitor(_store=StrangersStore()) as monitor:
        answer = await monitor.register(run_key="run", producer_id="p", sends_metric_data=True)
        trainer = await open_trainer(monitor, answer.session_id, "p")
        viewer = await watch(monitor, answer.session_id)
        cursor = (await viewer.next()).cursor
        for number in (1, 2):
            await trainer.send(number, metric_data=series("loss", [1.0], number))
            await viewer.until("metric_data")
        again = await watch(monitor, answer.session_id, resume_cursor=cursor)
        assert not (await again.next()).snapshot.reset
        for number in (1, 2):
            event = await again.until("metric_data")
            assert event.metric_data.series[0].steps[0] == number
        await trainer.status("COMPLETED", sequence=3)
        await trainer.settle()
        (loss,) = (await monitor.metrics(answer.session_id)).series
        assert list(loss.steps) == [1, 2]


def test_a_folder_that_cannot_be_made_is_refused(plugins, tmp_path: Path):
    """A file in the way is named, with the setting."""
    (tmp_path / "file").touch()
    settings = Settings.from_environment(store=f"sqlite:{tmp_path / 'file' / 'x'}")
    with pytest.raises(ConfigurationError, match="TRAINMON_STORE"):
        open_store(settings, plugins)

"""Opens the store that the settings name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from trainmon.errors import ConfigurationError
from trainmon.monitor.store.memory import MemoryStore

if TYPE_CHECKING:
    from trainmon.config import Settings
    from trainmon.manager import PluginManager
    from trainmon.monitor.store.base import Store

__all__ = ["open_store"]

MEMORY, SQLITE = "memory:", "sqlite:"
#: Where history is in TRAINMON_HOME.
_FOLDER = "history"
_MISSING = (
    "trainmon: SQLAlchemy is not installed, so HISTORY WILL BE GONE when this monitor ends; "
    "to keep it: pip install 'trainmon[monitor]'"
)


def open_store(settings: Settings, plugins: PluginManager) -> tuple[Store, str]:
    """Open the store that ``TRAINMON_STORE`` names.

    Returns:
        The store, and what the user is to be warned of; empty where there is nothing.

    Raises:
        ConfigurationError: Nobody opens that URL, or what it names cannot be used.
        TrainmonError: What is stored there cannot be used; it was left as it is.
    """
    url = settings.store
    if url == MEMORY:
        return MemoryStore(settings.history_bytes), ""
    if url.startswith(SQLITE):
        if find_spec("sqlalchemy") is None:
            return MemoryStore(settings.history_bytes), _MISSING
        return _open_sqlite(settings, url.removeprefix(SQLITE)), ""
    store = plugins.open_store(url)
    if store is None:
        raise ConfigurationError(
            "TRAINMON_STORE",
            url,
            "sqlite:, sqlite:FOLDER, memory:, or a URL that an installed plugin opens",
        )
    return store, ""


def _open_sqlite(settings: Settings, folder: str) -> Store:
    from trainmon.monitor.store.durable.store import SqlStore

    where = Path(folder).expanduser().absolute() if folder else settings.home / _FOLDER
    return SqlStore(where, settings.run_pictures_bytes, settings.pictures_bytes)

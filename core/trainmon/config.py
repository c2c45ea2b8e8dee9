"""Every setting, in one frozen and validated place.

Each field has one environment variable, a default, a unit in its name or its description, and a
check. ``docs/settings.md`` lists them; a test compares.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from trainmon.errors import ConfigurationError

__all__ = ["Settings", "parse_address"]

_ADDRESS = re.compile(r"^(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^:\s\[\]/]+)):(?P<port>\d{1,5})$")


def parse_address(text: str, setting: str = "TRAINMON_MONITOR") -> tuple[str, int]:
    """Split ``host:port`` (IPv6 in brackets).

    Raises:
        ConfigurationError: It is not of that form, or the port exceeds 65535.
    """
    match = _ADDRESS.match(text.strip())
    if match is None or int(match["port"]) > 65535 or not _resolvable(match["host"] or ""):
        raise ConfigurationError(setting, text, "an address such as 127.0.0.1:50051")
    return match["v6"] or match["host"], int(match["port"])


def _resolvable(host: str) -> bool:
    """Tell whether a name can be looked up at all: no label of it is empty or too long."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _address(text: str) -> str:
    parse_address(text)
    return text.strip()


def _number(kind: type[int | float], low: float, high: float) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        number = kind(value)
        if not low <= number <= high:
            raise ValueError
        return number

    parse.__doc__ = f"a number from {low:g} to {high:g}"
    return parse


def _names(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(name.strip() for name in parts if name.strip())


def _home(value: Any) -> Path:
    return Path(value).expanduser().absolute()


def _setting(
    env: str, default: Any, doc: str, parse: Callable[[Any], Any], expected: str | None = None
) -> Any:
    metadata = {
        "env": env,
        "doc": doc,
        "parse": parse,
        "expected": expected or parse.__doc__ or "a valid value",
    }
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Settings of one process. Build with :meth:`from_environment`."""

    monitor: str = _setting(
        "TRAINMON_MONITOR",
        "127.0.0.1:50051",
        "Where the monitor listens, as a training reaches it: host:port.",
        _address,
        "an address such as 127.0.0.1:50051",
    )
    home: Path = _setting(
        "TRAINMON_HOME",
        lambda: user_data_path("trainmon", appauthor=False),
        "Folder that holds the monitor's data; one monitor per folder.",
        _home,
        "a folder",
    )
    disable_plugins: tuple[str, ...] = _setting(
        "TRAINMON_DISABLE_PLUGINS",
        (),
        "Plugins that are not to be loaded: entry-point names, separated by commas.",
        _names,
        "names separated by commas",
    )
    run_key: str = _setting(
        "TRAINMON_RUN_KEY",
        "",
        "Joins processes to one run: the same key is the same session. Empty: made anew.",
        str,
        "a text",
    )
    session_name: str = _setting(
        "TRAINMON_SESSION_NAME",
        "",
        "Name of the run, for people, where the script gives none. Empty: the script's name.",
        str,
        "a text",
    )
    exit_timeout_s: float = _setting(
        "TRAINMON_EXIT_TIMEOUT",
        2.0,
        "How long a training waits at its end, in seconds, for the relay to deliver the rest.",
        _number(float, 0, 60),
    )
    relay_linger_s: float = _setting(
        "TRAINMON_RELAY_LINGER",
        30.0,
        "How long the relay goes on alone, in seconds, to deliver what is left.",
        _number(float, 0, 86_400),
    )
    pause_orphan_timeout_s: float = _setting(
        "TRAINMON_PAUSE_ORPHAN_TIMEOUT",
        600.0,
        "How long a pause outlives the link to the monitor, in seconds.",
        _number(float, 1, 86_400),
    )
    stall_after_s: float = _setting(
        "TRAINMON_STALL_AFTER",
        30.0,
        "After how many seconds without a step, at least, a running training counts as stalled.",
        _number(float, 1, 86_400),
    )
    overhead_budget: float = _setting(
        "TRAINMON_OVERHEAD_BUDGET",
        0.5,
        "Cores the relay may spend on pictures; over it the picture rate falls. 1 is one core.",
        _number(float, 0.01, 64),
    )
    key_frame_interval_s: float = _setting(
        "TRAINMON_KEY_FRAME_INTERVAL",
        10.0,
        "Seconds between the pictures kept for the history, watched or not.",
        _number(float, 0.1, 86_400),
    )
    buffer_bytes: int = _setting(
        "TRAINMON_BUFFER_BYTES",
        8 << 20,
        "Shared memory between a training and its relay for scalars and events, in bytes.",
        _number(int, 1 << 16, 1 << 30),
    )
    spool_bytes: int = _setting(
        "TRAINMON_SPOOL_BYTES",
        1 << 30,
        "Disk under TRAINMON_HOME a relay takes for what the monitor does not have yet, in bytes.",
        _number(int, 1 << 18, 1 << 44),
    )
    outbox_bytes: int = _setting(
        "TRAINMON_OUTBOX_BYTES",
        64 << 20,
        "Memory a relay takes for it while that disk cannot be written, in bytes.",
        _number(int, 1 << 16, 1 << 34),
    )
    heartbeat_interval_ms: int = _setting(
        "TRAINMON_HEARTBEAT_INTERVAL_MS",
        1000,
        "How often the monitor asks relays for a heartbeat, in ms.",
        _number(int, 1000, 2000),
    )
    heartbeat_timeout_ms: int = _setting(
        "TRAINMON_HEARTBEAT_TIMEOUT_MS",
        5000,
        "After how long a silence, in ms, a training's link counts as lost.",
        _number(int, 2000, 60_000),
    )
    max_message_bytes: int = _setting(
        "TRAINMON_MAX_MESSAGE_BYTES",
        4 << 20,
        "Greatest message the monitor and the gateway take, in bytes.",
        _number(int, 1 << 16, 1 << 30),
    )
    image_quality: int = _setting(
        "TRAINMON_IMAGE_QUALITY", 85, "JPEG quality of the tiles.", _number(int, 1, 95)
    )
    performance_every_n_batches: int = _setting(
        "TRAINMON_PERFORMANCE_EVERY",
        10,
        "Rates and resources are sent every so many batches.",
        _number(int, 1, 10),
    )
    max_sessions: int = _setting(
        "TRAINMON_MAX_SESSIONS",
        1000,
        "Sessions the monitor holds in memory, live ones among them; ended ones beyond it stay in "
        "the store and come back when looked at. With memory: the oldest ended one is forgotten.",
        _number(int, 1, 1_000_000),
    )
    store: str = _setting(
        "TRAINMON_STORE",
        "sqlite:",
        "Where the monitor keeps history: sqlite: (history in TRAINMON_HOME), sqlite:FOLDER, "
        "memory: (it ends with the monitor), or a URL that an installed plugin opens.",
        str,
        "a URL",
    )
    history_bytes: int = _setting(
        "TRAINMON_HISTORY_BYTES",
        256 << 20,
        "Memory the monitor spends on the history of one session with memory:, in bytes.",
        _number(int, 1 << 20, 1 << 40),
    )
    run_pictures_bytes: int = _setting(
        "TRAINMON_RUN_PICTURES_BYTES",
        256 << 20,
        "Pictures kept of one run, in bytes; beyond it every second one goes, evenly.",
        _number(int, 1 << 20, 1 << 40),
    )
    pictures_bytes: int = _setting(
        "TRAINMON_PICTURES_BYTES",
        8 << 30,
        "Pictures kept of all runs, in bytes; beyond it those of the oldest ended runs thin first.",
        _number(int, 1 << 20, 1 << 50),
    )
    viewer_queue_bytes: int = _setting(
        "TRAINMON_VIEWER_QUEUE_BYTES",
        4 << 20,
        "What may wait for one slow viewer, pictures aside, before it is told to resume, in bytes.",
        _number(int, 1 << 16, 1 << 30),
    )
    max_viewer_streams: int = _setting(
        "TRAINMON_MAX_VIEWER_STREAMS",
        1000,
        "Streams the gateway holds open to viewers at once; more are refused.",
        _number(int, 1, 1_000_000),
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, _checked(item, getattr(self, item.name)))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Build from the environment; arguments given and not None win over it.

        Raises:
            ConfigurationError: A value cannot be used; names the variable.
        """
        source = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for item in fields(cls):
            # An empty variable is an unset one, as everywhere in a shell.
            value = given.get(item.name)
            value = source.get(item.metadata["env"]) or None if value is None else value
            if value is not None:
                values[item.name] = value
        return cls(**values)

    def to_environment(self) -> dict[str, str]:
        """Return the variables that make a child process build the same settings."""
        return {item.metadata["env"]: _text(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """Return (variable, default, description) for each setting, for the docs."""
        return [
            (item.metadata["env"], _text(item.default), item.metadata["doc"])
            if item.default is not MISSING
            else (item.metadata["env"], "the user's data directory", item.metadata["doc"])
            for item in fields(cls)
        ]


def _checked(item: Field[Any], value: Any) -> Any:
    try:
        return item.metadata["parse"](value)
    except ConfigurationError:
        raise
    except (TypeError, ValueError):
        raise ConfigurationError(item.metadata["env"], value, item.metadata["expected"]) from None


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)

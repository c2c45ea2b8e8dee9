"""Reads a plugin's hook implementations and checks that they fit the contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from trainmon.errors import PluginError
from trainmon.hookspecs import HOOKSPEC_VERSION
from trainmon.plugin import PROJECT_NAME

__all__ = ["Implementation", "read_plugin"]

_MARK = f"{PROJECT_NAME}_impl"
_VERSION = f"{PROJECT_NAME}_hookspec_version"

Implementation = tuple[str, Callable[..., Any], dict[str, Any]]
"""Hook, function, and the options of its marker."""


def read_plugin(plugin: object, known: Mapping[str, tuple[str, ...]]) -> list[Implementation]:
    """Return a plugin's implementations of the hooks in ``known``, which has their arguments.

    Raises:
        PluginError: It does not fit the contract; says what, and what to do.
    """
    if inspect.isclass(plugin):
        raise PluginError(
            f"{plugin.__name__} is a class: name a module or an object, such as {plugin.__name__}()"
        )
    _check_version(plugin)
    implementations: dict[str, Implementation] = {}
    for attribute, function, options in _marked(plugin, known):
        hook = options.get("specname") or attribute
        if hook not in known:
            if options.get("optionalhook"):
                continue
            raise PluginError(_unknown(hook, known))
        if hook in implementations:
            raise PluginError(f"{hook} is implemented twice; the second time by {attribute}")
        _check_kind(hook, function, options)
        _check_arguments(hook, function, known[hook])
        implementations[hook] = (hook, function, options)
    return list(implementations.values())


def _check_version(plugin: object) -> None:
    needed = getattr(plugin, _VERSION, 1)
    if not isinstance(needed, int):
        raise PluginError(f"{_VERSION} is {needed!r}, but should be a whole number")
    if needed > HOOKSPEC_VERSION:
        raise PluginError(
            f"needs version {needed} of the hooks, this trainmon has {HOOKSPEC_VERSION}: "
            "upgrade trainmon, or install an older version of the plugin"
        )


def _marked(
    plugin: object, known: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    for attribute in dir(plugin):
        # Looked up statically, so that no property runs and no lazy module imports anything.
        static = inspect.getattr_static(plugin, attribute, None)
        if not inspect.isroutine(static):
            continue
        inner = getattr(static, "__func__", static)
        options = getattr(static, _MARK, None) or getattr(inner, _MARK, None)
        if isinstance(options, dict):
            yield attribute, getattr(plugin, attribute), options
        elif attribute in known:
            raise PluginError(f"{attribute} is not marked: put @hookimpl of trainmon.plugin on it")


def _check_kind(hook: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    if options.get("wrapper") or options.get("hookwrapper"):
        raise PluginError(
            f"{hook} is a wrapper, which could lose what another plugin answers: "
            "use tryfirst or trylast instead"
        )
    unwrapped = inspect.unwrap(function)
    if (
        inspect.iscoroutinefunction(unwrapped)
        or inspect.isgeneratorfunction(unwrapped)
        or inspect.isasyncgenfunction(unwrapped)
    ):
        raise PluginError(f"{hook} is a coroutine or generator, but should be a plain function")


def _check_arguments(hook: str, function: Callable[..., Any], offered: tuple[str, ...]) -> None:
    for name, parameter in inspect.signature(function).parameters.items():
        required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if required and name not in offered:
            has = ", ".join(offered) or "none"
            raise PluginError(f"{hook} has no argument {name}; it has {has}")


def _unknown(hook: str, known: Mapping[str, tuple[str, ...]]) -> str:
    close = get_close_matches(hook, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"they are {', '.join(sorted(known))}"
    return f"there is no hook {hook}: {hint} (optionalhook=True allows one of a newer trainmon)"

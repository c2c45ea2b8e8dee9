"""The contract is one file: every hook documented, typed and called, nothing heavy imported."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

from trainmon import hookspecs, plugin
from trainmon.manager import HOOKS, PluginManager

ADAPTER_HOOKS = {
    "trainmon_instrument",
    "trainmon_collect_batch",
    "trainmon_collect_epoch",
    "trainmon_declare_controls",
    "trainmon_check_control",
    "trainmon_apply_control",
}


def test_every_hook_stands_in_the_loop_of_the_contract_with_its_exact_arguments():
    """The contract's docstring shows each hook where it is called, arguments and all."""
    shown = set(re.findall(r"trainmon_\w+\([^)]*\)", inspect.getdoc(hookspecs)))
    assert shown == {f"{name}({', '.join(arguments)})" for name, arguments in HOOKS.items()}


def test_every_hook_is_public_and_nothing_else_is():
    """What the contract exports are its version, its marker and the hooks."""
    assert set(hookspecs.__all__) == {"HOOKSPEC_VERSION", "hookspec", *HOOKS}


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_tells_of_each_argument_and_answer(hook):
    """A hook's docstring names each argument, and what to return where it may return something."""
    spec = getattr(hookspecs, hook)
    doc = inspect.getdoc(spec)
    for argument in HOOKS[hook]:
        assert re.search(rf"^    {argument}: ", doc, re.MULTILINE), argument
    assert ("Returns:" in doc) == (spec.__annotations__["return"] != "None")


@pytest.mark.parametrize("hook", HOOKS)
def test_the_manager_has_one_method_a_hook(hook):
    """Call sites use a typed method that takes the hook's arguments in its order."""
    method = getattr(PluginManager, hook.removeprefix("trainmon_"))
    arguments = tuple(inspect.signature(method).parameters)
    adapter = ("adapter",) if hook in ADAPTER_HOOKS else ()
    assert arguments == ("self", *adapter, *HOOKS[hook])


def test_the_contract_imports_nothing_heavy():
    """Contract, plugin module and manager load pluggy and no RPC, picture or CLI library."""
    code = "import sys, trainmon.manager, trainmon.hookspecs, trainmon.plugin; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    loaded = set(answer.stdout.split())
    heavy = {"asyncio", "grpclib", "grpc", "PIL", "click", "numpy", "google.protobuf", "pytest"}
    assert "pluggy" in loaded
    assert not loaded & heavy


def test_the_plugin_in_the_docs_is_complete(trainmon_plugins, session, capsys):
    """The example in the docstring of trainmon.plugin runs as it stands."""
    from dataclasses import replace
    from types import ModuleType

    from trainmon.channel.records import StepRecord

    block = inspect.getdoc(plugin).split("``acme_alarm.py``::")[1].split("and in its")[0]
    acme_alarm = ModuleType("acme_alarm")
    exec(inspect.cleandoc(block), vars(acme_alarm))  # noqa: S102 - our own example

    trainmon_plugins.register(acme_alarm, "acme")
    step = StepRecord(global_step=7, epoch=0, batch_index=7, time_ms=0.0, loss=1.0)
    trainmon_plugins.batch_ended(session, step)
    assert capsys.readouterr().out == ""
    trainmon_plugins.batch_ended(session, replace(step, loss=1e6))
    assert capsys.readouterr().out == "digits: loss 1e+06 at step 7\n"

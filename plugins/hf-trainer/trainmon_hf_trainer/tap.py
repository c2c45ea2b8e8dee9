"""Listening to a Trainer's steps for the length of one training.

Its ``training_step`` is wrapped on the instance, whatever class made it, and called exactly as
before; the model's forward is heard by a hook. Both are taken off when the training ends.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Listener", "Tap"]

#: What a Trainer calls on itself while it trains; there is no event for an exception.
_DOORS = ("_run_epoch", "_evaluate", "_finalize_training")
#: The same where the whole training is one method, which has begun: the most that it calls.
_OLDER_DOORS = ("get_batch_samples", "training_step", "_maybe_log_save_evaluate")


class Listener:
    """What a tap tells; each call may raise, and that is told to :meth:`failed`."""

    def step_begins(self, inputs: Any) -> None:
        """A step begins with these inputs, which the step may take apart."""

    def forwarded(self, given: Mapping[str, Any], output: Any) -> None:
        """The model was called with gradients, and returned this."""

    def step_returned(self, loss: Any, items: Any) -> None:
        """The step returned its loss; ``items`` is its ``num_items_in_batch``."""

    def left(self, error: BaseException) -> None:
        """The training is being left by an exception."""

    def failed(self, where: str, error: Exception) -> None:
        """A call raised."""


class Tap:
    """Wraps one Trainer's steps.

    Args:
        trainer: Whose.
        listener: Told of each step.
    """

    def __init__(self, trainer: Any, listener: Listener) -> None:
        self._trainer = trainer
        self._listener: Listener | None = listener
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """Listen from now on."""
        self._wrap("training_step", self._step)
        self._install_doors()
        self._hear(_spoken_to(self._trainer))

    def _install_doors(self) -> None:
        whole = hasattr(self._trainer, "_run_epoch")
        for name in _DOORS if whole else _OLDER_DOORS:
            if hasattr(self._trainer, name):
                self._wrap(name, self._door)
        if not whole:
            self._wrap("call_event", self._door, self._trainer.callback_handler)

    def remove(self) -> None:
        """Listen no more, and leave everything as it was."""
        self._listener = None
        while self._undo:
            self._undo.pop()()

    def _tell(self, where: str, *news: Any) -> None:
        listener = self._listener
        if listener is None:
            return
        try:
            getattr(listener, where)(*news)
        except Exception as error:  # noqa: BLE001 - law 1: nothing of ours may end a training step
            listener.failed(where, error)

    def _wrap(self, name: str, around: Callable[..., Any], owner: Any = None) -> None:
        """Put ``around(original, ...)`` in place of a method of this one Trainer, or of a part."""
        owner = self._trainer if owner is None else owner
        before = vars(owner).get(name)
        wrapper = functools.partial(around, getattr(owner, name))

        def undo() -> None:
            if vars(owner).get(name) is not wrapper:
                return  # wrapped again by another: ours stays inside, and is silent
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

        setattr(owner, name, wrapper)
        self._undo.append(undo)

    def _step(self, original: Any, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        self._tell("step_begins", inputs)
        loss = original(model, inputs, *rest, **named)
        self._tell("step_returned", loss, rest[0] if rest else named.get("num_items_in_batch"))
        return loss

    def _door(self, original: Any, *given: Any, **named: Any) -> Any:
        try:
            return original(*given, **named)
        except BaseException as error:
            self._tell("left", error)
            raise

    def _hear(self, module: Any) -> None:
        if getattr(module, "_compiled_call_impl", None) is not None:
            self._hear_compiled(module)
            return

        def hook(module: Any, arguments: tuple[Any, ...], named: dict[str, Any], out: Any) -> None:
            self._heard(module, arguments, named, out)

        handle = module.register_forward_hook(hook, with_kwargs=True)
        self._undo.append(handle.remove)

    def _hear_compiled(self, module: Any) -> None:
        """Listen to a module that was compiled in place: a hook would become part of its graph."""
        compiled = module._compiled_call_impl  # noqa: SLF001 - there is no other way round it

        def call(*arguments: Any, **named: Any) -> Any:
            out = compiled(*arguments, **named)
            self._heard(module, arguments, named, out)
            return out

        def undo() -> None:
            if module._compiled_call_impl is call:  # noqa: SLF001 - as above
                module._compiled_call_impl = compiled  # noqa: SLF001 - as above

        module._compiled_call_impl = call  # noqa: SLF001 - as above
        self._undo.append(undo)

    def _heard(
        self, module: Any, arguments: tuple[Any, ...], given: Mapping[str, Any], out: Any
    ) -> None:
        import torch

        # Old log probabilities, teachers and generation are asked without gradients.
        if self._listener is None or not module.training or not torch.is_grad_enabled():
            return
        if arguments:
            given = {**{f"argument {index}": each for index, each in enumerate(arguments)}, **given}
        self._tell("forwarded", given, out)


def _spoken_to(trainer: Any) -> Any:
    """Return the module to listen at: where no hook becomes part of a compiled graph.

    A compiled model is heard from outside, so that demand may come and go without another graph;
    under DataParallel the wrapper has the whole batch. Every other model is heard itself, for some
    losses call it and not its wrapper.
    """
    import torch

    wrapped = getattr(trainer, "model_wrapped", None)  # no truth value: it may have a length
    if hasattr(wrapped, "_orig_mod") or isinstance(wrapped, torch.nn.DataParallel):
        return wrapped
    return trainer.model

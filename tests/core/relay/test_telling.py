"""Records to messages: scalars in bulk, resources, and what the wire cannot carry."""

from __future__ import annotations

import os
import sys
import threading
import types

import pytest

from trainmon import wire
from trainmon.channel import StepRecord, TrainerChannel, Word
from trainmon.relay.clock import ClockOffset
from trainmon.relay.losses import LossCounter
from trainmon.relay.pace import Pace
from trainmon.relay.performance import Performance
from trainmon.relay.resources import Gpus, Resources
from trainmon.relay.run_state import RunState
from trainmon.relay.scalars import Scalars
from trainmon.v1.control_pb2 import CommandState
from trainmon.v1.telemetry_pb2 import PerformanceData


def step(number: int, **fields) -> StepRecord:
    """Return the end of a batch."""
    return StepRecord(
        **{"global_step": number, "epoch": 0, "batch_index": number, "time_ms": 0.0, **fields}
    )


# --- scalars --------------------------------------------------------------------------------------


def test_attempts_are_series_of_their_own():
    """Steps trained again after a checkpoint was loaded do not mix with the earlier."""
    scalars = Scalars()
    scalars.add(step(5, loss=1.0))
    scalars.add(step(5, loss=2.0, attempt=1))
    [data] = scalars.flush()
    found = {each.attempt: list(each.values) for each in data.series}
    assert found == {0: [1.0], 1: [2.0]}
    assert scalars.flush() == []


def test_a_step_without_a_loss_has_no_row():
    """Absence is absence: no NaN is made up."""
    scalars = Scalars()
    scalars.add(step(0))
    scalars.add(step(1, metrics={"accuracy": 0.5}))
    [data] = scalars.flush()
    assert [(each.name, list(each.steps)) for each in data.series] == [("accuracy", [1.0])]


def test_very_many_names_make_several_messages():
    """None is larger than a monitor takes; no row is lost; long names are cut."""
    scalars = Scalars()
    names = [f"{index}-{'n' * 400}" for index in range(500)]
    scalars.add(step(0, metrics=dict.fromkeys(names, 1.0)))
    messages = scalars.flush()
    assert len(messages) > 1
    assert max(data.ByteSize() for data in messages) < 256 << 10
    assert sum(len(data.series) for data in messages) == 500
    assert max(len(each.name) for data in messages for each in data.series) == 256


# --- what the wire cannot carry -------------------------------------------------------------------


def test_odd_values_of_a_user_are_mended_and_refuse_nothing():
    """Half surrogate pairs, negative and enormous counts, settings that are no text."""
    request = wire.registration(
        {
            "run_key": "k",
            "session_name": "a\ud800b",
            "total_epochs": -3,
            "batches_per_epoch": 1 << 70,
            "hyperparameters": {"lr": 0.1, "odd\udfff": None},
            "class_names": ["\ud800", 7],
            "pid": 1 << 40,
        }
    )
    assert request.session_name == "a?b"
    assert request.total_epochs == 0
    assert request.batches_per_epoch == (1 << 64) - 1
    assert dict(request.hyperparameters) == {"lr": "0.1", "odd?": ""}
    assert list(request.class_names) == ["?", "7"]
    assert request.pid == (1 << 32) - 1
    request.SerializeToString()


def test_a_registration_beyond_the_limit_loses_what_is_least_needed():
    """Settings first, then names; keys never."""
    request = wire.registration(
        {"run_key": "k", "class_names": ["x" * 100] * 100, "hyperparameters": {"h": "y" * 20_000}}
    )
    smaller = wire.fitting(request, 15_000)
    assert not smaller.hyperparameters
    assert len(smaller.class_names) == 100
    smallest = wire.fitting(request, 1000)
    assert not smallest.class_names
    assert smallest.run_key == "k"
    assert len(request.class_names) == 100


def test_a_result_tells_only_what_it_has():
    """No value is made up for a command without one."""
    result = wire.command_result(
        {
            "command_id": "c",
            "state": "APPLIED",
            "applied_at_step": 3,
            "previous_value": None,
            "applied_value": 0.5,
            "time_ms": 12.5,
        }
    )
    assert result.state == CommandState.COMMAND_STATE_APPLIED
    assert (result.applied_at_step, result.applied_value, result.timestamp_ms) == (3, 0.5, 12)
    assert not result.HasField("previous_value")
    assert not result.HasField("effective_value")


def test_a_control_that_changes_replaces_its_former_self():
    """By name; others stay."""
    request = wire.registration({})
    for value in (1.0, 2.0):
        specs = [{"name": "a", "current_value": value}, {"name": f"b{value:g}"}]
        wire.learn(request, wire.session_details({"controls": specs}))
    assert [(each.name, each.current_value) for each in request.controls] == [
        ("a", 2.0),
        ("b1", 0.0),
        ("b2", 0.0),
    ]


def test_notes_are_told_once_and_are_no_more_than_people_read():
    """A note that comes with every step fills nothing."""
    run = RunState({"info": {"run_key": "k"}})
    for number in range(200):
        details = wire.session_details({"notes": ["the same", f"note {number}"]})
        run.learn(details)
        assert len(details.notes) <= 2
    assert len(run.notes) == 50
    assert run.notes[0] == "the same"


# --- rates and resources --------------------------------------------------------------------------


@pytest.fixture
def channel():
    """Give a channel of its own."""
    made = TrainerChannel.create(4096)
    yield made
    made.memory.close()


@pytest.fixture
def performance(channel):
    """Give rates over a channel of their own."""
    pace = Pace()
    losses = LossCounter(channel.block)
    return Performance(channel.block, pace, losses, ClockOffset()), pace


def test_rates_are_due_every_so_many_batches_and_every_second(performance):
    """No more than ten times a second, and once a second where nobody watches."""
    told, pace = performance
    told.every_n_batches = 5
    told.message(100.0, PerformanceData())
    assert not told.due(100.5, watched=True)
    for number in range(5):
        pace.step(step(number))
    assert not told.due(100.05, watched=True)
    assert told.due(100.2, watched=True)
    assert not told.due(100.2, watched=False)
    assert told.due(101.0, watched=False)


def test_the_cost_for_the_training_is_the_mean_of_the_last_second(channel, performance):
    """Time in the call divided by batches, from what the training counts."""
    told, _ = performance
    words = channel.block.words
    told.message(0.0, PerformanceData())
    words[Word.STEPS], words[Word.CAPTURE_NS] = 100, 2_000_000
    assert told.message(1.0, PerformanceData()).capture_us == pytest.approx(20)
    words[Word.STEPS], words[Word.CAPTURE_NS] = 200, 12_000_000
    told.message(2.0, PerformanceData())
    assert told.message(2.5, PerformanceData()).capture_us == pytest.approx(100)


def test_pictures_are_counted_over_a_second(performance):
    """Those of a second ago are gone."""
    told, _ = performance
    for moment in (0.1, 0.2, 0.9):
        told.pictures.add(moment)
    assert told.message(1.0, PerformanceData()).pictures_per_second == 3
    assert told.message(1.15, PerformanceData()).pictures_per_second == 2


def test_resources_are_sampled_in_another_thread_at_most_once_a_second():
    """Whoever asks gets the newest there is, at once."""
    resources = Resources(os.getpid())
    try:
        assert not resources.update(0.0).memory_bytes
        resources._sampling.result(20)
        first = resources.update(0.1)
        assert first.memory_bytes > 1 << 20
        assert not first.HasField("cpu_percent")
        assert resources.update(0.9) is first
        resources.update(1.0)
        resources._sampling.result(20)
        assert resources.update(1.1).HasField("cpu_percent")
        names = [each.name for each in threading.enumerate()]
        assert sum(name.startswith("trainmon-resources") for name in names) == 1
    finally:
        resources.close()


def test_a_training_that_is_gone_has_no_resources():
    """The host's are told all the same."""
    resources = Resources((1 << 22) - 1)
    try:
        sample = resources._sample()
        assert not sample.HasField("memory_bytes")
        assert sample.host_memory_total_bytes > 0
    finally:
        resources.close()


def library(**changes) -> types.ModuleType:
    """Return a module that answers as NVIDIA's does."""
    module = types.ModuleType("pynvml")
    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: f"GPU {handle}".encode(),
        "nvmlDeviceGetMemoryInfo": lambda _: types.SimpleNamespace(used=5, total=9),
        "nvmlDeviceGetUtilizationRates": lambda handle: types.SimpleNamespace(gpu=40 + handle),
        **changes,
    }
    vars(module).update(answers)
    return module


def fail(*_):
    """Fail as a broken driver does."""
    raise OSError("driver")


def test_gpus_are_read_through_the_drivers_library(monkeypatch):
    """Name, load and memory of each."""
    monkeypatch.setitem(sys.modules, "pynvml", library())
    found = Gpus().read()
    assert [(gpu.index, gpu.name, gpu.utilization_percent) for gpu in found] == [
        (0, "GPU 0", 40),
        (1, "GPU 1", 41),
    ]
    assert (found[0].memory_used_bytes, found[0].memory_total_bytes) == (5, 9)


@pytest.mark.parametrize(
    ("broken", "gpus"),
    [
        ("nvmlInit", 0),
        ("nvmlDeviceGetHandleByIndex", 0),
        ("nvmlDeviceGetMemoryInfo", 0),
        ("nvmlDeviceGetUtilizationRates", 2),
    ],
)
def test_a_driver_that_fails_costs_only_what_it_does_not_tell(monkeypatch, broken, gpus):
    """A GPU without a figure is shown without it; one without memory is none."""
    monkeypatch.setitem(sys.modules, "pynvml", library(**{broken: fail}))
    assert len(Gpus().read()) == gpus


def test_without_the_library_there_are_no_gpus(monkeypatch):
    """It is optional."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Gpus().read() == []

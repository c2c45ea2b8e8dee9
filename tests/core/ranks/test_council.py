"""The ranks' council: a command takes effect at the same step on every rank, or on none."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from trainmon.capture.ranks.minutes import Entry, Minutes, Said, command_from, command_record
from trainmon.events import ControlCommand, ControlKind


def steps_of(world, command_id: str) -> set[int | None]:
    """Return the steps at which the living ranks have carried a command out."""
    return {rank.done.get(command_id) for rank in world.living}


def ended(world, command_id: str) -> bool:
    """Whether a command was carried out by all living ranks, or refused."""
    refused = any(command_id in rank.refused for rank in world.living)
    return refused or None not in steps_of(world, command_id)


def test_a_command_of_any_rank_takes_effect_at_one_step(world):
    """It may come to any rank, and every rank carries it out at the same step, later than asked."""
    run = world(3)
    for asked in run.ranks:
        before = max(rank.step for rank in run.ranks)
        command = asked.ask()
        run.until(lambda command=command: ended(run, command))
        (step,) = steps_of(run, command)
        assert step is not None
        assert step > before


def test_an_objection_of_one_rank_refuses_it_on_all(world):
    """What one rank cannot do none does, and whoever asked is told which, and why."""
    run = world(3)
    run.ranks[2].objects = "no such knob"
    command = run.ranks[0].ask()
    run.until(lambda: ended(run, command))
    assert run.ranks[0].refused == {command: "rank 2: no such knob"}
    for _ in range(50):
        run.round()
    assert steps_of(run, command) == {None}


def test_commands_at_once_keep_their_order(world):
    """Many commands at one rank are carried out by all in the order they came."""
    run = world(2)
    asked = [run.ranks[0].ask() for _ in range(5)]
    run.until(lambda: ended(run, asked[-1]))
    assert run.ranks[0].order == run.ranks[1].order == asked


def test_a_pause_and_what_comes_in_it(world):
    """All ranks wait at one step, take a change there at once, and resume together."""
    run = world(2)
    pause = run.ranks[0].ask(ControlKind.PAUSE)
    run.until(lambda: all(rank.paused for rank in run.ranks))
    (step,) = steps_of(run, pause)
    for _ in range(500):  # 25 s
        run.round()
    change = run.ranks[1].ask()
    run.until(lambda: ended(run, change))
    resume = run.ranks[0].ask(ControlKind.RESUME)
    run.until(lambda: not any(rank.paused for rank in run.ranks))
    assert steps_of(run, change) == steps_of(run, resume) == {step}
    run.until(lambda: min(rank.step for rank in run.ranks) > step + 3)


def test_a_resume_without_a_pause_is_refused(world):
    """Preconditions are checked in the votes."""
    run = world(2)
    command = run.ranks[0].ask(ControlKind.RESUME)
    run.until(lambda: ended(run, command))
    assert run.ranks[0].refused == {command: "not paused"}


def test_a_rank_that_dies_in_a_pause_ends_it(world):
    """The others notice that it shows no life, leave, and refuse what needs it from then on."""
    run = world(3)
    run.ranks[0].ask(ControlKind.PAUSE)
    run.until(lambda: all(rank.paused for rank in run.ranks))
    run.ranks[1].alive = False
    run.until(lambda: not any(rank.paused for rank in run.living))
    for rank in run.living:
        assert "rank 1 has shown no sign of life for" in rank.left_pause
    command = run.ranks[0].ask()
    run.until(lambda: ended(run, command))
    assert "rank 1 has shown no sign of life" in run.ranks[0].refused[command]


def test_a_rank_that_stood_still_takes_part_again(world):
    """One that was only stopped for a while ends its pause like the others, and is back."""
    run = world(2)
    run.ranks[0].ask(ControlKind.PAUSE)
    run.until(lambda: all(rank.paused for rank in run.ranks))
    run.ranks[1].alive = False
    run.until(lambda: not run.ranks[0].paused)
    run.ranks[1].alive = True
    run.until(lambda: not run.ranks[1].paused)
    for _ in range(20):
        run.round()
    command = run.ranks[0].ask()
    run.until(lambda: ended(run, command))
    assert None not in steps_of(run, command)


@pytest.mark.parametrize("dies", [0, 1])
def test_a_rank_that_dies_with_a_proposal_under_way(world, dies):
    """None of the others waits for ever, whether the proposer dies or a rank that is to vote."""
    run = world(3)
    run.ranks[0].ask()
    run.ranks[0].go()
    run.ranks[0].courier.turn()  # proposed, and nobody has voted
    run.ranks[dies].alive = False
    step = max(rank.step for rank in run.ranks)
    run.until(lambda: min(rank.step for rank in run.living) > step + 100)


def test_ranks_that_have_not_joined_are_waited_for_and_then_refused(world):
    """A command that only some ranks would carry out is refused, and says what to do."""
    run = world(2)
    alone = type(run)(3)
    alone.ranks[2].alive = False
    command = alone.ranks[0].ask()
    alone.until(lambda: ended(alone, command))
    assert "2 of 3 ranks have joined" in alone.ranks[0].refused[command]
    alone.ranks[2].alive, alone.ranks[2].step = True, alone.ranks[0].step
    again = alone.ranks[0].ask()
    alone.until(lambda: ended(alone, again))
    assert None not in steps_of(alone, again)


def test_a_rank_that_leaves_frees_the_others(world):
    """After one rank has ended its session nobody pauses or waits, and commands are refused."""
    run = world(2)
    run.ranks[0].ask(ControlKind.PAUSE)
    run.until(lambda: all(rank.paused for rank in run.ranks))
    store = run.store
    minutes = Minutes(store)
    while minutes.read() is not None:
        pass
    assert minutes.append(Entry(Said.LEFT, 1, rank=1))
    run.ranks[1].alive = False
    run.until(lambda: not run.ranks[0].paused)
    command = run.ranks[0].ask()
    run.until(lambda: ended(run, command))
    assert "rank 1 has ended its session" in run.ranks[0].refused[command]


def test_a_rank_that_cannot_learn_what_was_decided_says_so(world):
    """Whose store is lost after its vote goes on without the command, and tells of the doubt."""
    run = world(2)
    voter = run.ranks[1]
    run.ranks[0].ask()
    run.until(lambda: any(key.endswith("/1") and "vote" in key for key in run.store.keys))
    voter.courier.give_up("its connection broke")
    voter.go()
    assert voter.doubts == ["its connection broke"]
    step = voter.step
    run.until(lambda: run.ranks[0].done)
    assert voter.step > step
    assert not voter.done


def decided_for(run, command: str) -> None:
    """Go on until rank 0 has carried a command out, and rank 1's courier knows of no decision."""
    first, second = run.ranks
    while command not in first.done:
        first.courier.turn()
        if not second.courier._open:
            second.courier.turn()  # it reads the proposal, and nothing that comes later
        while second.courier._votes:
            number, text = second.courier._votes.popleft()
            run.store.write(f"vote/{number}/1", text)
        for rank in run.ranks:
            if run.may_go(rank):
                rank.go()
        run.now_s += 0.02


def test_a_decision_that_comes_with_the_end_is_heard(world):
    """It is carried out though the courier reads it, and that the others left, in mid-visit."""
    run = world(2)
    first, second = run.ranks
    command = first.ask(ControlKind.STOP)
    decided_for(run, command)
    first.courier._write(Entry(Said.LEFT, 0, rank=0))
    assert not second.courier.inbox
    apply, turned = second.council._apply, []

    def apply_then_turn(step: int) -> None:
        apply(step)
        if not turned:
            turned.append(step)
            second.courier.turn()

    second.council._apply = apply_then_turn
    for _ in range(3):
        second.go()  # its courier turns in the midst of the first visit, and never else
    assert second.courier.lost
    assert second.done == first.done
    assert second.doubts == []


def test_what_another_rank_has_decided_is_not_refused(world):
    """What came to two ranks is carried out by both, though one of them left meanwhile."""
    run = world(2)
    first, second = run.ranks
    command = ControlCommand("of both", ControlKind.STOP)
    first.council.ask(command)
    first.go()
    first.courier.turn()
    second.council.ask(command)
    run.until(lambda: second.council._due)
    (item,) = second.council._due
    first.courier._read()
    first.courier._write(Entry(Said.LEFT, 0, rank=0))
    while second.step <= item.entry.step:
        second.courier.turn()
        second.go()
    assert second.done == {"of both": item.entry.step}
    assert second.refused == {}


def test_closing_answers_what_waits(world):
    """Every command that was asked of a rank has an end, also when its session ends first."""
    run = world(2)
    run.ranks[0].ask()
    run.ranks[0].go()
    run.ranks[0].ask()
    run.ranks[0].council.close(0)
    assert set(run.ranks[0].refused) == {"0-1", "0-2"}


def test_a_command_is_the_same_after_it_was_written_down():
    """What the other ranks carry out is what was asked, but for its time to live."""
    command = ControlCommand(
        "a", ControlKind.SET_CONTROL, "me", "knob", 0.1, None, 1, 2, expires_at_s=3.0
    )
    entry = Entry(Said.PROPOSE, 0, "key", step=4, commands=[command_record(command)])
    (record,) = Entry.parse(entry.text()).commands
    assert command_from(record) == replace(command, expires_at_s=None)


KINDS = (ControlKind.ADJUST_LEARNING_RATE, ControlKind.PAUSE, ControlKind.RESUME)


def shaken(world, chance: random.Random, moves: int, *, together: bool) -> None:
    """Let any part do the next thing, commands come to any rank, and ranks stand still."""
    for _ in range(moves):
        rank = chance.choice(world.living)
        move = chance.random()
        if move < 0.45:
            rank.courier.turn()
        elif move < 0.9:
            if not together or world.may_go(rank):
                rank.go()
        elif move < 0.92:
            rank.ask(chance.choice(KINDS))
        elif move < 0.925:
            world.now_s += chance.uniform(0, 6)
        elif move < 0.9252 and len(world.living) > 2:
            rank.alive = False
        world.now_s += chance.uniform(0, 0.02)


@pytest.mark.parametrize("together", [True, False], ids=["in lockstep", "apart"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_no_interleaving_parts_the_ranks(world, size, together):
    """Whatever comes before what, and whoever dies: never two steps for one command."""
    for seed in range(40):
        run = world(size)
        shaken(run, random.Random(seed), 4000, together=together)
        for command in {name for rank in run.ranks for name in rank.done}:
            found = {rank.done[command] for rank in run.ranks if command in rank.done}
            assert len(found) == 1, f"seed {seed}: {command} at steps {sorted(found)}"
        lines = sorted((rank.order for rank in run.ranks), key=len)
        for shorter, longer in pairwise(lines):
            assert longer[: len(shorter)] == shorter, f"seed {seed}: in another order"


@pytest.mark.parametrize("size", [2, 3])
def test_every_command_ends_and_every_training_goes_on(world, size):
    """After any past, once nothing stands still: all is answered, all carry out the same."""
    for seed in range(40):
        run = world(size)
        shaken(run, random.Random(seed), 1500, together=True)
        for rank in run.living:
            if rank.paused:
                rank.ask(ControlKind.RESUME)
        asked = {f"{rank.courier.rank}-{n + 1}" for rank in run.living for n in range(rank.asked)}
        told = {name for name in asked if name.startswith(tuple("012"))}
        run.until(lambda run=run, told=told: all(ended(run, each) for each in told))
        last = run.living[0]
        if any(rank.paused for rank in run.living):
            resume = last.ask(ControlKind.RESUME)
            run.until(lambda run=run, resume=resume: ended(run, resume))
        step = max(rank.step for rank in run.living)
        run.until(lambda run=run, step=step: min(each.step for each in run.living) > step)
        for command in {name for rank in run.living for name in rank.done}:
            assert len(steps_of(run, command)) == 1, f"seed {seed}: {command}"

"""Jobs between trials and executors, without a cluster."""

import asyncio
import pickle

import pytest

from mtray.errors import DataError, LossNotFinite, NodeLost, TrainError, WorkerLost
from mtray.schema import Mix, Recipe
from mtray.search.execution import job_messages, queue_actor
from mtray.search.execution.job_messages import END, Done, Work, packed_failure
from mtray.search.execution.job_queue import JobQueue
from mtray.search.execution.queue_actor import QueueActor
from mtray.trial.job import Job, Outcome


def work(number, share=1.0):
    return Work(Job(number, "search", Recipe(parallel_size=100), 1), share)


def done(text="yes"):
    return pickle.dumps(Done(Outcome([], Mix(), None, {}, {"note": text})))


def error_of(packed):
    return pickle.loads(packed).failure.error


@pytest.fixture
def queue():
    return JobQueue()


def begun(queue, executor="a", place=0):
    """The executor's next job, which its only worker has begun."""
    found = queue.take(executor, place)
    queue.begin(found.ticket)
    return found


def test_jobs_go_to_executors_in_order_and_come_back_once(queue):
    first, second = queue.submit(work(1)), queue.submit(work(2, 0.5))
    assert not queue.begun(first) and queue.done(first) is None
    taken = queue.take("a", 0)
    assert (taken.ticket, taken.work) == (first, work(1))
    assert begun(queue, "b").work == work(2, 0.5)
    assert not queue.begun(first), "its worker may be gone"
    assert begun(queue) == taken
    assert queue.begun(first) and queue.begun(second)
    queue.finish(first, done())
    assert queue.done(first) == done()
    with pytest.raises(KeyError):
        queue.done(first)
    assert queue.done(second) is None


def test_all_workers_of_an_executor_take_the_same_jobs(queue):
    tickets = [queue.submit(work(n)) for n in (1, 2)]
    assert [queue.take("a", 0).ticket for _ in range(3)] == [tickets[0]] * 3
    queue.finish(tickets[0], done())
    assert queue.take("a", 1).ticket == tickets[1]
    queue.done(tickets[0])
    assert queue.take("a", 0).ticket == tickets[0], "one that is late"
    assert queue.take("a", 2) is None
    queue.retire("a")
    assert [queue.take("a", 2) for _ in range(2)] == [END, END]


def test_a_job_that_was_given_to_an_executor_that_is_gone_is_not_to_blame(queue):
    """It is the next one in line again, unless executors keep ending before they begin."""
    first, second = queue.submit(work(1)), queue.submit(work(2))
    begun(queue, "a")
    queue.finish(first, done())
    lost = packed_failure(WorkerLost("killed"))
    assert queue.take("a", 1).ticket == second
    third = queue.submit(work(3))
    assert queue.end("a", lost, passes_on=False)[:2] == (1, "WorkerLost: killed")
    assert queue.done(second) is None
    assert queue.take("b", 0).ticket == second
    assert queue.end("b", lost, passes_on=False)[:2] == (0, "WorkerLost: killed")
    assert queue.take("c", 0).ticket == second
    assert queue.end("c", lost, passes_on=True).jobs == 0
    assert isinstance(error_of(queue.done(second)), WorkerLost)
    assert queue.take("d", 0).ticket == third
    queue.abandon(3)
    assert queue.end("d", lost).jobs == 0 and queue.take("e", 0) is None
    with pytest.raises(KeyError):
        queue.done(third)


def test_two_jobs_of_a_trial_never_run_at_the_same_time(queue):
    """What a lost process of the trial began must end first: both write to one folder."""
    old = queue.submit(work(1))
    queue.take("a", 0)
    assert queue.abandon(1) == [old]
    again, other = queue.submit(work(1)), queue.submit(work(2))
    assert queue.take("b", 0).ticket == other, "the next one in line goes first"
    assert queue.take("c", 0) is None
    queue.finish(old, done())
    assert queue.take("c", 0).ticket == again
    assert queue.abandon(7) == []


def test_what_nobody_waits_for_is_forgotten(queue):
    waiting = queue.submit(work(1))
    assert queue.abandon(1) == [] and queue.take("a", 0) is None
    running = queue.submit(work(2))
    begun(queue)
    ended = queue.submit(work(3))
    queue.take("b", 0)
    queue.finish(ended, done())
    assert (queue.abandon(2), queue.abandon(3)) == ([running], [])
    queue.end("a", packed_failure(WorkerLost("killed")))
    for ticket in (waiting, running, ended):
        with pytest.raises(KeyError):
            queue.done(ticket)


def test_a_job_is_withdrawn_only_while_it_waits(queue):
    ticket, other = queue.submit(work(1)), queue.submit(work(2))
    assert queue.withdraw(ticket) and not queue.withdraw(ticket)
    assert queue.take("a", 0).ticket == other
    assert not queue.withdraw(other)


PEER = RuntimeError("Connection closed by peer [10.0.0.1]")


@pytest.mark.parametrize(
    "by_rank, at_the_end, expected",
    [
        ({}, WorkerLost("killed"), WorkerLost),
        ({0: PEER}, NodeLost("gone"), NodeLost),
        ({0: PEER, 1: LossNotFinite("nan")}, TrainError("worker 1"), LossNotFinite),
        ({1: KeyError("x")}, TrainError("worker 1"), KeyError),
        ({0: PEER}, MemoryError("killed by Ray"), MemoryError),
        ({0: LossNotFinite("nan")}, WorkerLost("killed"), WorkerLost),
    ],
)
def test_a_job_fails_with_what_tells_most(queue, by_rank, at_the_end, expected):
    ticket = queue.submit(work(1))
    begun(queue)
    for rank, error in by_rank.items():
        queue.fail("a", rank, packed_failure(error))
    assert queue.done(ticket) is None, "not while a worker of it may still write"
    assert queue.end("a", packed_failure(at_the_end)).jobs == 1
    assert type(error_of(queue.done(ticket))) is expected


def test_a_job_that_was_done_does_not_fail_with_its_executor(queue):
    ticket = queue.submit(work(1))
    queue.take("a", 0)
    queue.finish(ticket, done())
    assert queue.end("a", packed_failure(WorkerLost("later"))).jobs == 1
    assert queue.done(ticket) == done()


@pytest.mark.parametrize("line", [0, 2])
def test_an_executor_that_cannot_begin_fails_the_first_that_waits(queue, line):
    tickets = [queue.submit(work(n)) for n in range(line)]
    failure = packed_failure(DataError("no store here"))
    assert queue.end("a", failure, passes_on=False)[:2] == (0, "DataError: no store here")
    assert not any(queue.begun(ticket) for ticket in tickets), "another may start"
    queue.end("a", failure)
    ends = [queue.done(ticket) for ticket in tickets]
    assert [bool(end) for end in ends] == [True, False][:line]
    if line:
        assert isinstance(error_of(ends[0]), DataError)
        assert queue.take("b", 0).ticket == tickets[1]


def test_idle_executors_end_when_the_queue_is_closed(queue):
    ticket = queue.submit(work(1))
    queue.take("a", 0)
    queue.close()
    assert queue.take("a", 0).ticket == ticket and queue.take("a", 1) == END
    assert queue.take("b", 0) == END
    assert queue.end("b", None)[:2] == (0, ""), "an end is no job"


def ask(queue, place, rank, executor="a"):
    return queue.take(executor, place, rank, 2)


def test_workers_go_on_together(queue):
    """One that has done its part waits for the others, which may still fail; so nothing is begun
    that a failure of the job before would end."""
    first, second = queue.submit(work(1)), queue.submit(work(2))
    assert ask(queue, 0, 0) is None and not queue.begun(first), "one of two is there"
    assert ask(queue, 0, 1).ticket == ask(queue, 0, 0).ticket == first
    queue.begin(first)
    queue.retire("a")
    assert ask(queue, 1, 1) is None
    queue.fail("a", 0, packed_failure(MemoryError("rank 0")))
    queue.end("a", packed_failure(TrainError("worker 0")))
    assert isinstance(error_of(queue.done(first)), MemoryError)
    assert not queue.begun(second) and queue.take("b", 0).ticket == second


def test_a_failure_after_a_job_was_done_takes_no_other_with_it(queue):
    first, second = queue.submit(work(1)), queue.submit(work(2))
    assert [ask(queue, 0, rank) is None for rank in (0, 1)] == [True, False]
    queue.finish(first, done())
    assert ask(queue, 1, 0) is None
    queue.fail("a", 1, packed_failure(KeyError("x")))
    queue.end("a", packed_failure(TrainError("worker 1")))
    assert queue.done(first) == done() and not queue.begun(second)


def test_both_workers_end_after_both_have_asked(queue):
    queue.retire("a")
    assert [ask(queue, 0, rank) for rank in (0, 1, 0)] == [None, END, END]


def test_a_question_of_a_process_that_is_gone_takes_no_job(queue):
    """It may wait in the actor when the executor has ended."""
    assert queue.take("a", 0) is None
    queue.end("a", packed_failure(WorkerLost("killed")))
    ticket = queue.submit(work(1))
    queue.retire("a")
    queue.fail("a", 0, packed_failure(KeyError("late")))
    assert queue.take("a", 0) == END and queue.started() == 0
    assert queue.take("b", 0).ticket == ticket


def test_an_error_of_a_class_that_is_not_to_be_had_is_an_error_still(queue):
    ticket = queue.submit(work(1))
    begun(queue)
    queue.fail("a", 0, b"no pickle")
    assert "cannot be read here" in queue.end("a", packed_failure(TrainError("x"))).reason
    assert isinstance(error_of(queue.done(ticket)), TrainError)


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def test_an_error_comes_with_its_traceback_and_always_in_a_form_that_travels():
    try:
        raise LossNotFinite("nan at step 3")
    except LossNotFinite as error:
        found = pickle.loads(packed_failure(error))
    assert isinstance(found.error, LossNotFinite) and "raise LossNotFinite" in found.traceback
    other = pickle.loads(packed_failure(Unpicklable("a", "b")))
    assert type(other.error) is TrainError and str(other.error) == "Unpicklable: a b"
    told = str(job_messages.WorkerTraceback(found.traceback))
    assert told.strip().startswith("Traceback")


def test_who_asks_the_actor_waits_until_there_is_an_answer(monkeypatch):
    async def scenario():
        actor = QueueActor()
        taking = [asyncio.ensure_future(actor.take("a", 0)) for _ in range(2)]
        await asyncio.sleep(0)
        ticket = await actor.submit(work(1))
        beginning = asyncio.ensure_future(actor.begun(ticket))
        assert [found.ticket for found in await asyncio.gather(*taking)] == [ticket] * 2
        await actor.begin(ticket)
        assert await beginning is True
        waiting = asyncio.ensure_future(actor.done(ticket))
        await actor.finish(ticket, done())
        assert await waiting == done()
        monkeypatch.setattr(queue_actor, "LONG_POLL", 0.01)
        assert await actor.take("a", 1) is None, "and asks again"
        await actor.close()
        assert await actor.take("a", 1) == END

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_the_placement_group_of_an_executor_comes_back_when_it_ends(queue):
    queue.place("a", "group")
    assert queue.started() == 0, "its workers still read the model"
    begun_by_b = queue.submit(work(1))
    assert queue.take("b", 0).ticket == begun_by_b
    assert queue.end("b", None).group is None
    assert queue.end("a", None).group == "group"
    queue.place("a", "of a process that is gone")
    assert queue.end("a", None).group is None

"""What users test their handlers with: a clock set by hand, and draining."""

import pytest
from credential_rotation import Handlers, JobContext, Snooze
from credential_rotation.testing import ManualClock, adrain_until_idle, drain_until_idle


def test_time_passes_when_it_is_told_to() -> None:
    clock = ManualClock(1_000_000)
    jobs = clock.jobs()
    handlers = Handlers()
    done: list[tuple[str, int]] = []

    @handlers.handler("mail")
    def mail(job: JobContext) -> str:
        done.append((job.id, clock.now))
        if job.attempt == 1:
            raise RuntimeError("not yet")
        return "sent"

    retry = {"kind": "fixed", "delay_ms": 5_000, "jitter": 0}
    jobs.enqueue("q", kind="mail", id="now", retry=retry)
    jobs.enqueue("q", kind="mail", id="later", delay_ms=60_000, max_attempts=1)
    assert drain_until_idle(jobs, handlers) == 1
    assert jobs.find("now").state == "delayed"
    assert drain_until_idle(jobs, handlers) == 0
    clock.advance(5_000)
    assert drain_until_idle(jobs, handlers) == 1
    assert jobs.find("now").result == "sent"
    clock.set(1_060_000)
    clock.set(0)
    assert (clock.now, drain_until_idle(jobs, handlers)) == (1_060_000, 1)
    assert jobs.find("later").state == "failed"
    assert done == [("now", 1_000_000), ("now", 1_005_000), ("later", 1_060_000)]


async def test_what_a_handler_adds_is_done_too() -> None:
    jobs = ManualClock().jobs()
    handlers = Handlers()

    @handlers.handler("parent")
    async def parent(job: JobContext) -> None:
        await jobs.aenqueue("other", kind="child")

    @handlers.handler()
    async def other(job: JobContext) -> None:
        if job.payload == "later":
            raise Snooze(30)

    await jobs.aenqueue("q", kind="parent")
    await jobs.aenqueue("q", "later", id="later")
    assert await adrain_until_idle(jobs, handlers) == 3
    assert (await jobs.afind("later")).state == "delayed"


def test_a_clock_begins_in_2026_and_refuses_what_is_no_time() -> None:
    assert ManualClock().now == 1_767_225_600_000
    with pytest.raises(OverflowError):
        ManualClock(-1)

"""Conversations from Python, answered by the simulated endpoint."""

import asyncio
import io
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from credential_rotation import (
    Conversations,
    Credential,
    EmptyDocumentError,
    EmptyPromptError,
    InvalidConversationError,
    JobManager,
    NoAnswerError,
    NotTrainedError,
    SessionBusyError,
    SessionManager,
    StreamInterruptedError,
    TemplateFieldError,
    UnknownSessionError,
    UnknownTemplateError,
    WindowTooSmallError,
    Worker,
    Wrapper,
    session_name,
    stage,
)
from credential_rotation.testing import SimulatedEndpoint

STYLE = "Bread is patient. It waits for nobody."
SAMPLE = Path(__file__).parents[2] / "examples/sample.pdf"


class Place:
    """Sessions over a simulated Anthropic endpoint."""

    def __init__(self, tmp_path: Path, steps: list[dict[str, Any]]) -> None:
        self.endpoint = SimulatedEndpoint({"keys": {"sk-secret-a": steps}})
        self.wrapper = Wrapper(
            provider="anthropic",
            base_url=self.endpoint.url,
            model="sim-1",
            max_retries=0,
            credentials=[Credential("a", "sk-secret-a")],
        )
        self.sessions = SessionManager.connect(f"sqlite:{tmp_path / 'sessions.db'}")
        self.talks = Conversations(self.sessions, self.wrapper)
        self.sessions.create("s")
        self.talk = self.talks.open("s")

    def texts(self) -> list[str]:
        return [entry.text for entry in self.sessions.last("s", 99)]


@pytest.fixture
def steps() -> list[dict[str, Any]]:
    return [{"text": "answer {hit}"}]


@pytest.fixture
def place(tmp_path: Path, steps: list[dict[str, Any]]) -> Place:
    return Place(tmp_path, steps)


def test_it_is_trained_and_writes_what_it_learned(place: Place) -> None:
    trained = place.talk.train(STYLE, title="On bread")
    assert (trained.text, trained.session.trained) == ("answer 1", True)
    written = place.talk.generate("ovens", 120, "bakers")
    assert (written.text, written.model, written.repeated) == ("answer 2", "sim-1", False)
    assert written.usage is not None
    assert [attempt.credential for attempt in written.trail] == ["a"]
    assert "".join(place.talk.send_stream("Shorter").text()) == "answer 3"
    session = place.sessions.get("s")
    assert (session.turns, "credential" in str(session)) == (3, False)

    async def others() -> list[str]:
        sent = await place.talk.asend("once more")
        async with place.talk.asend_stream("and more") as turn:
            pieces = [piece async for piece in turn]
        assert pieces[-1]["type"] == "done"
        again = await place.talk.agenerate("salt", 50, "cooks")
        learned = await place.talk.atrain("Salt is older.", title="On salt")
        said = [text async for text in place.talk.asend_stream("aloud").text()]
        assert "".join(said) == "answer 8"
        return [sent.text, again.text, learned.text]

    assert asyncio.run(others()) == ["answer 4", "answer 6", "answer 7"]
    assert place.sessions.get("s").training == [0, 1, 12, 13]
    learned = place.talk.train_document_stream(SAMPLE)
    assert "".join(learned.text()) == "answer 9"

    async def as_it_comes() -> str:
        stream = await place.talk.atrain_document_stream(SAMPLE, max_pages=1)
        return (await stream.reply()).text

    assert asyncio.run(as_it_comes()) == "answer 10"


def test_what_cannot_be_asked_is_refused_before_any_call(place: Place) -> None:
    talk = place.talk
    with pytest.raises(NotTrainedError, match="train it"):
        talk.generate("ovens", 100, "bakers")
    with pytest.raises(EmptyDocumentError):
        talk.train("  ")
    with pytest.raises(EmptyPromptError):
        talk.send("")
    with pytest.raises(InvalidConversationError):
        talk.generate("ovens", 0, "bakers")
    with pytest.raises(TemplateFieldError, match="topic"):
        talk.generate(" ", 10, "bakers")
    with pytest.raises(UnknownSessionError):
        place.talks.open("s", owner="bob").send("hello")
    small = Conversations(place.sessions, place.wrapper, window={"token_budget": 1})
    with pytest.raises(WindowTooSmallError):
        small.open("s").send("more than one token")
    with pytest.raises(InvalidConversationError, match="language"):
        Conversations(place.sessions, place.wrapper, language="xx")
    place.sessions.create("odd", settings={"templates": {"training": "{nothing}"}})
    with pytest.raises(TemplateFieldError, match="nothing"):
        place.talks.open("odd").train(STYLE)
    assert place.endpoint.hits_total() == 0
    assert issubclass(UnknownTemplateError, LookupError)  # a host's own names reach it in Rust


@pytest.mark.parametrize(
    "steps",
    [
        [
            {"text": "one"},
            {"fault": "truncated", "after": 1},
            {"text": "", "tool_calls": [{"name": "look"}]},
            {"text": "a b c d e f", "piece_ms": 50},
            {"text": "two"},
        ]
    ],
)
def test_a_turn_that_fails_or_is_stopped_leaves_no_trace(place: Place) -> None:
    place.talk.send("first")
    with pytest.raises(StreamInterruptedError):
        place.talk.send("cut")
    with pytest.raises(NoAnswerError):
        place.talk.send("silent")

    async def stopped() -> None:
        turn = place.talk.asend_stream("stopped")
        assert (await anext(turn))["type"] == "text"
        waiting = asyncio.ensure_future(turn.reply())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(stopped())
    place.talk.send("second")
    assert place.texts() == ["first", "one", "second", "two"]


@pytest.mark.parametrize("steps", [[{"text": "It ends in the mid", "finish_reason": "max_tokens"}]])
def test_an_answer_that_was_cut_is_said_to_be(place: Place) -> None:
    reply = place.talk.send("hello")
    assert (reply.truncated, reply.finish_reason) == (True, "max_tokens")


def test_a_turn_that_nobody_reads_holds_up_others_for_a_time_only(place: Place) -> None:
    talks = Conversations(place.sessions, place.wrapper, max_waiting=1, wait_ms=20)
    unread = talks.open("s").send_stream("unread")
    next(unread)
    with pytest.raises(SessionBusyError, match="ask again later"):
        talks.open("s").send("hello")
    unread.close()


def test_a_job_takes_its_turn_once(place: Place) -> None:
    first = place.talk.fenced("j", 1).send("hello")
    again = place.talk.fenced("j", 2).send("hello")
    assert (again.text, again.repeated, place.endpoint.hits_total()) == (first.text, True, 1)


def test_training_and_generation_are_jobs(place: Place, tmp_path: Path) -> None:
    jobs = JobManager.connect(f"sqlite:{tmp_path / 'jobs.db'}")
    trained = place.talks.submit_training(jobs, "s", text=STYLE, title="On bread")
    notes = tmp_path / "notes.md"
    notes.write_text("# Salt\n\nSalt is older than bread.")
    by_file = place.talks.submit_training(jobs, "s", notes, max_attempts=2)
    opened = io.BytesIO(b"Water is oldest.")
    by_stream = place.talks.submit_training(jobs, "s", opened, name="water.txt")
    written = place.talks.submit_generation(
        jobs, "s", topic="ovens", words=100, audience="bakers", job_id="g"
    )
    assert stage("generation", jobs.find(written).state) == "pending"
    assert jobs.find(written).session == session_name("s") == "default/s"
    assert session_name("b/c", owner="a/%") == "a%2F%25/b/c"
    worker = Worker(jobs, ["conversations:2"], conversations=place.talks)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        result = jobs.wait(written, timeout=30).result
    finally:
        worker.stop()
        thread.join()
    assert (result["text"], result["session"], result["topic"]) == ("answer 4", "s", "ovens")
    learned = [jobs.find(job).result["title"] for job in (trained, by_file, by_stream)]
    assert learned[0] == "On bread"
    assert stage("training", "running") == "training"
    assert place.sessions.get("s").turns == 4


# A worker of its own process, to be killed.
WORKER = """
import sys
from credential_rotation import Conversations, Credential, JobManager
from credential_rotation import SessionManager, Worker, Wrapper

folder, endpoint = sys.argv[1:]
wrapper = Wrapper(
    provider="anthropic", base_url=endpoint, model="sim-1", max_retries=0,
    credentials=[Credential("a", "sk-secret-a")],
)
talks = Conversations(SessionManager.connect(f"sqlite:{folder}/sessions.db"), wrapper)
jobs = JobManager.connect(f"sqlite:{folder}/jobs.db")
Worker(jobs, ["conversations:2"], conversations=talks, lease=0.8).run()
"""

SLOW: dict[str, Any] = {"pieces": ["word "] * 400, "piece_ms": 50}


@pytest.mark.parametrize(
    "steps", [[SLOW, {"text": "I know this voice"}, SLOW, {"text": "at last"}]]
)
def test_it_learns_and_writes_although_its_workers_are_killed(place: Place, tmp_path: Path) -> None:
    jobs = JobManager.connect(f"sqlite:{tmp_path}/jobs.db")

    def begin() -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-c", WORKER, str(tmp_path), place.endpoint.url]
        return subprocess.Popen(words)

    def kill_while_it_is_answered(worker: "subprocess.Popen[bytes]", job: str) -> None:
        give_up = time.monotonic() + 30
        while not (told := jobs.find(job).progress) or "words written" not in told["message"]:
            assert time.monotonic() < give_up, "the model does not speak"
            time.sleep(0.02)
        worker.kill()
        worker.wait()

    worker = begin()
    try:
        trained = place.talks.submit_training(jobs, "s", SAMPLE)
        kill_while_it_is_answered(worker, trained)
        assert place.sessions.get("s").turns == 0
        worker = begin()
        learned = jobs.wait(trained, timeout=30)
        assert (learned.result["text"], learned.attempt) == ("I know this voice", 1)
        written = place.talks.submit_generation(
            jobs, "s", topic="ovens", words=60, audience="bakers"
        )
        kill_while_it_is_answered(worker, written)
        assert place.sessions.get("s").turns == 1
        worker = begin()
        assert jobs.wait(written, timeout=30).result["text"] == "at last"
    finally:
        worker.kill()
        worker.wait()
    assert place.texts()[1::2] == ["I know this voice", "at last"]
    assert place.endpoint.hits_total() == 4

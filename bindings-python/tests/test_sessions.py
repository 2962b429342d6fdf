"""Sessions from Python: over memory, SQLite, and a real Redis where there is one."""

import asyncio
import os
from pathlib import Path

import pytest
from conftest import free_port
from credential_rotation import (
    BackendUnavailableError,
    InvalidImportError,
    InvalidSessionError,
    SessionManager,
    SessionTakenError,
    SessionTooLargeError,
    StaleAttemptError,
    StaleVersionError,
    UnknownFileError,
    UnknownSessionError,
)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> SessionManager:
    url = {"memory": "memory:", "sqlite": f"sqlite:{tmp_path / 'sessions.db'}"}.get(request.param)
    if url is None:
        url = f"{request.getfixturevalue('redis_url')}?prefix=t{tmp_path.name}"[:100]
    return SessionManager.connect(url)


def say(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": f"re {text}"}]


def test_a_session_is_made_spoken_in_and_read(sessions: SessionManager) -> None:
    made = sessions.create("s", name="Travel", tags=["a"], settings={"system": "Ciao — 日本"})
    assert (made.owner, made.id, made.version, made.trained) == ("default", "s", 1, False)
    written = sessions.append("s", *say("one"))
    assert (written.messages, written.turns, written.version) == (2, 1, 2)
    sessions.append("s", {"role": "user", "content": "learn", "kind": "training", "tokens": 7})
    entries = sessions.last("s", 10)
    assert [entry.text for entry in entries] == ["one", "re one", "learn"]
    assert (entries[2].kind, entries[2].tokens, entries[2].turn) == ("training", 7, 2)
    assert sessions.get("s").trained
    new = sessions.since("s", 2)
    assert ([entry.text for entry in new.entries], new.reset) == (["learn"], False)
    assert [entry.text for entry in sessions.read("s", 1, 1).entries] == ["re one"]
    assert sessions.pop("s").messages == 2
    assert sessions.change("s", name="", tags=["b"]).name is None
    fork = sessions.fork("s", "t")
    assert sessions.clear("s").messages == 0
    assert (fork.messages, sessions.get("t").messages) == (2, 2)
    assert {one.id for one in sessions.list(owner="default", tag="b").sessions} == {"s", "t"}
    assert sessions.count(owner="default") == 2
    moved = sessions.import_(sessions.export("t"), owner="ann")
    assert (moved.owner, moved.id, moved.messages) == ("ann", "t", 2)
    sessions.delete("t", owner="ann")
    assert sessions.clean_up(3600.0) == 0
    assert sessions.touch("s").active_at >= made.active_at


def test_late_and_foreign_writes_are_refused(sessions: SessionManager) -> None:
    sessions.create("s")
    sessions.append("s", *say("one"))
    with pytest.raises(StaleVersionError, match="version 2") as stale:
        sessions.append("s", *say("two"), version=1)
    assert stale.value.details["actual"] == 2
    sessions.attach("s", ("job", 2))
    with pytest.raises(StaleAttemptError):
        sessions.append("s", *say("late"), fence=("job", 1))
    sessions.append("s", *say("two"), fence=("job", 2), key="job")
    assert sessions.append("s", *say("again"), fence=("job", 2), key="job").turns == 2
    assert [entry.text for entry in sessions.find_turn("s", "job").entries] == ["two", "re two"]
    assert sessions.find_turn("s", "another").entries == []
    assert sessions.detach("s", ("job", 2)).jobs == []
    with pytest.raises(UnknownSessionError):
        sessions.append("s", *say("x"), owner="bob")
    with pytest.raises(SessionTakenError):
        sessions.create("s")
    with pytest.raises(InvalidSessionError):
        sessions.create("")
    with pytest.raises(InvalidSessionError):
        sessions.append("s")
    with pytest.raises(SessionTooLargeError):
        sessions.append("s", {"role": "user", "content": "x" * (9 << 20)})
    with pytest.raises(InvalidImportError, match="line 1"):
        sessions.import_("nothing")
    with pytest.raises(UnknownFileError):
        sessions.file("s", "never")
    assert [entry.text for entry in sessions.last("s", 9)] == ["one", "re one", "two", "re two"]


def test_files_are_kept(sessions: SessionManager) -> None:
    sessions.create("s")
    body = bytes(range(256)) * 100
    sessions.put_file("s", "a.pdf", body)
    assert sessions.file("s", "a.pdf") == body
    assert sessions.files("s") == ["a.pdf"]
    assert sessions.drop_file("s", "a.pdf")
    assert not sessions.drop_file("s", "a.pdf")


def test_what_was_made_anew_is_left_alone(sessions: SessionManager) -> None:
    old = sessions.create("s").incarnation
    sessions.delete("s", version=1)
    sessions.create("s")
    for late in (
        lambda: sessions.append("s", *say("late"), incarnation=old),
        lambda: sessions.change("s", name="late", incarnation=old),
        lambda: sessions.touch("s", incarnation=old),
        lambda: sessions.put_file("s", "late", b"late", incarnation=old),
        lambda: sessions.drop_file("s", "late", incarnation=old),
        lambda: sessions.delete("s", incarnation=old),
    ):
        with pytest.raises(UnknownSessionError):
            late()
    with pytest.raises(StaleVersionError):
        sessions.change("s", name="late", version=7)
    with pytest.raises(InvalidSessionError, match="Fence"):
        sessions.touch("s", fence=5)  # type: ignore[arg-type]
    session = sessions.get("s")
    assert (session.name, session.messages, sessions.files("s")) == (None, 0, [])


def test_coroutines_have_the_same_verbs(sessions: SessionManager) -> None:
    async def all_of_them() -> None:
        await sessions.acreate("s")
        await asyncio.gather(*(sessions.aappend("s", *say(str(n))) for n in range(20)))
        assert (await sessions.aget("s")).turns == 20
        assert len(await sessions.alast("s", 100)) == 40
        assert len((await sessions.aread("s", 38, 9)).entries) == 2
        assert (await sessions.apop("s")).turns == 19
        assert (await sessions.asince("s", 0)).reset
        assert (await sessions.afind_turn("s", "none")).session.turns == 19
        await sessions.achange("s", name="x")
        await sessions.afork("s", "t")
        assert await sessions.acount() >= 2
        assert {one.id for one in (await sessions.alist(owner="default")).sessions} >= {"s", "t"}
        lines = await sessions.aexport("t")
        await sessions.adelete("t")
        assert (await sessions.aimport(lines)).id == "t"
        assert (await sessions.aclear("s")).messages == 0
        await sessions.atouch("s")
        assert (await sessions.aattach("s", ("job", 1))).jobs[0]["id"] == "job"
        assert (await sessions.adetach("s", ("job", 1))).jobs == []
        await sessions.aput_file("s", "a", b"content", version=None)
        assert await sessions.afile("s", "a") == b"content"
        assert await sessions.afiles("s") == ["a"]
        assert await sessions.adrop_file("s", "a")
        assert await sessions.aclean_up(3600.0) == 0

    asyncio.run(all_of_them())


def test_a_child_goes_on_where_its_parent_was(tmp_path: Path) -> None:
    sessions = SessionManager.connect(f"sqlite:{tmp_path / 'sessions.db'}")
    sessions.create("s")
    sessions.append("s", *say("parent"))
    child = os.fork()
    if child == 0:
        written = False
        try:
            written = sessions.append("s", *say("child")).turns == 2
        finally:
            os._exit(0 if written else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sessions.append("s", *say("parent again"))
    assert [entry.text for entry in sessions.last("s", 9)][::2] == [
        "parent",
        "child",
        "parent again",
    ]


def test_a_server_that_is_not_there_is_said_to_be() -> None:
    with pytest.raises(BackendUnavailableError):
        SessionManager.connect(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(Exception, match="scheme"):
        SessionManager.connect("http://example")

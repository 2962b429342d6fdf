"""Every error of the core has a class, and is reached from Python."""

import asyncio
import fcntl
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import credential_rotation
import pytest
from conftest import SCENARIO, Make
from credential_rotation import (
    AccountManager,
    Credential,
    CredentialPool,
    CredentialRotationError,
    JobManager,
    Outcome,
    Wrapper,
    error_codes,
)
from credential_rotation.errors import CLASSES
from credential_rotation.testing import SimulatedEndpoint


def secret_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "keys.json"
    path.write_text(text)
    path.chmod(mode)
    return path


def from_file(path: Path) -> Wrapper:
    return Wrapper(sources=[{"file": str(path)}])


def raised(outcome: Outcome) -> None:
    outcome.unwrap()


def locked_folder(folder: Path) -> None:
    manager = AccountManager(folder)
    manager.accounts_dir.mkdir()
    for number in (1, 2):
        account = manager.accounts_dir / f"oauth_creds_{number}.json"
        account.write_text('{"access_token": "tok-secret-1"}')
        account.chmod(0o600)
    manager.switch_to(1)
    with manager.lock_file.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        AccountManager(folder).switch_next()


async def saturated(make: Make) -> None:
    wrapper = make("stall", pool={"max_waiting": 0}, deadline_ms=5_000)
    first = asyncio.create_task(wrapper.acall("x"))
    while wrapper.pool.list()[0]["in_flight"] == 0:
        await asyncio.sleep(0.005)
    try:
        (await wrapper.acall("x")).unwrap()
    finally:
        first.cancel()


def closed(make: Make) -> None:
    wrapper = make("good")
    wrapper.close()
    wrapper.call("x").unwrap()


def budget(make: Make) -> None:
    raised(make("down", retry_budget=4, policy={"backoff_ms": 1}).call("x"))


def toml(folder: Path) -> None:
    path = folder / "credential-rotation.toml"
    path.write_text('[wrapper]\nmodel = "x"\nsecret = sk-secret-oops')
    Wrapper.from_config(path)


def all_cooling(make: Make) -> None:
    wrapper = make("good")
    wrapper.pool.park("good")
    wrapper.call("x").unwrap()


REACHED: dict[str, Callable[[Make, Path], Any]] = {
    "empty_prompt": lambda make, _: raised(make("good").call(" ")),
    "prompt_too_large": lambda make, _: raised(make("good", prompt_limit=2).call("long")),
    "no_credentials": lambda _, __: Wrapper(sources=[{"env": "SURELY_NOT_SET"}]),
    "credential_file_unreadable": lambda _, folder: from_file(folder / "none"),
    "credential_file_corrupt": lambda _, folder: from_file(secret_file(folder, '["sk-secret-x"]')),
    "credential_file_permissions": lambda _, folder: from_file(secret_file(folder, "[]", 0o644)),
    "invalid_account_index": lambda _, folder: AccountManager(folder).switch_to(9),
    "unknown_credential": lambda make, _: make("good").pool.admit("nobody"),
    "duplicate_credential": lambda make, _: make("good", "good"),
    "cli_not_found": lambda make, _: make("good", provider="qwen", program="surely-not-there"),
    "unknown_provider": lambda make, _: make("good", provider="oracle"),
    "invalid_url": lambda make, _: make("good", base_url="ftp://example.invalid"),
    "invalid_config": lambda _, folder: toml(folder),
    "all_cooling": lambda make, _: all_cooling(make),
    "pool_saturated": lambda make, _: asyncio.run(saturated(make)),
    "deadline_exceeded": lambda make, _: raised(make("stall").call("x", deadline_ms=30)),
    "request_rejected": lambda make, _: raised(make("bad").call("x")),
    "attempts_exhausted": lambda make, _: raised(make("down", max_retries=0).call("x")),
    "retry_budget_exhausted": lambda make, _: budget(make),
    "stream_interrupted": lambda make, _: list(make("cut").stream("x")),
    "state_unavailable": lambda make, _: make("good", pool={"store": "/nonexistent/pool.db"}),
    "lock_timeout": lambda _, folder: locked_folder(folder),
    "closed": lambda make, _: closed(make),
    "invalid_job": lambda _, __: memory().enqueue("a{b}"),
    "job_too_large": lambda _, __: limited(max_payload=5).enqueue("q", "too long"),
    "queue_full": lambda _, __: limited(max_bytes=5).enqueue("q", "too long"),
    "unknown_job": lambda _, __: memory().find("never"),
    "illegal_move": lambda _, __: waiting(memory()),
    "wait_timeout": lambda _, __: (jobs := memory()).wait(jobs.enqueue("q"), timeout=0),
    "backend_unavailable": lambda _, folder: JobManager.connect(f"sqlite:{folder}/none/jobs.db"),
    "backend_unsuitable": lambda _, folder: no_database(folder),
    "manager_closed": lambda _, __: after_close(),
}

# Told to the core's own workers, in the shell, and reached in `test_sessions.py` and
# `test_conversation.py`.
ELSEWHERE = {
    "stale_attempt",
    "unknown_queue",
    "invalid_session",
    "unknown_session",
    "session_taken",
    "stale_version",
    "session_too_large",
    "unknown_file",
    "invalid_import",
    "invalid_conversation",
    "not_trained",
    "empty_document",
    "template_field",
    "unknown_template",
    "window_too_small",
    "session_busy",
    "no_answer",
    "document_empty",
    "document_too_large",
    "document_not_supported",
    "document_encrypted",
    "document_no_text",
    "document_damaged",
    "document_limit",
    "document_unreadable",
    "document_busy",
    "document_cancelled",
}


def memory() -> JobManager:
    return JobManager.connect("memory:")


def limited(**limits: int) -> JobManager:
    jobs = memory()
    jobs.set_limits("q", **limits)
    return jobs


def waiting(jobs: JobManager) -> None:
    jobs.retry(jobs.enqueue("q"))


def no_database(folder: Path) -> None:
    path = folder / "jobs.db"
    path.write_text("no database at all " * 100)
    path.chmod(0o600)
    JobManager.connect(f"sqlite:{path}")


def after_close() -> None:
    jobs = memory()
    name = jobs.enqueue("q")
    jobs.close()
    jobs.wait(name)


def test_every_code_has_a_class_a_row_in_the_docs_and_a_way_to_reach_it() -> None:
    assert sorted(CLASSES) == sorted(error_codes()) == sorted({*REACHED, *ELSEWHERE})
    docs = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    for code, kind in CLASSES.items():
        assert f"| `{code}` | `{kind.__name__}` |" in docs
        assert getattr(credential_rotation, kind.__name__) is kind


@pytest.mark.parametrize("code", sorted(REACHED))
def test_every_error_is_reached(code: str, make: Make, tmp_path: Path) -> None:
    with pytest.raises(CredentialRotationError) as caught:
        REACHED[code](make, tmp_path)
    assert type(caught.value) is CLASSES[code]
    assert caught.value.code == code
    assert "sk-secret" not in f"{caught.value!r}{caught.value}{caught.value.details}"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_bad_options_are_named() -> None:
    for options, named in [
        ({"max_retrys": 3}, "max_retrys"),
        ({"max_retries": "three"}, "max_retries"),
        ({"pool": {"strategy": "lucky"}}, "lucky"),
        ({"deadline_ms": 0}, "deadline"),
    ]:
        with pytest.raises(CredentialRotationError) as caught:
            Wrapper(credentials=[Credential("a", "sk-secret-a")], **options)  # type: ignore[arg-type]
        assert caught.value.code == "invalid_config"
        del named
    with pytest.raises(CredentialRotationError) as refused:
        CredentialPool([{"id": "a", "secret": "sk-secret-a", "wieght": 3}])
    assert "wieght" in str(refused.value)


def test_no_secret_is_shown_by_any_object(endpoint: SimulatedEndpoint, make: Make) -> None:
    credential = Credential("refused", "sk-secret-refused")
    wrapper = make("refused", "good")
    outcome = wrapper.call("x")
    shown = [
        repr(credential),
        str(credential),
        repr(wrapper),
        repr(wrapper.pool),
        repr(wrapper.pool.list()),
        repr(outcome),
        repr(outcome.trail),
        json.dumps(outcome.to_dict()),
        repr(endpoint.requests()),
    ]
    assert len(SCENARIO) == 2
    for text in shown:
        assert "sk-secret" not in text
    assert credential.secret == "sk-secret-" + "refused"
    with pytest.raises(TypeError):
        pickle.dumps(credential)

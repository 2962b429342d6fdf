"""The names, files and results of the package that this one replaces."""

import json
from pathlib import Path
from typing import Any

import pytest
from credential_rotation import (
    QUOTA_PATTERNS,
    AccountManager,
    AccountNotFoundError,
    AccountStats,
    CallResult,
    LockError,
    QwenWrapper,
    RotationState,
    SwitchReason,
    WrapperResult,
    create_initial_state,
)
from credential_rotation.qwen import manager, wrapper
from credential_rotation.testing import SimulatedEndpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    accounts = tmp_path / ".qwen" / "accounts"
    accounts.mkdir(parents=True)
    for number in (1, 2, 4):
        file = accounts / f"oauth_creds_{number}.json"
        file.write_text(token(number))
        file.chmod(0o600)
    return accounts.parent


def token(number: int) -> str:
    content = {
        "access_token": f"tok-secret-{number}",
        "refresh_token": f"tok-secret-r{number}",
        "token_type": "Bearer",
        "expiry_date": 4_102_444_800_000 + number,
    }
    return json.dumps(content)


def test_the_names_are_where_they_were() -> None:
    assert manager.AccountManager is AccountManager
    assert wrapper.QwenWrapper is QwenWrapper
    assert issubclass(LockError, Exception)
    assert issubclass(AccountNotFoundError, Exception)
    assert all(pattern == pattern.lower() for pattern in QUOTA_PATTERNS)
    assert [result.value for result in CallResult] == [
        "success",
        "quota_exhausted",
        "other_error",
        "all_accounts_exhausted",
    ]
    assert {reason.value for reason in SwitchReason} == {"auto_quota", "manual", "test"}


def test_accounts_are_switched_as_before(folder: Path) -> None:
    accounts = AccountManager(folder)
    accounts.switch_to(2, SwitchReason.TEST)
    assert accounts.get_state().current_index == 2
    assert accounts.creds_link.is_symlink()
    assert json.loads(accounts.creds_link.read_text())["access_token"] == "tok-secret-" + "2"
    assert accounts.switch_next("auto_quota") == (True, 4)
    assert accounts.switch_next() == (False, 1)
    for index in (0, -1, 6):
        with pytest.raises(ValueError, match="Invalid account index"):
            accounts.switch_to(index, "manual")
    with pytest.raises(AccountNotFoundError):
        accounts.switch_to(3)
    rows = accounts.list_accounts()
    assert list(rows["account2"]) == ["active", "exists", "index", "last_used", "switches_count"]
    assert (rows["account2"]["index"], rows["account2"]["switches_count"]) == (2, 1)
    assert not rows["account3"]["exists"]
    stats = accounts.get_stats()
    assert stats["total_switches"] == 3
    assert stats["current_account"] == "account1"
    assert set(stats) == {
        "accounts",
        "total_switches",
        "last_switch",
        "current_account",
        "most_used_account",
        "most_used_count",
    }
    log = [json.loads(line) for line in accounts.log_file.read_text().splitlines()]
    assert [(row["from"], row["to"]) for row in log][-1] == (4, 1)
    assert {"timestamp", "level", "event", "from", "to", "reason", "trigger"} == set(log[0])


def test_state_reads_and_writes_as_before(tmp_path: Path) -> None:
    state = create_initial_state(tmp_path, 3)
    assert (state.current_index, state.total_accounts, state.switches_total) == (1, 3, 0)
    assert (tmp_path / "state.yaml").exists()
    again = RotationState.from_dict(state.to_dict())
    assert again == state
    stats = AccountStats(2, "2026-01-01T00:00:00+00:00")
    assert AccountStats.from_dict(stats.to_dict()) == stats


def keys(folder: Path, *names: str) -> None:
    file = folder / "credentials.json"
    rows: list[dict[str, Any]] = [{"id": name, "secret": f"sk-secret-{name}"} for name in names]
    file.write_text(json.dumps(rows))
    file.chmod(0o600)


def qwen(folder: Path, endpoint: SimulatedEndpoint, **options: Any) -> QwenWrapper:
    return QwenWrapper(
        account_manager=AccountManager(folder),
        provider="openai",
        model="sim-1",
        base_url=endpoint.openai_url,
        **options,
    )


def test_a_call_gives_what_it_gave(tmp_path: Path, endpoint: SimulatedEndpoint) -> None:
    keys(tmp_path, "spent", "good")
    asker = qwen(tmp_path, endpoint, max_retries=3)
    assert asker.check_quota_status() == {"spent": True, "good": True}
    result = asker.call("hello", timeout=10)
    assert isinstance(result, WrapperResult)
    assert (result.success, result.output, result.error) == (True, "answer to hello", None)
    assert (result.attempts, result.accounts_tried) == (2, ["spent", "good"])
    assert result.result is CallResult.SUCCESS
    assert asker.check_quota_status() == {"spent": False, "good": True}
    # What is known of the accounts outlives the object, and the process.
    assert qwen(tmp_path, endpoint).check_quota_status() == {"spent": False, "good": True}
    assert asker.call_with_fallback("hi") == "answer to hi"


def test_a_failed_call_says_how(tmp_path: Path, endpoint: SimulatedEndpoint) -> None:
    keys(tmp_path, "spent")
    asker = qwen(tmp_path, endpoint)
    assert asker.call("x").result is CallResult.ALL_EXHAUSTED
    assert asker.call_with_fallback("x") == "AI analysis unavailable"
    assert asker.call_with_fallback("x", "none", timeout=1) == "none"
    (tmp_path / "other").mkdir()
    keys(tmp_path / "other", "bad")
    assert qwen(tmp_path / "other", endpoint).call("x").result is CallResult.OTHER_ERROR


def test_the_active_account_moves_on_when_it_is_spent(
    folder: Path, endpoint: SimulatedEndpoint
) -> None:
    for number in (1, 2, 4):
        file = folder / "accounts" / f"oauth_creds_{number}.json"
        content = json.loads(file.read_text()) | {"resource_url": endpoint.openai_url}
        file.write_text(json.dumps(content))
    endpoint.script("tok-secret-1", [{"fault": "free_quota_exhausted"}])
    endpoint.script("tok-secret-2", [{"text": "from two"}])
    accounts = AccountManager(folder)
    accounts.setup()
    asker = QwenWrapper(account_manager=accounts, provider="openai", model="sim-1")
    result = asker.call("x")
    assert (result.output, result.accounts_tried) == ("from two", ["account1", "account2"])
    assert accounts.get_state().current_index == 2
    assert json.loads(accounts.log_file.read_text().splitlines()[-1])["reason"] == "auto_quota"

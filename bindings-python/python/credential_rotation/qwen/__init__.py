"""The names of the package that this one replaces, over the same core."""

from credential_rotation.qwen.manager import (
    AccountManager,
    AccountNotFoundError,
    AccountStats,
    LockError,
    RotationState,
    SwitchReason,
    create_initial_state,
)
from credential_rotation.qwen.wrapper import (
    QUOTA_PATTERNS,
    CallResult,
    QwenWrapper,
    WrapperResult,
)

__all__ = [
    "QUOTA_PATTERNS",
    "AccountManager",
    "AccountNotFoundError",
    "AccountStats",
    "CallResult",
    "LockError",
    "QwenWrapper",
    "RotationState",
    "SwitchReason",
    "WrapperResult",
    "create_initial_state",
]

import subprocess
import sysconfig
from importlib.metadata import version as installed_version
from pathlib import Path

import credential_rotation
import pytest

SCRIPTS = Path(sysconfig.get_path("scripts"))


def test_the_core_and_the_package_are_of_one_version() -> None:
    assert credential_rotation.version() == installed_version("credential-rotation")
    assert credential_rotation.__version__ == credential_rotation.version()


@pytest.mark.parametrize("program", ["account-qwen", "credential-rotation"])
def test_a_program_installed_by_pip_tells_its_version(program: str) -> None:
    run = subprocess.run(
        [SCRIPTS / program, "--version"], capture_output=True, text=True, check=True, timeout=30
    )
    assert run.stdout == f"{program} {credential_rotation.version()}\n"

"""The login of this person on this machine, in a file of their configuration folder that nobody else can read.

The token stands there and nowhere else: not in an argument, which every process of the machine can
see, not in an environment variable, which children inherit, and in no log.
"""

from __future__ import annotations

import json
import os
import secrets
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr, ValidationError

from bot.logins import LoginError
from runbooks.model.base import Value

FILE = "paramedic/login.json"


class StoredLogin(Value):
    """A login, and where it counts.

    Attributes:
        url: the running Paramedic that it is for, without a path.
        login: its name.
        person: for whom it speaks.
    """

    url: str
    login: str
    token: SecretStr
    person: str
    expires_at: datetime


def place() -> Path:
    """Return where the file is, or will be."""
    folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(folder) / FILE


def read_login() -> StoredLogin | None:
    """Return the login of this person; None where they have none.

    Raises:
        LoginError: there is one that cannot be used.
    """
    file = place()
    try:
        if file.stat().st_mode & 0o077:
            raise LoginError(
                f"others can read your login {file}. End it and log in again: "
                f"rm {file}; paramedic login revoke, or /runbook logout in Slack; paramedic login"
            )
        return StoredLogin.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LoginError(f"your login {file} cannot be read: {error.strerror}") from error
    except ValidationError:
        raise LoginError(f"{file} is no login; delete it, and log in again: paramedic login") from None


def keep_login(login: StoredLogin) -> Path:
    """Write the login, in the place of an earlier one, and return where.

    Raises:
        LoginError: it cannot be written.
    """
    file = place()
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    told = {**login.model_dump(mode="json"), "token": login.token.get_secret_value()}
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as output:
            output.write(json.dumps(told, indent=2).encode())
        draft.replace(file)
    except OSError as error:
        raise LoginError(f"your login cannot be kept in {file}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return file


def forget_login() -> None:
    """Delete the login of this person, if there is one."""
    place().unlink(missing_ok=True)

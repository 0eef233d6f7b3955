"""The outside systems that this installation may reach, by name.

Runbooks name an endpoint, a host or a supervisor; only the operator's connections file says
where it is and with which credentials.  So a label can never choose an address, and secrets are
references until the moment of use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl

from runbooks.errors import ParamedicError


class SecretMissingError(ParamedicError):
    """A secret is not where its reference says."""

    code = "secret_missing"


def _is_reference(text: str) -> str:
    kind, _, rest = text.partition(":")
    if kind not in {"env", "file"} or not rest:
        raise ValueError("a secret is a reference: env:NAME or file:PATH, never the secret itself")
    return text


SecretReference = Annotated[str, AfterValidator(_is_reference)]
"""`env:NAME` or `file:PATH`.  A file's trailing newline is not part of the secret."""

Text = Annotated[str, Field(min_length=1)]
"""What is never empty."""

Patience = Annotated[timedelta, Field(gt=timedelta())]
"""How long is waited, or a sample believed: never no time at all."""


def reveal(reference: str) -> str:
    """Return the secret behind `reference`.  Call it at the moment of use and keep it nowhere.

    Raises:
        SecretMissingError: nothing is there.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env":
        value = os.environ.get(rest)
        if value is None:
            raise SecretMissingError(f"the environment variable {rest} is not set")
        return value
    try:
        return Path(rest).read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise SecretMissingError(f"cannot read the secret file {rest}: {error.strerror}") from error


class _Connection(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PrometheusConnection(_Connection):
    """The Prometheus that checks ask.

    Attributes:
        stale_after: a sample older than this decides nothing.  Two scrape intervals are a good value.
    """

    url: HttpUrl
    token: SecretReference | None = None
    stale_after: Patience = timedelta(minutes=1)
    timeout: Patience = timedelta(seconds=5)


class EndpointConnection(_Connection):
    """One HTTP service.  Runbooks name it and give a path."""

    url: HttpUrl
    token: SecretReference | None = None
    timeout: Patience = timedelta(seconds=5)


class HostConnection(_Connection):
    """One ssh host.  Its key is pinned: an unknown host is never trusted on first use.

    Attributes:
        host_key: as in known_hosts, `ssh-ed25519 AAAA...`.
        private_key: reference to the private key in OpenSSH format.
        state_directory: where the target keeps what ran under which key, absolute or relative to home.
    """

    address: Text
    port: int = Field(default=22, ge=1, le=65535)
    user: Text
    host_key: Text
    private_key: SecretReference
    state_directory: Text = ".paramedic"


class SupervisorConnection(_Connection):
    """One supervisord with its XML-RPC interface."""

    url: HttpUrl
    user: str = ""
    password: SecretReference | None = None


class GroupConnection(_Connection):
    """Who is in an approver group.

    Attributes:
        slack: handle of the Slack user group, without @.  None: the group's own name.
        members: further people by key (`slack:T0123/U0456`), whatever Slack says.
    """

    slack: Text | None = None
    members: tuple[str, ...] = ()


def _each_key_once(people: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    keys = [key for known in people.values() for key in known]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"{', '.join(twice)} is written twice: one key is one person's")
    return people


class Connections(_Connection):
    """All of them.  An empty one is valid: then only actions that need none can be used.

    Attributes:
        people: the keys of one and the same person, by a name, where they are known in several places
            (`slack:T0123/U0456`, `local:alice`).  The first one stands for the person.
    """

    prometheus: PrometheusConnection | None = None
    endpoints: Mapping[str, EndpointConnection] = Field(default_factory=dict)
    hosts: Mapping[str, HostConnection] = Field(default_factory=dict)
    supervisors: Mapping[str, SupervisorConnection] = Field(default_factory=dict)
    groups: Mapping[str, GroupConnection] = Field(default_factory=dict)
    people: Annotated[Mapping[str, tuple[str, ...]], AfterValidator(_each_key_once)] = Field(
        default_factory=dict
    )

"""Settings: read once, at the edge.  Nothing else in the product reads the environment.

Every variable begins with `PARAMEDIC_`.  A misspelt one stops the process, because a setting
that silently does nothing is found out at 3am.  docs/settings.md lists them, and a test keeps
that list equal to this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from bot.mistakes import explain
from runbooks.errors import ParamedicError

PREFIX = "PARAMEDIC_"


class SettingsError(ParamedicError):
    """The environment does not hold a valid set of settings."""

    code = "settings_wrong"


class Settings(BaseModel):
    """Everything that may differ between two deployments of the same image."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    data: Path = Path(".paramedic")
    """Folder of all state: the ledger, Temporal's database, keys, the freeze file."""

    runbooks: Path = Path("runbooks")
    """Folder of the runbooks, one YAML file each, directly in it."""

    connections: Path | None = None
    """YAML file that names the outside systems: Prometheus, endpoints, hosts, supervisors, groups."""

    windows: Path | None = None
    """YAML file of maintenance windows: times in which nothing is done."""

    inventory: Path | None = None
    """YAML file of the targets that there are: on others nothing is done."""

    policy: Path | None = None
    """Cedar file that says who may do what, where.  Unset: the default policy."""

    thaw_group: str | None = None
    """Group whose members may lift a freeze in Slack.  Unset: everybody in the workspace may."""

    local_people: Literal["on", "off"] | None = None
    """Whether people at a terminal of the machine may decide without a login.  Unset: where Slack is off."""

    login_lifetime: timedelta = Field(default=timedelta(hours=12), gt=timedelta(), le=timedelta(days=7))
    """How long a command line speaks for the person who has logged in there."""

    ledger_url: str | None = None
    """Database of the ledger as an SQLAlchemy URL.  Default: `ledger.db` in the data folder."""

    http_host: str = "127.0.0.1"
    """Address that webhooks, metrics and health listen on."""

    http_port: int = Field(default=8700, ge=0, le=65535)
    """Port that webhooks, metrics and health listen on."""

    webhook_tokens: tuple[SecretStr, ...] = ()
    """Bearer tokens that senders may use, separated by commas: two, so that one can be rotated."""

    webhook_basic: tuple[SecretStr, ...] = ()
    """`user:password` pairs that senders may use, separated by commas."""

    duplicate_window: timedelta = Field(default=timedelta(minutes=10), gt=timedelta())
    """The same words about the same alert, whoever sends them, within this time are a duplicate and go no further."""

    temporal_address: str | None = None
    """`host:port` of a Temporal cluster.  Unset: `paramedic up` runs the embedded server."""

    temporal_namespace: str = "paramedic"
    """Temporal namespace."""

    temporal_api_key: SecretStr | None = None
    """API key for the Temporal cluster."""

    temporal_tls_ca: Path | None = None
    """Certificate of the authority that signed the cluster's certificate (mutual TLS)."""

    temporal_tls_cert: Path | None = None
    """Client certificate for mutual TLS."""

    temporal_tls_key: Path | None = None
    """Client key for mutual TLS."""

    temporal_binary: Path | None = None
    """The `temporal` program for the embedded server.  Default: the one that was installed with Paramedic."""

    temporal_port: int = Field(default=7233, ge=0, le=65535)
    """Port of the embedded server, on 127.0.0.1.  0: a free one."""

    slack: Literal["on", "off"] = "on"
    """`off` says out loud that there is no chat: gates then end as nobody answered."""

    slack_mode: Literal["socket", "http"] = "socket"
    """How Slack calls: through a socket that Paramedic opens, or with signed requests over HTTP."""

    slack_bot_token: SecretStr | None = None
    """The bot token, `xoxb-...`."""

    slack_app_token: SecretStr | None = None
    """The app token for Socket Mode, `xapp-...`."""

    slack_signing_secrets: tuple[SecretStr, ...] = ()
    """Signing secrets for HTTP mode, separated by commas: two, so that one can be rotated."""

    slack_channel: str = "#incidents"
    """Channel of the cards, as a name or an id."""

    slack_fallback_channel: str = ""
    """Channel for them while that one is archived, or the bot is not in it.  Unset: approvers are told directly."""

    slack_base_url: str = "https://slack.com/api/"
    """Base URL of the Web API.  Only the practice workspace has another."""

    decision_keys: tuple[str, ...] = ()
    """Public keys (base64, Ed25519) of listeners on other machines whose decisions this worker accepts."""

    sealer: Literal["on", "off"] = "on"
    """`off` says that `paramedic up` starts no sealer: one runs elsewhere, as another user for instance."""

    sealer_folder: Path | None = None
    """Folder of the sealer's key and memory.  Default: `sealer` in the data folder."""

    checkpoint_folder: Path | None = None
    """Folder that gets each checkpoint as a file; it must be there already."""

    checkpoint_git: str | None = None
    """Git repository that gets each checkpoint as a commit on its branch `checkpoints`."""

    checkpoint_ssh: str | None = None
    """What stands after `ssh` to reach the machine that appends each checkpoint: `-F FILE archive`."""

    shutdown_grace: timedelta = Field(default=timedelta(seconds=20), gt=timedelta())
    """How long running actions may finish after SIGTERM.  Keep it under the pod's own."""

    log_format: Literal["json", "text"] = "json"
    """`text` for people at a terminal."""

    @field_validator("*", mode="before")
    @classmethod
    def _says_something(cls, value: object) -> object:
        # Docker Compose makes an empty variable of `${X:-}`.  An empty path would be the folder where one
        # is, and an empty list of tokens one that nobody meant.
        if isinstance(value, str) and not value.strip():
            raise ValueError("is empty; give it a value, or take it away")
        if isinstance(value, list) and not all(item.strip() for item in value):
            raise ValueError("holds one that is empty; take it away with its comma")
        return value

    @model_validator(mode="after")
    def _tokens_go_with_slack(self) -> Self:
        tokens = (self.slack_bot_token, self.slack_app_token, self.slack_signing_secrets)
        if self.slack == "off" and any(tokens):
            raise ValueError("PARAMEDIC_SLACK is off, but Slack tokens are set: take away one or the other")
        if self.slack_mode == "http" and self.slack_app_token:
            raise ValueError("PARAMEDIC_SLACK_APP_TOKEN is for PARAMEDIC_SLACK_MODE=socket: take it away")
        if self.slack_mode == "socket" and self.slack_signing_secrets:
            raise ValueError(
                "PARAMEDIC_SLACK_SIGNING_SECRETS are for PARAMEDIC_SLACK_MODE=http: set it, or take them away"
            )
        return self

    @property
    def ledger(self) -> str:
        """The ledger's URL with the default filled in."""
        return self.ledger_url or f"sqlite:///{self.data.resolve() / 'ledger.db'}"

    @property
    def local_people_decide(self) -> bool:
        """Whether people at a terminal of the machine may decide without a login, with the default filled in."""
        return (self.local_people or ("on" if self.slack == "off" else "off")) == "on"

    @property
    def sealers_folder(self) -> Path:
        """The sealer's folder with the default filled in."""
        return self.sealer_folder or self.data / "sealer"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from the variables that begin with `PARAMEDIC_`.

        Lists are separated by commas, spans are ISO 8601 (`PT45S`).

        Raises:
            SettingsError: names every unknown and malformed variable at once.
        """
        lists = {name for name, field in cls.model_fields.items() if "tuple" in str(field.annotation)}
        named: dict[str, object] = {}
        for variable, text in environ.items():
            if not variable.startswith(PREFIX):
                continue
            name = variable.removeprefix(PREFIX).lower()
            # `new,` is a list of one: the variable for the old token may have gone.
            items = [item for item in text.split(",") if item]
            listed = items if any(map(str.strip, items)) else ""
            named[name] = listed if name in lists else text
        try:
            return cls.model_validate(named)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    """Say what is wrong with which variable, without repeating its value: it may be a secret."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        sentence = explain(problem, Settings, _variable)
        # Several that do not go together are named in the sentence itself.
        lines.append(f"{_variable(problem['loc'][0])}: {sentence}" if problem["loc"] else sentence)
    return "\n".join(lines)


def _variable(name: object) -> str:
    return PREFIX + str(name).upper()

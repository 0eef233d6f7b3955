"""The one way to a Temporal frontend, embedded or a cluster's."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Self, cast

import structlog
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter
from temporalio.service import TLSConfig

from bot.settings import Settings
from runbooks.errors import ParamedicError

RECONNECT_PAUSE = 2.0  # seconds

log = structlog.get_logger()


class SharedConverter(PydanticPayloadConverter):
    """The pydantic converter, made once.

    The SDK makes a new one for every workflow and every activation, each with an empty cache of type
    adapters.  It holds nothing but that cache, which is safe to share between threads.
    """

    _made: ClassVar[SharedConverter | None] = None

    def __new__(cls) -> Self:
        """Return the one that was made."""
        if cls._made is None:
            made = super().__new__(cls)
            PydanticPayloadConverter.__init__(made)
            cls._made = made
        return cast("Self", cls._made)

    def __init__(self) -> None:
        """Nothing is to be made again."""


DATA_CONVERTER = DataConverter(payload_converter_class=SharedConverter)
"""How values become payloads, for client, worker and replay alike."""


class NoTemporalError(ParamedicError):
    """Nobody said where Temporal is."""

    code = "no_temporal"

    def __init__(self) -> None:
        super().__init__(
            "no Temporal cluster is set: set PARAMEDIC_TEMPORAL_ADDRESS, or run `paramedic up`, which brings its own"
        )


async def connect(settings: Settings, address: str | None, *, lazy: bool) -> Client:
    """Return a client.

    Args:
        lazy: connect at the first call, so that a Temporal that is away does not stop the start.

    Raises:
        NoTemporalError: there is no address.
        RuntimeError: not lazy, and nobody answers.
    """
    if address is None:
        raise NoTemporalError
    key = settings.temporal_api_key
    return await Client.connect(
        address,
        namespace=settings.temporal_namespace,
        data_converter=DATA_CONVERTER,
        api_key=key.get_secret_value() if key else None,
        tls=_tls(settings),
        lazy=lazy,
    )


async def connect_patiently(settings: Settings, address: str | None) -> Client:
    """Return a client that is connected, however long that takes.  Workers cannot use a lazy one."""
    while True:
        try:
            return await connect(settings, address, lazy=False)
        except RuntimeError as error:
            log.warning("Temporal cannot be reached; trying again", address=address, error=str(error))
            await asyncio.sleep(RECONNECT_PAUSE)


def _tls(settings: Settings) -> TLSConfig | bool:
    """Return mutual TLS where certificates are set, plain TLS where there is only an API key."""
    files = (settings.temporal_tls_ca, settings.temporal_tls_cert, settings.temporal_tls_key)
    if not any(files):
        return settings.temporal_api_key is not None
    authority, certificate, key = (file.read_bytes() if file else None for file in files)
    return TLSConfig(server_root_ca_cert=authority, client_cert=certificate, client_private_key=key)

"""Asking a live TyxonQ service what no page tells."""

from __future__ import annotations

import secrets
from dataclasses import asdict

from pydantic import SecretStr

from metriq_gym.cli.output import emit_line
from metriq_gym.errors import Permanent
from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.probe import Probe
from metriq_gym.session import quiet
from metriq_gym.settings import Settings


async def probe(device: str, patience: float, as_json: bool) -> None:
    """Print findings as they come; raises `Permanent` without a token, and what the service makes of it."""
    import typer

    quiet()
    settings = Settings()
    if settings.tyxonq_token is None or not settings.tyxonq_token.get_secret_value().strip():
        raise Permanent("the probe needs a token: set METRIQ_TYXONQ_TOKEN, or METRIQ_TYXONQ_TOKEN_FILE")
    client = TyxonQClient(settings.tyxonq_token, settings.tyxonq_base_url)
    stranger = TyxonQClient(SecretStr(f"wrong-{secrets.token_hex(8)}"), settings.tyxonq_base_url)
    try:
        questions = Probe(client, stranger, DeviceString.parse(device), f"mgym-probe-{secrets.token_hex(6)}", patience)
        async for finding in questions.run():
            if as_json:
                emit_line(asdict(finding))
            else:
                typer.echo(f"{finding.question}\n    {finding.answer}")
    finally:
        await client.aclose()
        await stranger.aclose()

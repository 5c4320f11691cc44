"""Clients for Python, blocking and asyncio."""

from tidecast.client.async_client import AsyncClient
from tidecast.client.client import Client

__all__ = ["AsyncClient", "Client"]

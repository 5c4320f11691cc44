"""The Compose file, as Compose would read it."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
VARIABLE = re.compile(r"\$\{(\w+)(?::(-|\?)([^}]*))?\}")


def interpolate(text: str, **environment: str) -> str:
    """Fill in ${NAME}, ${NAME:-default} and ${NAME:?message} as Compose does."""
    return VARIABLE.sub(lambda match: environment.get(match[1]) or (match[3] if match[2] == "-" else ""), text)

"""The service's settings: one JSON file, which belongs to the machine and not to the release."""

import json
from dataclasses import dataclass
from pathlib import Path


class ConfigError(Exception):
    """The settings cannot be used; the message says why."""


@dataclass(frozen=True)
class Config:
    greeting: str


def load(path: Path) -> Config:
    """The settings in `path`. Raises ConfigError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path.name} is not JSON: {error}") from None
    greeting = data.get("greeting") if isinstance(data, dict) else None
    if not isinstance(greeting, str) or not greeting:
        raise ConfigError(f"{path.name} has no `greeting`")
    return Config(greeting)

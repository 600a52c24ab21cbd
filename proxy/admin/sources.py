"""What the admin commands look at."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.executor.services import Services
from proxy.session.registry import SessionRegistry


@dataclass(frozen=True, slots=True)
class Sources:
    services: Services
    registry: SessionRegistry
    version: str

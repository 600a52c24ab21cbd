"""What a link does with the bytes of a connection. Sans-IO: a toxic answers bytes with steps.

The names are Toxiproxy's, where it has them: latency, bandwidth, slow close, time-out, slicer, limit data (here:
cut), reset peer; a black hole holds everything until it is healed, as a partition does that ends before TCP gives up.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


class Direction(enum.Enum):
    UP = "to the server"
    DOWN = "to the client"


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """At most this long; it ends when the toxic is taken away."""

    seconds: float


class End(enum.Enum):
    CLOSE = "close both sides in order"
    RESET = "reset both sides"


Step = Send | Wait | End
FOREVER: Final = Wait(3600.0)


class Toxic:
    """Passes everything. `passed` counts what went before in this direction of this connection."""

    def steps(self, direction: Direction, data: bytes, passed: int) -> Iterator[Step]:
        yield Send(data)

    def at_close(self) -> Iterator[Step]:
        """One side has closed: what happens before the other side hears of it."""
        yield from ()

    def at_connect(self) -> Iterator[Step]:
        yield from ()


@dataclass(frozen=True, slots=True)
class Latency(Toxic):
    seconds: float

    def steps(self, direction: Direction, data: bytes, passed: int) -> Iterator[Step]:
        yield Wait(self.seconds)
        yield Send(data)


@dataclass(frozen=True, slots=True)
class Bandwidth(Toxic):
    bytes_per_s: int

    def steps(self, direction: Direction, data: bytes, passed: int) -> Iterator[Step]:
        yield Wait(len(data) / self.bytes_per_s)
        yield Send(data)


@dataclass(frozen=True, slots=True)
class SlowClose(Toxic):
    seconds: float

    def at_close(self) -> Iterator[Step]:
        yield Wait(self.seconds)


@dataclass(frozen=True, slots=True)
class TimeOut(Toxic):
    """Nothing passes, and after a while the connection is closed."""

    seconds: float

    def steps(self, direction: Direction, data: bytes, passed: int) -> Iterator[Step]:
        yield Wait(self.seconds)
        yield End.CLOSE


@dataclass(frozen=True, slots=True)
class Slicer(Toxic):
    size: int
    pause_s: float

    def steps(self, direction: Direction, data: bytes, passed: int) -> Iterator[Step]:
        for at in range(0, len(data), self.size):
            yield Send(data[at : at + self.size])
            yield Wait(self.pause_s)


@dataclass(frozen=True, slots=True)
class Cut(Toxic):
    """After so many bytes in one direction the connection ends: in the middle of a packet, mostly."""

    direction: Direction
    after_bytes: int
    end: End

    def steps(self, direction: Direction, data: bytes, passed: int) -> Iterator[Step]:
        if direction is not self.direction or passed + len(data) < self.after_bytes:
            yield Send(data)
            return
        yield Send(data[: max(0, self.after_bytes - passed)])
        yield self.end


@dataclass(frozen=True, slots=True)
class ResetPeer(Toxic):
    def steps(self, direction: Direction, data: bytes, passed: int) -> Iterator[Step]:
        yield End.RESET

    def at_connect(self) -> Iterator[Step]:
        yield End.RESET


@dataclass(frozen=True, slots=True)
class BlackHole(Toxic):
    """In one direction or in both (None)."""

    direction: Direction | None

    def steps(self, direction: Direction, data: bytes, passed: int) -> Iterator[Step]:
        if self.direction in (None, direction):
            yield FOREVER
        yield Send(data)

    def at_close(self) -> Iterator[Step]:
        yield FOREVER


def random_toxic(rng: random.Random) -> Toxic:
    way = rng.choice(list(Direction))
    return rng.choice(
        (
            Latency(rng.choice((0.005, 0.05, 0.3))),
            Bandwidth(rng.choice((2_000, 20_000, 200_000))),
            SlowClose(rng.uniform(0.5, 3.0)),
            TimeOut(rng.uniform(0.1, 2.0)),
            Slicer(rng.choice((1, 3, 17)), 0.001),
            Cut(way, rng.randrange(1, 2_000), rng.choice(list(End))),
            Cut(way, rng.randrange(1, 60), rng.choice(list(End))),
            ResetPeer(),
            BlackHole(way),
            BlackHole(None),
        )
    )

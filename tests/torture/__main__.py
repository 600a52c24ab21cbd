"""`python -m tests.torture`: what `make torture` runs; with `--check FILE`, judge a kept history again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from proxy.playground.installations import ServerKind, find_server
from tests.torture import history
from tests.torture.anomalies import Level
from tests.torture.checkers import check
from tests.torture.faults.schedule import KINDS
from tests.torture.run import AT_ONCE, ROUND_S, RunOptions, able_shape, summary, torture
from tests.torture.workloads import WORKLOADS


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.check is not None:
        anomalies = check(history.load(arguments.check))
        for anomaly in anomalies:
            print(anomaly)
        return 1 if anomalies else 0
    options = RunOptions(
        installation=find_server(ServerKind(arguments.server) if arguments.server else None),
        length_s=arguments.minutes * 60,
        seed=arguments.seed,
        rounds=arguments.rounds,
        round_s=arguments.round_seconds,
        at_once=arguments.at_once,
        workloads=_names(arguments.workloads, list(WORKLOADS)),
        kinds=None if arguments.faults is None else _names(arguments.faults, list(KINDS)),
        levels=[Level(arguments.level)] if arguments.level else tuple(Level),
        shape=able_shape(),
        environment={"TXGUARD_FAILPOINTS": arguments.failpoints} if arguments.failpoints else {},
        keep=arguments.keep,
    )
    tally = asyncio.run(torture(options, lambda text: print(text, flush=True)))
    line = summary(tally)
    print(line)
    return 0 if line.endswith("OK") else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=5.0)
    add("--seed", type=int, help="of the first round, to run it again (with the same other options)")
    add("--rounds", type=int, help="at most so many")
    add("--round-seconds", type=float, default=ROUND_S)
    add("--at-once", type=int, default=AT_ONCE, help="workloads in a round")
    add("--workloads", help=f"of {', '.join(WORKLOADS)}")
    add("--faults", help=f"of {', '.join(KINDS)}; an empty text for none")
    add("--level", choices=[level.value for level in Level])
    add("--server", choices=[kind.value for kind in ServerKind])
    add("--failpoints", help="for every proxy, e.g. without_R1=on: then there must be violations")
    add("--keep", type=Path, help="where rounds with violations are kept")
    add("--check", type=Path, metavar="FILE", help="judge a kept history (.jsonl) again, and nothing else")
    return parser


def _names(text: str | None, known: list[str]) -> list[str]:
    names = known if text is None else [name.strip() for name in text.split(",") if name.strip()]
    if unknown := set(names) - set(known):
        raise SystemExit(f"not known: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return names


if __name__ == "__main__":
    sys.exit(main())

"""`txguard proxy --workers N`: several proxies on one port, as one to its users.

- *Supervisor*: the process that the user started. It serves no client; it starts the workers, starts again what dies,
  and ends them with itself. Where the oracle is embedded, it holds it and serves it to the workers on loopback.
- *Worker*: a proxy process like any other, with its share of the configured bounds, on the shared port (SO_REUSEPORT).
- *Link*: the socket pair between supervisor and worker. The supervisor tells a worker its *role* by it and passes on
  what workers ask each other (KILL, SHOW PROCESSLIST …). Its end is the other side's end.
"""

from proxy.workers.supervisor import WorkersFailed, supervise
from proxy.workers.worker import run_worker

__all__ = ["WorkersFailed", "run_worker", "supervise"]

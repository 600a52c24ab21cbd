"""Is every shard fit to be one: `txguard doctor`, also run before the proxy starts.

- *Facts*: what a server says about itself, asked once over one connection (`facts.py`).
- *Check*: a function from the facts of one server, or of all, to findings; no input or output (`checks.py`).
- *Finding*: what is wrong with which shard, how bad, and the remedy (`findings.py`).
- *Examination*: ask every shard, run every check (`examination.py`).
- *Report*: the findings as a table or JSON, and the exit code (`report.py`).
"""

from proxy.doctor.examination import examine
from proxy.doctor.findings import Finding, Severity, refuses_start

__all__ = ["Finding", "Severity", "examine", "refuses_start"]

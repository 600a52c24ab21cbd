"""Private database servers, and a whole TxGuard on top of them, for trying things out and for tests.

- *Installation*: a MariaDB or MySQL server program on this machine (`installations.py`).
- *Template*: a data directory made once per installation and copied for each new server (`templates.py`).
- *Server*: one running server with its own folder; it dies with the process that started it (`servers.py`).
- *Playground*: N servers, the proxy in front of them, and their supervision (`playground.py`).
"""

"""Private database servers, and a whole TxGuard on top of them, for trying things out and for tests.

- *Installation*: a MariaDB or MySQL server program on this machine (`installations.py`).
- *Template*: a data directory made once per installation and copied for each new server (`templates.py`).
- *Server*: one running server with its own folder; it dies with the process that started it (`servers.py`).
- *Proxy process*: the proxy as a child process, with the same life (`proxy_process.py`).
- *Folder*: where a playground keeps its data, locked by the one that runs (`folder.py`).
- *Playground*: N servers, their configuration and the proxy in front of them (`playground.py`), watched over by
  the *supervisor* (`supervisor.py`).
"""

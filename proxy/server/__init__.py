"""The proxy as a server: sockets and commands of its clients, and the program that holds everything together.

- *Listener* (`listener`): where clients connect; owns their tasks and the orderly stop.
- *Front connection* (`front`, over `client_socket` and `answers`): one client; hands each *command* (`commands`) to the
  client's session, one at a time, and sends the answer.
- *Connection phase* (`connection_phase`): greeting, TLS and login of a client, sans-IO.
- *Client* and *Session* (`handler`): what a connection and a session ask of each other, and the rules between them.
- *Proxy* (`main`): opens oracle, pools, engine and listener in order and closes them in the opposite one; `care`
  and `killed` are what it does in the background.
"""

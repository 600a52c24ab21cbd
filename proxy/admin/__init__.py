"""SHOW TXGUARD …: one file for each command, and the table that finds it.

Each is a function from what the process has (`sources.Sources`) to a `LocalResult`. They look and change
nothing, but that TRANSACTION carries out what an operator has decided.
"""

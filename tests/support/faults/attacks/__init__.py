"""One against all: sixteen kinds of attackers, each in a process, against one reader and one sender.

`one_against_all` runs chatproxy, an Ollama (`ollama`), the two users (`victims`) and the `attackers` as
processes, on a database that `database` fills, and measures. `child` is how they wait for each other.
"""

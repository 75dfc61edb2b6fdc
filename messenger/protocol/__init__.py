"""Wire text ⇄ values. No I/O: nothing here knows a socket, a database or Redis."""

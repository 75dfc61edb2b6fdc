"""Lua scripts only: each runs whole on Redis, on Redis' own clock."""

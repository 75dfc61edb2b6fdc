"""The only room that speaks Redis. The bus is a hint: it may lose, repeat and reorder, and nothing is true because of it."""

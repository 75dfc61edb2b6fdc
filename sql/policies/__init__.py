"""SQL files only."""

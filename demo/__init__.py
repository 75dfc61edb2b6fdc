"""The demo client: static files that transport serves; no Python here."""

"""A chat daemon that a team hosts itself."""

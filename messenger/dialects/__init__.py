"""Other chat systems' words for the same core. A dialect translates: what its clients say into use cases, what the daemon tells
its devices into frames of its own. It stores nothing, fans nothing out and keeps nobody's presence; each has one table for
either direction, where a reader sees what becomes of what."""

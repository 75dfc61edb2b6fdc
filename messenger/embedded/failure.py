"""The one failure of this package."""


class EmbeddedError(Exception):
    """The embedded servers do not run; the text is one line for the person at the terminal."""

"""Named statements: each `.sql` file holds blocks that begin with `-- name: <name>` and a line of purpose."""

from functools import cache
from importlib.resources import files


@cache
def _load(topic: str) -> dict[str, str]:
    text = files("messenger.store.queries").joinpath(f"{topic}.sql").read_text(encoding="utf-8")
    blocks = text.split("-- name: ")[1:]
    return {name.strip(): body.strip() for name, _, body in (block.partition("\n") for block in blocks)}


def query(name: str) -> str:
    """The text of `topic.name`. Raises KeyError."""
    topic, _, block = name.partition(".")
    return _load(topic)[block]

"""README's page of the protocol, one example a frame, from the document that the daemon serves at /asyncapi.json.

`python -m tests.support.protocol_page` writes it anew between its marks; a test holds README against it.
"""

import json
import re
from pathlib import Path
from typing import Any

from messenger.transport.asyncapi import document

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- every frame: made by tests/support/protocol_page.py -->", "<!-- every frame: end -->"
# Shown once, whole, before the frames; in them only named.
ELSEWHERE = ("data", "conversation", "messages", "changes")


def page() -> str:
    messages = document("1")["components"]["messages"]
    told = {name: (it["summary"], it["examples"][0]["payload"]) for name, it in messages.items()}
    message = told["server.message.new"][1]["data"]
    conversation = told["server.subscribed"][1]["conversation"]
    parts = ["A message, and a conversation as one sees it oneself:", _block([_line(message), _line(conversation)])]
    for side, arrow, title in (("client", "→", "What a device says"), ("server", "←", "What the daemon says")):
        lines = []
        for name, (summary, example) in told.items():
            if name.startswith(f"{side}."):
                lines += [f"# {summary}", f"{arrow} {_line(_shortened(example))}"]
        parts += [f"{title}:", _block(lines)]
    return "\n\n".join(parts)


def _shortened(value: Any) -> Any:
    match value:
        case dict():
            return {name: _named(item) if name in ELSEWHERE else _shortened(item) for name, item in value.items()}
        case list():
            return [_shortened(item) for item in value]
    return value


def _named(value: Any) -> Any:
    return value and ["…"] if isinstance(value, list) else value and "…"


def _line(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace('"…"', "{…}")
    # An id says no more by being whole.
    return re.sub(r"([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", r"\1-…", text)


def _block(lines: list[str]) -> str:
    return "\n".join(["```", *lines, "```"])


def told(readme: str) -> str:
    """README with its page as it should be."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{page()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(told(README.read_text(encoding="utf-8")), encoding="utf-8")

"""schemathesis asks everything that /openapi.json describes, and everything that it forbids: no answer is a surprise, and none
of them a failure of ours. The same questions every time; `--contract-examples` asks more of them."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support import contract
from tests.support.node import SECRET, Node, node_of_stage, stage_with
from tests.support.people import token

API_TOKEN = "the-host-applications-own-key-of-32-bytes"
# Web Push is on, so that there is something to ask; it has nothing to send, and nowhere.
stage = stage_with(api_token=API_TOKEN, vapid_private_key="q" * 42 + "g", vapid_subject="mailto:ops@example.org")
node = node_of_stage()

ROOT = Path(__file__).parents[2]
# Ids that do not come to mind: she would revoke her own token, or block Ben.
ANN, BEN = 4_700_000_001, 4_700_000_002
# What Ann owns; some of it will be deleted on the way.
GROUPS, MESSAGES = 20, 60
FOR_THE_HOST = ("users.put", "users.revoke")
# Where a request may be refused though its form is right, by a rule that its schema does not tell.
REFUSED_BY_RULE: Mapping[str, Sequence[int]] = {
    "conversations.create": (422,),  # a direct one is with one other person
    "conversations.list": (422,),  # a cursor is one of ours
    "messages.send": (422,),  # client_id and Idempotency-Key are the same
    "devices.register": (422,),  # keys are a browser's
    "users.block": (422,),  # nobody blocks himself
    "ws.open_socket": (426,),  # a plain GET is no upgrade
    "ws.open_socket.again": (426,),
    "session.open_socket": (426,),
    "open_room.open_socket": (426,),
    "socket_io.poll": (400,),  # what the library makes of it
    "socket_io.push": (400,),
    "session_rest.join": (
        400,
        422,
        429,
    ),  # a nickname may be taken, and is trimmed before it is judged; codes are guesses
}


def _settings(known: Mapping[str, Sequence[str]], examples: int) -> str:
    """A configuration of schemathesis, in TOML; JSON's texts, lists and truths are TOML's too."""

    def speaking_as(bearer: str) -> str:
        return f"headers = {{Authorization = {json.dumps(f'Bearer {bearer}')}}}"

    lines = [
        "color = false",
        "continue-on-failure = true",
        'hooks = "tests.support.questions"',
        speaking_as(token(ANN, SECRET)),
        "[generation]",
        # What is asked hangs on nothing but this tree: on no time, no earlier run and no earlier answer.
        "deterministic = true",
        f"max-examples = {examples}",
        # No text has it; the document says so in words, a pattern in every string would tire its readers.
        "allow-x00 = false",
        "[cache]",
        "enabled = false",
        "[analysis.constants]",
        "enabled = false",
        "[phases.fuzzing.error-feedback]",
        "enabled = false",
    ]
    for phase in ("examples", "coverage", "fuzzing"):
        lines += [f"[phases.{phase}.extra-data-sources]", "responses = false"]
    for name, values in known.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines += ["[parameters]", *(f'"path.{name}" = {{dictionary = "{name}", probability = 0.7}}' for name in known)]
    lines += ["[[operations]]", f"include-operation-id = {json.dumps(FOR_THE_HOST)}", speaking_as(API_TOKEN)]
    for name, statuses in REFUSED_BY_RULE.items():
        accepted = [*("2xx", "3xx", "401", "403", "404", "409"), *map(str, statuses)]
        lines += ["[[operations]]", f"include-operation-id = {json.dumps(name)}"]
        lines += ["[operations.checks.positive_data_acceptance]", f"expected-statuses = {json.dumps(accepted)}"]
        rejected = ["4xx", *map(str, statuses)]
        lines += ["[operations.checks.negative_data_rejection]", f"expected-statuses = {json.dumps(rejected)}"]
    return "\n".join(lines)


async def _seeded(node: Node) -> Mapping[str, Sequence[str]]:
    """Conversations and messages, so that not every path leads nowhere."""
    ann = node.client(ANN)
    groups = [await ann.group(BEN) for _ in range(GROUPS)]
    messages = [await ann.send(groups[number % GROUPS], f"Entry {number}") for number in range(MESSAGES)]
    return {
        "conversation_id": groups,
        "message_id": [message["id"] for message in messages],
        "file": ["docs.js", "docs.css", "icon.svg"],
    }


async def test_no_answer_is_a_failure_or_a_surprise(node: Node, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(_settings(await _seeded(node), request.config.getoption("--contract-examples")))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", settings,
        "run", f"{node.origin}/openapi.json", "--url", node.origin, "--checks", "all",
        # A path that fits into another one's variable (`/users/me`) allows that one's methods too.
        "--exclude-checks", "allow_header_conformance",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, told.decode()
    count = sum(len(operations) for operations in contract.documents()[0]["paths"].values())
    # All but the document itself, which it reads at the beginning.
    assert f"Tested: {count - 1}\n" in told.decode(), told.decode()

"""schemathesis asks everything that /openapi.json describes, and everything that it forbids: no answer is a surprise, and none
of them a failure of ours. The same questions every time; `--contract-examples` asks more of them."""

import asyncio
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
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
CHANNELS = 10
FOR_THE_HOST = ("users.put", "users.revoke")
PLATFORM = tuple(
    operation["operationId"]
    for path, operations in contract.documents()[0]["paths"].items()
    for operation in operations.values()
    if path.startswith("/v3/")
)
# Where a request may be refused though its form is right, by a rule that its schema does not tell.
REFUSED_BY_RULE: Mapping[str, Sequence[int]] = {
    "conversations.create": (422,),  # a direct one is with one other person
    "conversations.list": (422,),  # a cursor is one of ours
    "messages.send": (422,),  # client_id and Idempotency-Key are the same
    "devices.register": (422,),  # keys are a browser's
    "attachments.upload": (415, 201),  # by its bytes; what a form has beside its file is passed over
    "users.block": (422,),  # nobody blocks himself
    "ws.open_socket": (426,),  # a plain GET is no upgrade
    "ws.open_socket.again": (426,),
    "session.open_socket": (426,),
    "open_room.open_socket": (426,),
    "channel.open_socket": (426,),
    "session_rest.change": (422, 429),  # null is as good as absent, and something has to be there; codes are guesses
    "socket_io.poll": (400,),  # what the library makes of it
    "socket_io.push": (400,),
    "session_rest.join": (
        400,
        422,
        429,
    ),  # a nickname may be taken, and is trimmed before it is judged; codes are guesses
    **dict.fromkeys(PLATFORM, (400,)),  # whatever it is
}


def _settings(known: Mapping[str, Sequence[object]], examples: int) -> str:
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
    # Links are those that the document has: a `user_id` of the vendor's API is none of ours.
    lines += ["[phases.stateful.inference]", 'algorithms = ["location-headers"]']
    for phase in ("examples", "coverage", "fuzzing"):
        lines += [f"[phases.{phase}.extra-data-sources]", "responses = false"]
    for name, values in known.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines += ["[parameters]", *(f'"path.{name}" = {{dictionary = "{name}", probability = 0.7}}' for name in known)]
    lines += ["[[operations]]", f"include-operation-id = {json.dumps(FOR_THE_HOST)}", speaking_as(API_TOKEN)]
    lines += ["[[operations]]", f"include-operation-id = {json.dumps(PLATFORM)}"]
    lines += [f"headers = {{Api-Token = {json.dumps(API_TOKEN)}}}"]
    # There every failure has the one status, that of another method too.
    lines += ["[operations.phases.coverage]", "unexpected-methods = []"]
    for name, statuses in REFUSED_BY_RULE.items():
        accepted = [*("2xx", "3xx", "401", "403", "404", "409"), *map(str, statuses)]
        lines += ["[[operations]]", f"include-operation-id = {json.dumps(name)}"]
        lines += ["[operations.checks.positive_data_acceptance]", f"expected-statuses = {json.dumps(accepted)}"]
        rejected = ["4xx", *map(str, statuses)]
        lines += ["[operations.checks.negative_data_rejection]", f"expected-statuses = {json.dumps(rejected)}"]
    return "\n".join(lines)


async def _seeded(node: Node) -> Mapping[str, Sequence[object]]:
    """Conversations and messages, so that not every path leads nowhere."""
    ann = node.client(ANN)
    groups = [await ann.group(BEN) for _ in range(GROUPS)]
    form = aiohttp.FormData({"file": io.BytesIO(b"Bring boots")})
    uploaded = (await ann.ask("POST", "/attachments", data=form)).body
    messages = [await ann.send(groups[number % GROUPS], f"Entry {number}") for number in range(MESSAGES)]
    channels = [f"channel-{number}" for number in range(CHANNELS)]
    said = [number for channel in channels for number in await _channel_with_messages(node, channel)]
    return {
        "channel_url": channels,
        "message_number": said,
        "conversation_id": groups,
        "message_id": [message["id"] for message in messages],
        "attachment_id": [uploaded["id"]],
        "file": ["docs.js", "docs.css", "icon.svg"],
    }


async def _channel_with_messages(node: Node, url: str) -> Sequence[int]:
    async def ask(path: str, body: Mapping[str, object]) -> Mapping[str, int]:
        headers = {"Api-Token": API_TOKEN}
        async with node.session.post(f"{node.origin}/v3/group_channels{path}", json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            told: Mapping[str, int] = await response.json()
            return told

    await ask("", {"channel_url": url, "user_ids": [str(ANN), "user-ben"]})
    message = {"message_type": "MESG", "user_id": "user-ben", "message": "Hello"}
    return [(await ask(f"/{url}/messages", message))["message_id"] for _ in range(3)]


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

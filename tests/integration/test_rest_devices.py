"""/users/me/devices and /push-key: a browser's subscription comes in as it stands, and nothing of it is told to anybody."""

from typing import Any
from uuid import uuid4

import pytest

from messenger.delivery.vapid import new_key_pair
from tests.support.browser import Browser, base64url
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, Like

PRIVATE_KEY, PUBLIC_KEY = new_key_pair()
A_UUID = Like(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

stage = stage_with(vapid_private_key=PRIVATE_KEY, vapid_subject="mailto:ann@example.org")
node = node_of_stage()


def browser(path: str | None = None) -> Browser:
    return Browser(f"https://push.example.org/{path or uuid4()}")


async def test_anybody_is_told_the_key_to_subscribe_with(node: Node) -> None:
    assert await node.nobody().get("/push-key") == (200, {"public_key": PUBLIC_KEY})


async def test_a_device_is_registered_listed_and_forgotten(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    assert await client.get("/users/me/devices") == (200, {"devices": []})
    subscription = browser().subscription(name="Firefox at home")
    status, told = await client.post("/users/me/devices", subscription)
    assert (status, told) == (
        201,
        {"id": A_UUID, "name": "Firefox at home", "endpoint_host": "push.example.org", "created_at": A_TIME},
    )
    _, other = await client.post("/users/me/devices", browser().subscription())
    assert other["name"] is None
    assert await client.get("/users/me/devices") == (200, {"devices": [other, told]})
    assert await client.delete(f"/users/me/devices/{told['id']}") == (204, None)
    assert await client.get("/users/me/devices") == (200, {"devices": [other]})
    assert (await client.delete(f"/users/me/devices/{told['id']}"))[0] == 404


async def test_the_same_subscription_again_is_the_same_device(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client, mine = node.client(ann), browser()
    _, first = await client.post("/users/me/devices", mine.subscription())
    renewed = Browser(mine.endpoint)  # with other keys
    status, again = await client.post("/users/me/devices", renewed.subscription(name="Mine"))
    assert (status, again) == (201, {**first, "name": "Mine"})
    assert await client.get("/users/me/devices") == (200, {"devices": [again]})
    keys = await stage.oracle.fetchval("select auth from messenger.push_devices where id = $1", again["id"])
    assert keys == base64url(renewed.auth)


async def test_anothers_device_is_none(stage: Stage, node: Node) -> None:
    ann, eve = stage.people(2)
    _, told = await node.client(ann).post("/users/me/devices", browser().subscription())
    client = node.client(eve)
    for device_id in (told["id"], uuid4(), "none"):
        answer = await client.ask("DELETE", f"/users/me/devices/{device_id}")
        assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert await client.get("/users/me/devices") == (200, {"devices": []})
    assert len((await node.client(ann).get("/users/me/devices"))[1]["devices"]) == 1


async def test_a_shared_browser_belongs_to_who_registered_last(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    shared = browser()
    await node.client(ann).post("/users/me/devices", shared.subscription())
    status, told = await node.client(ben).post("/users/me/devices", shared.subscription())
    assert status == 201
    assert await node.client(ann).get("/users/me/devices") == (200, {"devices": []})
    assert await node.client(ben).get("/users/me/devices") == (200, {"devices": [told]})


async def test_of_more_than_twenty_the_oldest_goes(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    ids = [(await client.post("/users/me/devices", browser().subscription()))[1]["id"] for _ in range(21)]
    _, told = await client.get("/users/me/devices")
    assert [device["id"] for device in told["devices"]] == ids[:0:-1]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_nobody_has_devices(node: Node, method: str) -> None:
    path = f"/users/me/devices/{uuid4()}" if method == "DELETE" else "/users/me/devices"
    answer = await node.nobody().ask(method, path)
    assert (answer.status, answer.body["code"]) == (401, "unauthorized")


GOOD = browser("good").subscription()
KEYS = GOOD["keys"]


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({"keys": KEYS}, "endpoint", "endpoint is required"),
        ({"endpoint": GOOD["endpoint"]}, "keys", "keys is required"),
        ({**GOOD, "endpoint": 7}, "endpoint", "endpoint must be a string"),
        ({**GOOD, "endpoint": ""}, "endpoint", "endpoint must not be empty"),
        (
            {**GOOD, "endpoint": "https://push.example.org/" + "x" * 2048},
            "endpoint",
            "endpoint must have at most 2048 characters",
        ),
        ({**GOOD, "endpoint": "push.example.org"}, "endpoint", "endpoint is refused: neither https:// nor http://"),
        ({**GOOD, "keys": "none"}, "keys", None),
        ({**GOOD, "keys": {"p256dh": KEYS["p256dh"]}}, "keys", "keys is required"),
        ({**GOOD, "keys": {"auth": KEYS["auth"]}}, "keys", "keys is required"),
        ({**GOOD, "name": "x" * 201}, "name", "name must have at most 200 characters"),
        ({**GOOD, "name": "\x00"}, "name", "name must not contain U+0000 or lone surrogates"),
        *(
            ({**GOOD, "keys": {**KEYS, **wrong}}, "keys", None)
            for wrong in (
                {"auth": "short"},
                {"auth": base64url(bytes(17))},
                {"auth": "***"},
                {"p256dh": base64url(bytes(65))},
                {"p256dh": base64url(b"\x04" + bytes(range(64)))},  # no point on the curve
                {"p256dh": KEYS["p256dh"][:-4]},
                {"p256dh": KEYS["auth"]},
                {"p256dh": KEYS["p256dh"].replace("B", "+", 1)},
            )
        ),
    ],
)
async def test_what_is_no_subscription_is_refused(
    stage: Stage, node: Node, body: dict[str, Any], field: str, told: str | None
) -> None:
    (ann,) = stage.people(1)
    status, problem = await node.client(ann).post("/users/me/devices", body)
    assert (status, problem["code"], problem["field"]) == (422, "invalid_frame", field)
    if told is not None:
        assert problem["message"] == told
    assert await node.client(ann).get("/users/me/devices") == (200, {"devices": []})


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.org/v1",
        "https://127.0.0.1/v1",
        "https://localhost:8443/v1",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://ann:secret@push.example.org/",
        "file:///etc/passwd",
        "https://push.example.org\\@127.0.0.1/",
    ],
)
async def test_an_endpoint_that_leads_inside_is_refused(stage: Stage, node: Node, endpoint: str) -> None:
    (ann,) = stage.people(1)
    status, problem = await node.client(ann).post("/users/me/devices", {**GOOD, "endpoint": endpoint})
    assert (status, problem["code"], problem["field"]) == (422, "invalid_frame", "endpoint")
    assert "secret" not in problem["message"]


async def test_the_host_registers_on_somebodys_behalf(cluster: Cluster) -> None:
    token = "the host's own key"
    node = await cluster.node(
        **FREE, api_token=token, vapid_private_key=PRIVATE_KEY, vapid_subject="mailto:ann@example.org"
    )
    behalf = {"Authorization": f"Bearer {token}", "X-User-Id": "7"}
    answer = await node.nobody().ask("POST", "/users/me/devices", json=GOOD, headers=behalf)
    assert answer.status == 201
    assert await node.client(7).get("/users/me/devices") == (200, {"devices": [answer.body]})


async def test_without_web_push_there_is_no_key_and_nothing_to_register(cluster: Cluster) -> None:
    node = await cluster.node(**FREE)
    client = node.client(1)
    for answer in (
        await node.nobody().ask("GET", "/push-key"),
        await client.ask("POST", "/users/me/devices", json=GOOD),
    ):
        assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert await client.get("/users/me/devices") == (200, {"devices": []})
    assert (await client.delete(f"/users/me/devices/{uuid4()}"))[0] == 404

"""Files: uploaded and known by their bytes, carried by messages, and loaded down by whoever may see one that carries them."""

import asyncio
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import aiohttp
import pytest
from PIL import Image

from messenger.config import Rate
from messenger.domain.ids import UserId
from messenger.errors import StorageAway
from messenger.service import attachments as service
from messenger.storage import folder, intake
from messenger.transport.rest import attachments as rest
from tests.security.wire import wire_to
from tests.support.node import FREE, Cluster, Node, Stage, logged, node_of_stage, stage_with
from tests.support.people import API, Answer, Client, Frame, Like, token
from tests.support.reachable import SECRET

A_UUID = Like(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ABSENT = "01890000-0000-7000-8000-000000000000"
LIMIT = 300_000
ORIGIN = "https://chat.example.org"
NO_FORM = "the body must be multipart/form-data with one file"
stage = stage_with(max_attachment_bytes=LIMIT, allowed_origins=(ORIGIN,), api_token="the-host-applications-own-key")
node = node_of_stage()


def png(width: int = 40, height: int = 30) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(written, "PNG")
    return written.getvalue()


def form(content: bytes, name: str = "trail.png", type_: str = "image/png") -> aiohttp.FormData:
    # As browsers do it: names are UTF-8, and nothing but a quotation mark or the end of a line is escaped.
    data = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    data.add_field("file", content, filename=name, content_type=type_)
    return data


async def upload(client: Client, content: bytes, name: str = "trail.png", type_: str = "image/png") -> Answer:
    return await client.ask("POST", "/attachments", data=form(content, name, type_))


async def uploaded(client: Client, content: bytes = b"Bring boots", name: str = "notes.txt") -> Frame:
    answer = await upload(client, content, name)
    assert answer.status == 201, answer
    return dict(answer.body)


def carrying(*uploads: Frame) -> list[Frame]:
    return [{"url": told["url"]} for told in uploads]


async def links_of(client: Client, told: Frame) -> Frame:
    status, links = await client.get(f"/attachments/{told['id']}/links")
    assert status == 200, links
    return dict(links)


async def loaded(node: Node, url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
    """What a browser gets at an address, without a token."""
    async with node.session.request(method, node.origin + url, headers=headers) as answer:
        return answer.status, await answer.read(), answer.headers


async def statuses(told: Frame, *clients: Client) -> list[int]:
    """What each is answered who asks for a file."""
    return [(await client.get(f"/attachments/{told['id']}/links"))[0] for client in clients]


def kept(node: Node) -> list[str]:
    """Every file in the storage, of uploads on their way too."""
    root = node.context.config.attachments_dir
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def arriving(node: Node) -> list[str]:
    return [path for path in kept(node) if path.startswith("arriving/")]


async def test_a_picture_is_uploaded_and_loaded_down(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    answer = await upload(client, png(1200, 800), "../trail%0D%0A.png", "text/html")
    told = answer.body
    assert (answer.status, told) == (
        201,
        {
            "id": A_UUID,
            "url": f"{API}/attachments/{told['id']}",
            "name": "trail.png",
            "size": len(png(1200, 800)),
            "mime_type": "image/png",
            "width": 1200,
            "height": 800,
            "thumbnail": True,
        },
    )
    links = await links_of(client, told)
    assert (await loaded(node, links["url"]))[:2] == (200, png(1200, 800))
    status, small, headers = await loaded(node, links["thumbnail_url"])
    assert (status, headers["Content-Type"]) == (200, "image/webp")
    assert Image.open(io.BytesIO(small)).size == (512, 341)
    for query, there in (("", links["url"]), ("?thumbnail=1", links["thumbnail_url"])):
        led = await client.ask("GET", f"/attachments/{told['id']}{query}", allow_redirects=False)
        assert (led.status, led.headers["Location"], led.text) == (302, there, "")
        assert led.headers["Cache-Control"] == "no-store"


async def test_a_text_is_a_file_without_a_picture(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    told = await uploaded(client, "Bring boots, Jürgen".encode(), "notes für dich.txt")
    assert told == {
        "id": A_UUID, "url": f"{API}/attachments/{told['id']}", "name": "notes für dich.txt", "size": 20,
        "mime_type": "text/plain", "width": None, "height": None, "thumbnail": False,
    }  # fmt: skip
    links = await links_of(client, told)
    assert links["thumbnail_url"] is None
    assert (await client.get(f"/attachments/{told['id']}?thumbnail=1"))[0] == 404
    there = links["url"].replace("/content?", "/thumbnail?")
    assert (await loaded(node, there))[0] == 403


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", b"<!doctype html><script>alert(1)</script>"),
        ("logo.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
        ("feed.xml", b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>'),
        ("app.js", b"alert(1)"),
        ("GIF89a.gif", b"GIF89a/*\n*/=alert(1)"),
    ],
)
async def test_what_a_browser_would_run_is_text_to_it(stage: Stage, node: Node, name: str, content: bytes) -> None:
    client = node.client(*stage.people(1))
    answer = await upload(client, content, name, "text/html")
    assert (answer.status, answer.body["mime_type"]) == (201, "text/plain")
    status, body, headers = await loaded(node, (await links_of(client, answer.body))["url"])
    assert (status, body) == (200, content)
    assert {
        name: headers[name] for name in headers if name not in ("Date", "Etag", "Last-Modified", "Cache-Control")
    } == {
        "Content-Type": "text/plain",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Content-Length": str(len(content)),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Server": "messenger",
        "Vary": "Origin",
    }
    lasts_s = re.fullmatch(r"private, max-age=(\d+)", headers["Cache-Control"])
    assert lasts_s
    assert 0 < int(lasts_s[1]) <= 300


async def test_a_name_may_be_anything_but_dangerous(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    for claimed, name in (
        ("a;b=c.txt", "a;b=c.txt"),
        ("100%22 sure%0D%0A.txt", '100" sure.txt'),
        ("C:\\temp\\x.txt", "x.txt"),
        ("\u202etxt.exe", "txt.exe"),
        ("..", "file"),
        ("é" * 300 + ".txt", "é" * 251 + ".txt"),
    ):
        answer = await upload(client, b"x", claimed)
        assert (answer.status, answer.body["name"]) == (201, name)
        _, _, headers = await loaded(node, (await links_of(client, answer.body))["url"])
        assert headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{quote(name, safe='')}"


async def test_a_file_without_a_name_gets_one(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n'
    answer = await client.ask("POST", "/attachments", data=body, headers=headers)
    assert (answer.status, answer.body["name"]) == (201, "file")


async def test_a_part_of_a_file_is_loaded_down(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    there = (await links_of(client, await uploaded(client, b"0123456789")))["url"]
    status, body, headers = await loaded(node, there, Range="bytes=2-4")
    assert (status, body, headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    status, body, headers = await loaded(node, there, Range="bytes=20-")
    assert (status, body, headers["Content-Range"]) == (416, b"", "bytes */10")
    status, body, headers = await loaded(node, there, "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "10")
    assert (await loaded(node, there, **{"If-None-Match": headers["Etag"]}))[:2] == (304, b"")
    assert (await loaded(node, there, **{"If-Match": '"another"'}))[:2] == (412, b"")


async def test_an_empty_file_is_one(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    told = await uploaded(client, b"", "nothing.txt")
    assert (told["size"], told["mime_type"]) == (0, "text/plain")
    assert (await loaded(node, (await links_of(client, told))["url"]))[:2] == (200, b"")


async def test_a_broken_picture_is_a_file(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    told = await uploaded(client, png()[:60], "half.png")
    assert (told["mime_type"], told["thumbnail"]) == ("image/png", False)


# Who may.


async def test_who_takes_part_loads_down_what_a_message_carries(stage: Stage, node: Node) -> None:
    ann, ben, eve = stage.people(3)
    anns, bens, eves = node.client(ann), node.client(ben), node.client(eve)
    tea = await anns.group(ben)
    phone = await node.phone(ben)
    told = await uploaded(anns, png(), "trail.png")
    assert await statuses(told, anns, bens, eves) == [200, 404, 404]
    claimed = {"url": told["url"], "name": "salary.xls", "size": 1, "mime_type": "application/pdf"}
    sent = await anns.send(tea, "", message_type="image", attachments=[claimed])
    carried = [
        {
            "url": told["url"],
            "name": "trail.png",
            "size": len(png()),
            "mime_type": "image/png",
            "width": 40,
            "height": 30,
            "thumbnail": True,
        }
    ]
    assert (sent["content"], sent["attachments"]) == ("", carried)
    assert (await phone.hear("message.new"))["data"] == sent
    assert (await bens.get(f"/conversations/{tea}/messages"))[1]["messages"] == [sent]
    assert await statuses(told, anns, bens, eves) == [200, 200, 404]
    assert (await loaded(node, (await links_of(bens, told))["url"]))[:2] == (200, png())


async def test_what_is_hidden_and_what_is_not_there_are_told_alike(stage: Stage, node: Node) -> None:
    ann, eve = stage.people(2)
    told = await uploaded(node.client(ann))
    for path in ("", "/links"):
        answers = [
            await node.client(eve).ask("GET", f"/attachments/{id_}{path}") for id_ in (told["id"], ABSENT, "nonsense")
        ]
        assert {(answer.status, answer.text) for answer in answers} == {(404, answers[0].text)}
        assert answers[0].body["code"] == "not_found"
    assert (await node.nobody().get(f"/attachments/{told['id']}"))[0] == 401


async def test_who_is_removed_loads_nothing_down_any_more(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    anns, bens = node.client(ann), node.client(ben)
    tea = await anns.group(ben)
    told = await uploaded(anns)
    await anns.send(tea, "Look", attachments=carrying(told))
    assert await statuses(told, bens) == [200]
    assert await anns.delete(f"/conversations/{tea}/participants/{ben}") == (204, None)
    assert await statuses(told, bens, anns) == [404, 200]


async def test_who_joins_later_does_not_see_what_was_before(stage: Stage, node: Node) -> None:
    ann, dee = stage.people(2)
    anns, dees = node.client(ann), node.client(dee)
    late = await anns.group(history="joined")
    before, after = await uploaded(anns), await uploaded(anns)
    await anns.send(late, "Before", attachments=carrying(before))
    await anns.post(f"/conversations/{late}/participants", {"user_ids": [dee]})
    await anns.send(late, "After", attachments=carrying(after))
    assert [(await statuses(told, dees))[0] for told in (before, after)] == [404, 200]


async def test_a_deleted_message_takes_its_file_with_it(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    anns, bens = node.client(ann), node.client(ben)
    tea = await anns.group(ben)
    told = await uploaded(anns)
    sent = await anns.send(tea, "Look", attachments=carrying(told))
    assert await anns.delete(f"/messages/{sent['id']}") == (204, None)
    assert await statuses(told, bens) == [404]


async def test_what_one_may_see_one_may_pass_on(stage: Stage, node: Node) -> None:
    ann, ben, cyd = stage.people(3)
    anns, bens, cyds = node.client(ann), node.client(ben), node.client(cyd)
    tea, pair = await anns.group(ben), await bens.group(cyd)
    told = await uploaded(anns)
    sent = await anns.send(tea, "Look", attachments=carrying(told))
    for url in (told["url"], f"{node.origin}{told['url']}"):
        passed = await bens.send(pair, "Ann says", attachments=[{"url": url}])
        assert passed["attachments"] == sent["attachments"]
    assert await statuses(told, cyds) == [200]


async def test_somebody_elses_file_cannot_be_sent(stage: Stage, node: Node) -> None:
    ann, eve = stage.people(2)
    told = await uploaded(node.client(ann))
    den, phone = await node.client(eve).group(), await node.phone(eve)
    for url in (told["url"], f"{API}/attachments/{ABSENT}"):
        frame = await phone.ask("message.send", conversation_id=den, content="Mine", attachments=[{"url": url}])
        assert (frame["type"], frame["code"], frame["field"]) == ("error", "invalid_frame", "attachments")
    assert await statuses(told, node.client(eve)) == [404]


async def test_the_host_uploads_in_somebodys_name(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    host = Client(node.session, node.origin, "the-host-applications-own-key")
    assert (await upload(host, b"x")).status == 403
    answer = await host.ask("POST", "/attachments", data=form(b"x"), headers={"X-User-Id": str(ann)})
    assert answer.status == 201
    assert await statuses(answer.body, node.client(ann)) == [200]


# Links.


async def test_a_link_that_was_altered_opens_nothing(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    told, other = await uploaded(client, png(), "a.png"), await uploaded(client, png(), "b.png")
    url = (await links_of(client, told))["url"]
    expires = int(re.findall(r"expires=(\d+)", url)[0])
    for altered in (
        url.replace(told["id"], other["id"]),
        url.replace("/content?", "/thumbnail?"),
        url.replace(f"expires={expires}", f"expires={expires + 1}"),
        url.replace(f"expires={expires}", f"expires=0{expires}"),
        url.replace("expires=", "expires=%20"),
        url[:-1] + ("A" if url[-1] != "A" else "B"),
        url + "=",
        url + "%C3%A9",
        url + "%FF",
        url.partition("&")[0],
        url.partition("?")[0],
        url.replace(told["id"], "nonsense"),
        url.replace(told["id"], ABSENT),
    ):
        status, body, _ = await loaded(node, altered)
        assert (status, b'"code":"forbidden"' in body) == (403, True), altered
    assert (await loaded(node, url))[0] == 200


async def test_a_link_expires(stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    client = node.client(*stage.people(1))
    url = (await links_of(client, await uploaded(client)))["url"]
    expires = int(re.findall(r"expires=(\d+)", url)[0])
    monkeypatch.setattr(service.time, "time", lambda: expires - 0.5)
    assert (await loaded(node, url))[0] == 200
    monkeypatch.setattr(service.time, "time", lambda: float(expires))
    assert (await loaded(node, url))[0] == 403


def test_links_stay_the_same_for_a_while_and_hold_no_longer_than_set(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = service.Addresses(b"key", lasts_s=300, origin=ORIGIN)
    monkeypatch.setattr(service.time, "time", lambda: 1500.0)
    first = addresses.of(UUID(ABSENT), "content")  # type: ignore[arg-type]
    assert first.startswith(f"{ORIGIN}{API}/attachments/{ABSENT}/content?expires=1800&signature=")
    monkeypatch.setattr(service.time, "time", lambda: 1649.9)
    assert addresses.of(UUID(ABSENT), "content") == first  # type: ignore[arg-type]
    monkeypatch.setattr(service.time, "time", lambda: 1650.0)
    assert addresses.expiry() == 1950


async def test_links_are_absolute_where_the_daemon_knows_its_address(cluster: Cluster) -> None:
    node = await cluster.node(public_url=ORIGIN, **FREE)
    told = await uploaded(node.client(1))
    links = await links_of(node.client(1), told)
    assert links["url"].startswith(f"{ORIGIN}{API}/attachments/{told['id']}/content?")
    # What a message names is a path still: it holds wherever the daemon moves.
    assert told["url"] == f"{API}/attachments/{told['id']}"


async def test_every_node_opens_another_ones_links(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    url = (await links_of(one.client(1), await uploaded(one.client(1))))["url"]
    assert (await loaded(two, url))[:2] == (200, b"Bring boots")


async def test_what_is_gone_from_the_storage_is_not_found(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    told = await uploaded(client)
    url = (await links_of(client, told))["url"]
    await node.context.attachments._storage.remove([UUID(told["id"])])
    assert (await loaded(node, url))[0] == 404


async def test_no_log_names_a_file_or_tells_a_link(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    with logged() as log:
        told = await uploaded(client, png()[:60], "salary of Ben.png")
        url = (await links_of(client, told))["url"]
        await loaded(node, url)
        await upload(client, b"MZ\0", "virus of Ben.exe")
    signature = re.findall(r"signature=([\w-]+)", url)[0]
    assert f"/attachments/{told['id']}/content" in log.getvalue()
    for hidden in ("Ben", signature, "expires"):
        assert hidden not in log.getvalue()


# Pages of other origins.


async def test_a_page_of_an_allowed_origin_uploads_and_loads_down(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    answer = await node.client(ann).ask("POST", "/attachments", data=form(b"x"), headers={"Origin": ORIGIN})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (201, ORIGIN)
    url = (await links_of(node.client(ann), answer.body))["url"]
    status, _, headers = await loaded(node, url, Origin=ORIGIN)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    status, _, headers = await loaded(node, url, Origin="https://evil.example")
    assert (status, "Access-Control-Allow-Origin" in headers) == (200, False)
    evil = {"Origin": "https://evil.example"}
    assert (await node.client(ann).ask("POST", "/attachments", data=form(b"x"), headers=evil)).status == 403


# What is refused.


@pytest.mark.parametrize("chunked", [False, True])
async def test_what_is_too_large_is_refused_before_all_of_it_has_come(stage: Stage, node: Node, chunked: bool) -> None:
    (ann,) = stage.people(1)
    before = kept(node)
    head = f"POST {API}/attachments HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {token(ann, SECRET)}\r\n"
    head += "Content-Type: multipart/form-data; boundary=b\r\n"
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    async with wire_to(node) as wire:
        if chunked:
            wire.say(head + f"Transfer-Encoding: chunked\r\n\r\n{len(part):x}\r\n")
            wire.say(part + b"\r\n")
            for _ in range(8):
                wire.say(b"%x\r\n%s\r\n" % (LIMIT // 4, b"x" * (LIMIT // 4)))
        else:
            wire.say(head + f"Content-Length: {LIMIT + 100_000}\r\n\r\n")
        told = await wire.hear()
    assert (told.status, told.json["code"], told.json["detail"]) == (413, "too_large", f"A file may have {LIMIT} bytes")
    assert kept(node) == before


async def test_the_largest_file_is_taken(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    content = b"x" * LIMIT
    told = await uploaded(client, content)
    assert (await loaded(node, (await links_of(client, told))["url"]))[:2] == (200, content)
    answer = await upload(client, content + b"x")
    assert (answer.status, answer.body["code"]) == (413, "too_large")


async def test_a_type_that_is_not_allowed_is_refused_whatever_it_claims(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    before = kept(node)
    for content in (b"MZ\0\0", b"\x7fELF\1\1\1\0", b"\0\1\2\3"):
        answer = await upload(client, content, "trail.png", "image/png")
        assert (answer.status, answer.body["code"]) == (415, "unsupported_media_type")
    assert kept(node) == before


async def test_of_what_is_not_allowed_nothing_is_painted(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[Path] = []
    monkeypatch.setattr(intake, "picture_of", painted.append)
    node = await cluster.node(**FREE, attachment_types=("application/pdf",))
    assert (await upload(node.client(1), png())).status == 415
    assert painted == []


async def test_what_is_allowed_is_a_setting(cluster: Cluster) -> None:
    node = await cluster.node(attachment_types=("image/*", "application/x-msdownload"), **FREE)
    assert (await upload(node.client(1), png())).status == 201
    assert (await upload(node.client(1), b"MZ\0\0")).status == 201
    assert (await upload(node.client(1), b"text")).status == 415


HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n'
FORMS = {
    "no form": ("application/json", b"{}"),
    "no boundary": ("multipart/form-data", b"--b--\r\n"),
    "a long boundary": (f"multipart/form-data; boundary={'b' * 71}", b"--b--\r\n"),
    "nothing": ("multipart/form-data; boundary=b", b""),
    "no part": ("multipart/form-data; boundary=b", b"--b--\r\n"),
    "another part": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="caption"\r\n\r\nx\r\n--b--\r\n',
    ),
    "two parts": ("multipart/form-data; boundary=b", HEAD + b"\r\nx\r\n" + HEAD + b"\r\ny\r\n--b--\r\n"),
    "a part without a name": ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
    "no end": ("multipart/form-data; boundary=b", HEAD + b"\r\nx"),
    "no last boundary": ("multipart/form-data; boundary=b", HEAD + b"\r\nx\r\n"),
    "a form in a form": (
        "multipart/form-data; boundary=b",
        HEAD + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
    ),
    "too many headers": ("multipart/form-data; boundary=b", HEAD + b"X: y\r\n" * 200 + b"\r\nx\r\n--b--\r\n"),
    "a long header": ("multipart/form-data; boundary=b", HEAD + b"X: " + b"y" * 9000 + b"\r\n\r\nx\r\n--b--\r\n"),
    "a header without an end": ("multipart/form-data; boundary=b", HEAD + b"X"),
    "a header that is none": ("multipart/form-data; boundary=b", HEAD + b"\xff\xfe\0\r\n\r\nx\r\n--b--\r\n"),
    "a charset": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + b"x" * 40 + b"\r\n--b--\r\n",
    ),
}


@pytest.mark.parametrize("odd", FORMS)
async def test_what_is_no_form_with_one_file_is_refused(stage: Stage, node: Node, odd: str) -> None:
    client = node.client(*stage.people(1))
    type_, body = FORMS[odd]
    before = kept(node)
    answer = await client.ask("POST", "/attachments", data=body, headers={"Content-Type": type_})
    assert (answer.status, answer.body["code"], answer.body["detail"], answer.body["field"]) == (
        422,
        "invalid_frame",
        NO_FORM,
        "file",
    )
    assert kept(node) == before
    assert (await upload(client, b"x")).status == 201


async def test_what_a_form_has_beside_its_file_is_passed_over(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    caption = b'--b\r\nContent-Disposition: form-data; name="caption"\r\n\r\nx\r\n'
    other = HEAD.replace(b'name="file"', b'name="picture"')
    for body in (caption + HEAD + b"\r\nxyz\r\n" + caption + b"--b--\r\n", other + b"\r\nxyz\r\n--b--\r\n"):
        answer = await client.ask("POST", "/attachments", data=body, headers={"Content-Type": FORMS["nothing"][0]})
        assert (answer.status, answer.body["name"], answer.body["size"]) == (201, "x", 3)


# What the library says of them is silenced where it runs, and told here.
@pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader", "ignore::aiohttp.BadContentDispositionParam")
async def test_whatever_a_file_may_be_called_on_a_disk_is_its_name(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    for said, name in ((b"a;b;c.png", "a;b;c.png"), (b'a \\"b\\"; c', 'a "b"; c'), ("호수.png".encode(), "호수.png")):
        body = HEAD.replace(b'"x"', b'"' + said + b'"') + b"\r\nxyz\r\n--b--\r\n"
        answer = await client.ask("POST", "/attachments", data=body, headers={"Content-Type": FORMS["nothing"][0]})
        assert (answer.status, answer.body["name"]) == (201, name)


async def test_what_a_part_says_of_its_length_counts_for_nothing(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    for length in (b"1", b"x"):
        body = HEAD + b"Content-Length: " + length + b"\r\n\r\nxyz\r\n--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await client.ask("POST", "/attachments", data=body, headers=headers)
        assert (answer.status, answer.body["size"]) == (201, 3)


async def test_uploads_have_a_rate(cluster: Cluster) -> None:
    node = await cluster.node(rate_uploads=Rate(1, 60, 2))
    assert [(await upload(node.client(1), b"x")).status for _ in range(3)] == [201, 201, 429]
    assert (await upload(node.client(2), b"x")).status == 201


async def test_who_uploads_and_sends_nothing_comes_to_an_end(cluster: Cluster) -> None:
    node = await cluster.node(**FREE, max_idle_upload_bytes=10)
    ann, ben = node.client(1), node.client(2)
    tea = await ann.group(2)
    first, second = await uploaded(ann, b"x" * 10), await uploaded(ann, b"x")
    told = await upload(ann, b"x")
    assert (told.status, told.body["code"], told.body["detail"]) == (
        413,
        "too_large",
        "Your files that no message carries have more than 10 bytes: send them, or wait until they are cleared away",
    )
    assert (await upload(ben, b"x")).status == 201
    await ann.send(tea, "See", attachments=carrying(second))
    assert (await upload(ann, b"")).status == 201
    await ann.send(tea, "See", attachments=carrying(first))
    assert (await upload(ann, b"x")).status == 201


async def test_nobody_sends_more_than_a_few_at_once(stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MOST_AT_ONCE", 1)
    ann, ben = stage.people(2)
    goes_on = asyncio.Event()

    async def slow() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        await goes_on.wait()
        yield b"x\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    first = asyncio.create_task(node.client(ann).ask("POST", "/attachments", data=slow(), headers=headers))
    while not node.context.uploading:
        await asyncio.sleep(0.01)
    assert (await upload(node.client(ann), b"x")).status == 429
    assert (await upload(node.client(ben), b"x")).status == 201
    goes_on.set()
    assert (await first).status == 201
    assert not node.context.uploading
    assert (await upload(node.client(ann), b"x")).status == 201


# What is left behind.


async def test_who_hangs_up_leaves_nothing_behind(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    before = kept(node)
    async with wire_to(node) as wire:
        wire.say(
            f"POST {API}/attachments HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {token(ann, SECRET)}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 200000\r\n\r\n"
        )
        wire.say(HEAD + b"\r\n" + b"x" * 100_000)
        async with asyncio.timeout(10):
            while not arriving(node):
                await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        while arriving(node) or node.context.uploading:
            await asyncio.sleep(0.01)
    assert kept(node) == before
    assert not await stage.oracle.fetch("select from messenger.attachments where uploaded_by = $1", ann)


async def test_where_the_storage_fails_nothing_is_promised(
    stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = node.client(*stage.people(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = kept(node)
    monkeypatch.setattr(folder, "_write_whole", full)
    answer = await upload(client, b"x")
    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert answer.body["detail"] == "The file store did not answer; try again later"
    assert kept(node) == before


async def test_bytes_are_in_the_books_before_they_are_in_their_place(
    stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it ends in between they are found, and cleared away with everything that nobody uses."""
    (ann,) = stage.people(1)

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(folder.Folder, "_keep", broken)
    assert (await upload(node.client(ann), b"x")).status == 503
    rows = await stage.oracle.fetch("select idle_since from messenger.attachments where uploaded_by = $1", ann)
    assert [row["idle_since"] is not None for row in rows] == [True]
    assert arriving(node) == []


async def test_what_no_message_carries_is_cleared_away(cluster: Cluster, tmp_path: Path) -> None:
    node = await cluster.node(attachment_orphan_s=1.0, **FREE)
    ann = node.client(1)
    tea = await ann.group()
    lost, sent, taken_back = [await uploaded(ann, png(), f"{name}.png") for name in "abc"]
    await ann.send(tea, "Look", attachments=carrying(sent))
    message = await ann.send(tea, "Look", attachments=carrying(taken_back))
    url = (await links_of(ann, lost))["url"]
    await ann.delete(f"/messages/{message['id']}")
    async with asyncio.timeout(20):
        while await statuses(lost, ann) == [200] or await statuses(taken_back, ann) == [200]:
            await asyncio.sleep(0.05)
    hex_ = sent["id"].replace("-", "")
    assert kept(node) == [f"{hex_[-2:]}/{hex_}{ending}" for ending in ("", ".json", ".webp")]
    assert await statuses(sent, ann) == [200]
    assert (await loaded(node, url))[0] == 404


async def test_bytes_that_cannot_be_removed_stay_in_the_books(
    stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = node.client(*stage.people(1))
    told = await uploaded(client)
    await stage.oracle.execute(
        "update messenger.attachments set idle_since = now() - interval '2 days' where id = $1", UUID(told["id"])
    )

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(folder.Folder, "_remove", broken)
        with pytest.raises(StorageAway):
            await node.context.attachments.clear_idle()
    assert await statuses(told, client) == [200]
    assert not await node.context.attachments.clear_idle()
    assert await statuses(told, client) == [404]


async def test_a_message_that_was_not_stored_takes_no_file_along(stage: Stage, node: Node) -> None:
    """The uploader may try again: nothing was used up."""
    (ann,) = stage.people(1)
    client = node.client(ann)
    told, tea = await uploaded(client), await client.group()
    status, _ = await client.post(
        f"/conversations/{tea}/messages", {"content": "x", "reply_to": ABSENT, "attachments": carrying(told)}
    )
    assert status == 404
    assert (await client.send(tea, "x", attachments=carrying(told)))["attachments"][0]["url"] == told["url"]
    assert node.context.uploading.get(UserId(ann)) is None

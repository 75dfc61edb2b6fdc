"""The documents and their page as they are served: to anybody, from memory, and not twice to whom has them."""

import json
from importlib.resources import files

import pytest

from messenger.app import make_app
from messenger.config import Config
from messenger.domain.ids import MAX_USER_ID
from messenger.transport.contract import CONTRACT
from tests.support import contract
from tests.support.node import Node, Stage, node_of_stage, stage_with

stage = stage_with()
node = node_of_stage()

DOCUMENTS = ("/openapi.json", "/asyncapi.json")
PARTS = ("docs.css", "docs.js", "entry.css", "icon.svg")


async def test_both_documents_are_served_to_anybody(node: Node) -> None:
    for path, document in zip(DOCUMENTS, contract.documents(), strict=True):
        answer = await node.nobody().ask("GET", "/" + path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert json.loads(answer.text) == document


@pytest.mark.parametrize("path", [*DOCUMENTS, "/docs", "/docs/docs.js"])
async def test_who_has_it_already_is_told_so(node: Node, path: str) -> None:
    client = node.nobody()
    answer = await client.ask("GET", "/" + path)
    assert answer.headers["Cache-Control"] == "no-cache"
    tag = answer.headers["ETag"]
    for held, status in (
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": f'"other", {tag}'}, 304),
        ({"If-None-Match": f"W/{tag}"}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": "rubbish"}, 200),
    ):
        again = await client.ask("GET", "/" + path, headers=held)
        assert (again.status, again.headers["ETag"]) == (status, tag), held
        assert again.text == ("" if status == 304 else answer.text)
    head = await client.ask("HEAD", "/" + path)
    assert (head.status, head.text, head.headers["ETag"]) == (200, "", tag)


def test_they_are_made_once_a_process_and_the_demo_is_no_part_of_them() -> None:
    assert make_app(Config())[CONTRACT] is make_app(Config(demo=True))[CONTRACT]


async def test_the_page_is_served_out_of_its_folder_and_nothing_else_is(node: Node) -> None:
    client = node.nobody()
    page = await client.ask("GET", "//docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    for name in PARTS:
        answer = await client.ask("GET", f"//docs/{name}")
        assert answer.text == files("messenger.transport.docs").joinpath(name).read_text()
    for name in (
        "index.html",  # there its links would lead nowhere
        "__init__.py",
        "__pycache__",
        "%2e%2e%2fcontract.py",
        "..%5ccontract.py",
        "docs.js%00",
        "x" * 300,
        "%ff",
    ):
        assert (await client.ask("GET", f"//docs/{name}")).status == 404, name
    # Whoever asks for a folder is led to the page, behind whatever path the daemon lies.
    async with node.session.get(f"{node.origin}/docs/", allow_redirects=False) as folder:
        assert (folder.status, folder.headers["Location"]) == (308, "../docs")
    async with node.session.get(f"{node.origin}/docs/") as found:
        assert (found.status, str(found.url), await found.text()) == (200, f"{node.origin}/docs", page.text)
    # What it refers to is there.
    for name in {found.name for found in files("messenger.transport.docs").iterdir() if found.name.endswith(".js")}:
        assert (await client.ask("GET", f"//docs/{name}")).status == 200


@pytest.mark.parametrize("path", ["/users?ids=", "/presence?user_ids="])
async def test_as_many_ids_as_are_promised_fit_into_an_address(stage: Stage, node: Node, path: str) -> None:
    longest = [MAX_USER_ID - number for number in range(500)]
    status, told = await node.client(*stage.people(1)).get(path + ",".join(map(str, longest)))
    assert status == 200
    assert len(told["users"]) in (0, 500)  # strangers are no profiles, and offline

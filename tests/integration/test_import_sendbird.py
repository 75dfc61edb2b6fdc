"""`messenger import-sendbird`: a chat that was the vendor's is here as it was there, and says what is not."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from PIL import Image

from messenger.chat_service.errors import ChatServiceError
from messenger.chat_service.platform import PlatformClient
from messenger.config import Config
from messenger.importing import command
from messenger.importing.journey import Journey
from messenger.importing.pages import not_given
from messenger.importing.report import MOST_FAILURES, Report
from tests.support.command import in_one_line, messenger
from tests.support.database import Database
from tests.support.importing import Move, moving
from tests.support.node import Cluster
from tests.support.people import entry
from tests.support.vendor import EPOCH_MS, FIRST_ID, Vendor

BEN = 7
BEGUN = "2023-11-14T22:13:{:02}Z"  # EPOCH_MS, and so many seconds


@pytest.fixture
async def move(database: Database, tmp_path: Path) -> AsyncIterator[Move]:
    async with moving(database, tmp_path) as move:
        yield move


def png() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(written, "PNG")
    return written.getvalue()


def furnish(vendor: Vendor) -> None:
    """A channel with something of everything."""
    vendor.add_user("ann", "Ann", "https://example.org/ann.png", metadata={"shoe": "39"})
    vendor.add_user("7", "Ben")
    vendor.add_user("zoe", "Zoë")
    vendor.add_channel(
        "tea", name="Tea", custom_type="crew", data='{"kettle": 1}', cover_url="https://example.org/tea.png"
    )
    vendor.join("tea", "7")
    vendor.join("tea", "ann", role="operator")
    cat = vendor.add_file("cats/cat.png", png(), "image/png") + "?auth=secret"
    first = vendor.add_message("tea", "ann", "Who is in?", custom_type="poll", data="{}")
    vendor.add_message(
        "tea",
        "7",
        "@Ann me",
        parent_message_id=first["message_id"],
        mentioned_users=[vendor.users["ann"], vendor.users["zoe"]],
        reactions=[
            {"key": "sendbird_emoji_thumbsup", "user_ids": ["ann", "zoe"], "updated_at": EPOCH_MS},
            {"key": "wave", "user_ids": ["7"], "updated_at": EPOCH_MS},
        ],
    )
    vendor.add_message("tea", "ann", "Three o'clock", updated_at=EPOCH_MS + 2500)
    vendor.add_message(
        "tea", "ann", type="FILE", file={"url": cat, "name": "../cat.png", "type": "image/png", "size": 9}
    )
    vendor.add_message("tea", "zoe", "I left")
    vendor.add_message("tea", None, "The kettle is on", type="ADMM", custom_type="house")


def lines(*told: str) -> list[str]:
    return list(told)


async def test_a_member_finds_it_all_as_it_was(move: Move, cluster: Cluster) -> None:
    furnish(move.vendor)
    told = await move.run()
    assert (told.code, told.out.splitlines()) == (
        0,
        lines(
            "Came over:",
            "  users     3 new",
            "  channels  1 made",
            "  members   2 new",
            "  messages  6 new",
            f"  files     1 new, {len(png())} bytes",
            "Nothing was left behind.",
        ),
    )
    node = await cluster.node(data_dir=move.folder)
    ben = node.client(BEN)
    listed = (await ben.get("/conversations"))[1]["conversations"]
    assert [(it["title"], it["type"], it["unread_count"], it["metadata"]) for it in listed] == [
        (
            "Tea",
            "group",
            0,
            {"custom_type": "crew", "data": '{"kettle": 1}', "cover_url": "https://example.org/tea.png"},
        )
    ]
    tea = listed[0]["id"]
    page = (await ben.get(f"/conversations/{tea}/messages"))[1]["messages"]
    page.sort(key=lambda message: message["seq"])
    people = {
        it["user_id"]: it["role"] for it in (await ben.get(f"/conversations/{tea}/participants"))[1]["participants"]
    }
    ann_id = next(user_id for user_id, role in people.items() if role == "admin")
    assert people == {BEN: "member", ann_id: "admin"}
    cat = page[3]["attachments"][0]["url"]
    zoe_id, admin_id = page[4]["sender_id"], page[5]["sender_id"]
    assert page == [
        entry(
            tea, 1, ann_id, "Who is in?", created_at=BEGUN.format(20), metadata={"custom_type": "poll", "data": "{}"}
        ),
        entry(
            tea,
            2,
            BEN,
            "@Ann me",
            created_at=BEGUN.format(21),
            reply_to=page[0]["id"],
            mentions=[ann_id],
            reactions={"👍": 2, "wave": 1},
        ),
        entry(tea, 3, ann_id, "Three o'clock", created_at=BEGUN.format(22), edited_at="2023-11-14T22:13:22.500000Z"),
        entry(
            tea,
            4,
            ann_id,
            "",
            created_at=BEGUN.format(23),
            message_type="image",
            attachments=[
                {
                    "url": cat,
                    "name": "cat.png",
                    "mime_type": "image/png",
                    "size": len(png()),
                    "width": 40,
                    "height": 30,
                    "thumbnail": True,
                }
            ],
        ),
        entry(tea, 5, zoe_id, "I left", created_at=BEGUN.format(24)),
        entry(
            tea,
            6,
            admin_id,
            "The kettle is on",
            created_at=BEGUN.format(25),
            message_type="system",
            metadata={"admin_message": True, "custom_type": "house"},
        ),
    ]
    links = (await ben.get(cat.removeprefix("/api/v1/messenger") + "/links"))[1]
    async with node.session.get(node.origin + links["url"]) as answer:
        assert (answer.status, await answer.read()) == (200, png())


async def test_the_hosts_code_reads_here_what_it_read_there(move: Move, cluster: Cluster) -> None:
    """Through the Platform API: the same ids, people, times and words."""
    furnish(move.vendor)
    assert (await move.run()).code == 0
    node = await cluster.node(api_token=move.vendor.api_token, data_dir=move.folder)
    pages = []
    for url in (move.vendor.url, node.origin):
        async with PlatformClient(url, move.vendor.api_token) as client:
            pages.append([message async for message in client.messages("tea")])
    there, here = ([_gist(message) for message in page] for page in pages)
    assert len(there) == 6
    assert here == there


def _gist(message: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("message_id", "type", "message", "created_at", "custom_type", "data")
    return (*(message[name] for name in names), (message.get("user") or {}).get("user_id"))


async def test_who_came_over_is_who_he_was(move: Move) -> None:
    furnish(move.vendor)
    await move.run()
    rows = (await move.all_of_it())["users"]
    assert [row[:4] for row in rows] == [
        ("7", "Ben", None, "{}"),
        ("ann", "Ann", "https://example.org/ann.png", '{"shoe": "39"}'),
        ("sendbird-admin", "Sendbird admin", None, "{}"),
        ("zoe", "Zoë", None, "{}"),
    ]


async def test_the_second_time_brings_only_what_is_new(move: Move) -> None:
    furnish(move.vendor)
    await move.run()
    before, files = await move.all_of_it(), move.files()
    asked = len(move.vendor.requests)
    again = await move.run()
    assert (again.code, again.out.splitlines()[1:6]) == (
        0,
        lines(
            "  users     0 new, 3 as they were",
            "  channels  0 made, 1 known from before",
            "  members   0 new",
            "  messages  0 new",
            "  files     0 new",
        ),
    )
    assert (await move.all_of_it(), move.files()) == (before, files)
    assert not [path for _, path, _ in move.vendor.requests[asked:] if path.startswith("/files/")]
    move.vendor.add_user("cleo", "Cleo")
    move.vendor.join("tea", "cleo")
    move.vendor.add_message("tea", "cleo", "Hello")
    move.vendor.users["ann"]["nickname"] = "Annie"
    move.vendor.channels["tea"]["name"] = "Coffee"
    third = await move.run()
    assert (third.code, third.out.splitlines()[1:5]) == (
        0,
        lines(
            "  users     1 new, 1 changed, 2 as they were",
            "  channels  0 made, 1 known from before",
            "  members   1 new",
            "  messages  1 new",
        ),
    )
    after = await move.all_of_it()
    assert [row for row in after["messages"] if row[1] <= 6] == before["messages"]
    assert [(row[1], row[4], row[5], row[6]) for row in after["messages"] if row[1] > 6] == [
        (7, "ann", "system", "Annie changed the conversation"),
        (8, "ann", "system", "Annie added Cleo"),
        (9, "cleo", "text", "Hello"),
    ]
    assert {row[1]: row[2] for row in after["read receipts"]} == {"7": 9, "ann": 9, "cleo": 9}
    assert [row[2] for row in after["channels"]] == ["Coffee"]


async def test_what_was_changed_here_stays(move: Move, oracle: asyncpg.Connection) -> None:
    furnish(move.vendor)
    await oracle.execute("insert into messenger.users (id, name) values (7, 'Benjamin')")
    await move.run()
    await oracle.execute(
        """
        update messenger.users set name = 'Ann of here' where external_id = 'ann';
        update messenger.conversations set title = 'Tea of here', metadata = metadata || '{"ours": {"none": null}}'
        where channel_url = 'tea';
        """
    )
    move.vendor.users["ann"] |= {"nickname": "Ann of there", "profile_url": "https://example.org/new.png"}
    move.vendor.users["7"] |= {"nickname": "Benny", "profile_url": "https://example.org/ben.png"}
    move.vendor.channels["tea"] |= {"name": "Tea of there", "data": "new", "cover_url": ""}
    assert (await move.run()).code == 0
    rows = await move.all_of_it()
    assert [row[:3] for row in rows["users"]][:2] == [
        ("7", "Benjamin", "https://example.org/ben.png"),
        ("ann", "Ann of here", "https://example.org/new.png"),
    ]
    ((_, _, title, metadata, *_),) = rows["channels"]
    assert (title, json.loads(metadata)) == (
        "Tea of here",
        {"custom_type": "crew", "data": "new", "ours": {"none": None}},
    )


async def test_who_left_or_was_deleted_here_does_not_come_back(
    move: Move, cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    furnish(move.vendor)
    await move.run()
    node = await cluster.node()
    tea = await oracle.fetchval("select id from messenger.conversations where channel_url = 'tea'")
    assert (await node.client(BEN).delete(f"/conversations/{tea}/participants/{BEN}"))[0] == 204
    await oracle.execute("select messenger.delete_account(id) from messenger.users where external_id = 'zoe'")
    told = await move.run()
    assert (told.code, told.out.splitlines()[3]) == (0, "  members   0 new")
    rows = await move.all_of_it()
    assert [row[1] for row in rows["members"]] == ["ann"]
    assert "zoe" not in {row[0] for row in rows["users"]}
    ann = await oracle.fetchval("select id from messenger.users where external_id = 'ann'")
    await oracle.execute("delete from messenger.conversation_participants where user_id <> $1", ann)
    assert (await node.client(ann).delete(f"/conversations/{tea}"))[0] == 204
    gone = await move.run()
    assert (gone.code, gone.out.splitlines()[2]) == (
        0,
        "  channels  0 made, 1 deleted here since they came over: left so",
    )
    assert (await move.all_of_it())["messages"] == []
    named = await move.run("--channels", "tea")
    assert (named.code, named.out.splitlines()[2:5]) == (
        0,
        lines("  channels  1 made", "  members   2 new", "  messages  6 new"),
    )


async def test_a_channel_that_is_here_already_only_gets_its_messages(
    move: Move, cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    furnish(move.vendor)
    node = await cluster.node()
    ben = node.client(BEN)
    tea = await ben.group(8, title="Ours")
    await oracle.execute(
        "update messenger.conversations set channel_url = 'tea', channel_no = nextval('messenger.channel_numbers')"
    )
    await ben.send(tea, "Said here")
    told = await move.run()
    assert (told.code, told.out.splitlines()[2:5]) == (
        0,
        lines(
            "  channels  0 made, 1 made here by the host application: their messages only",
            "  members   0 new",
            "  messages  6 new",
        ),
    )
    rows = await move.all_of_it()
    assert [(row[2], json.loads(row[3])) for row in rows["channels"]] == [("Ours", {})]
    assert {row[1] for row in rows["members"]} == {"7", "8"}
    # 8 has not read what was said here: nothing is read for him. Ben had read everything.
    unread = {
        user: (await node.client(user).get("/conversations"))[1]["conversations"][0]["unread_count"]
        for user in (BEN, 8)
    }
    assert unread == {BEN: 0, 8: 6}


async def test_a_connected_device_hears_of_it(move: Move, cluster: Cluster) -> None:
    furnish(move.vendor)
    node = await cluster.node()
    phone = await node.phone(BEN)
    assert (await move.run()).code == 0
    heard = await phone.hear("conversation.created")
    assert heard["conversation"]["title"] == "Tea"
    move.vendor.add_message("tea", "ann", "One more")
    assert (await move.run()).code == 0
    # How much of the channel was there when he was brought into it is a matter of the moment.
    while (new := (await phone.hear("message.new"))["data"])["seq"] < 7:
        pass
    assert (new["seq"], new["content"], new["created_at"]) == (7, "One more", BEGUN.format(26))


async def test_a_rehearsal_writes_nothing_and_says_what_would_come(move: Move) -> None:
    furnish(move.vendor)
    nothing = await move.all_of_it()
    told = await move.run("--dry-run")
    assert (told.code, told.out.splitlines()) == (
        0,
        lines(
            "Would come over (nothing was written):",
            "  users     3 new",
            "  channels  1 made",
            "  members   2 new",
            "  messages  6 new",
            "  files     1 new, 9 bytes",
            "Nothing was left behind.",
        ),
    )
    assert (await move.all_of_it(), list(move.folder.iterdir())) == (nothing, [])
    assert not [path for _, path, _ in move.vendor.requests if path.startswith("/files/")]
    await move.run()
    move.vendor.add_message("tea", "ann", "One more")
    move.vendor.join("tea", "zoe")
    before = await move.all_of_it()
    told = await move.run("--dry-run")
    assert told.out.splitlines()[1:6] == lines(
        "  users     0 new, 3 as they were",
        "  channels  0 made, 1 known from before",
        "  members   1 new",
        "  messages  1 new",
        "  files     0 new",
    )
    assert await move.all_of_it() == before


async def test_only_the_channels_that_are_named(move: Move) -> None:
    for url in ("tea", "bar", "gym"):
        move.vendor.add_channel(url, [f"{url}-keeper"], url)
        move.vendor.add_message(url, f"{url}-keeper", f"Welcome to the {url}")
    told = await move.run("--channels", " tea,gym,,sea")
    assert (told.code, told.out.splitlines()[-2:]) == (
        1,
        lines("Did not come over:", "  channel sea: there is no such channel"),
    )
    rows = await move.all_of_it()
    assert [row[0] for row in rows["channels"]] == ["gym", "tea"]
    assert [row[0] for row in rows["users"]] == ["gym-keeper", "tea-keeper"]


async def test_what_is_otherwise_here_is_told(move: Move) -> None:
    vendor = move.vendor
    vendor.add_user("off", "Off", is_active=False)
    vendor.add_channel("ice", ["ann"], "", freeze=True, is_super=True)
    vendor.join("ice", "waiting", state="invited")
    vendor.add_channel("empty")
    vendor.add_message("ice", "ann", "x" * 5000)
    vendor.add_message("ice", "ann", "gone", is_removed=True)
    vendor.add_message("ice", "ann", "alone", parent_message_id=1)
    vendor.add_message("ice", None, "by nobody", sorted_metaarray=[{"key": "k", "value": ["v"]}])
    told = await move.run()
    assert (told.code, told.out.splitlines()) == (
        0,
        lines(
            "Came over:",
            "  users     3 new",
            "  channels  2 made",
            "  members   1 new",
            "  messages  3 new, 1 removed there",
            "  files     0 new",
            "Came otherwise, or has no counterpart here:",
            "  1 channels that were frozen: here members can write",
            "  1 channels without members: nobody sees them until the host application adds somebody",
            "  1 invitations that nobody has accepted yet: they did not come over",
            "  1 messages longer than MESSENGER_MAX_CONTENT_CHARS: they came whole",
            "  1 messages with meta arrays, which were left out",
            "  1 replies to messages that are not there: they stand alone",
            "  1 supergroups: here they are groups as all others",
            "  1 users who were deactivated there: here they are users as all others",
            "Nothing was left behind.",
        ),
    )
    rows = await move.all_of_it()
    assert [(row[4], row[6]) for row in rows["messages"]] == [
        ("ann", "x" * 5000),
        ("ann", "alone"),
        ("sendbird-deleted", "by nobody"),
    ]
    assert [(row[0], row[5]) for row in rows["channels"]] == [("empty", "sendbird-admin"), ("ice", "ann")]


async def test_what_cannot_be_here_is_told_and_the_rest_comes(move: Move) -> None:
    vendor = move.vendor
    vendor.add_user("007", "Bond")
    vendor.add_user("long" * 40, "Long")
    vendor.add_user("\x1b[2Jesc", "Esc\x00ape\ud800")
    vendor.add_channel("sea\x1bside", ["007"])
    vendor.add_channel("tea", ["007", "ann"])
    vendor.add_message("tea", "007", "Shaken,\x00 not stirred")
    vendor.add_message("tea", "ann", type="HUH")
    vendor.add_message("tea", "ann", type="FILE", file={"url": "javascript:alert(1)", "name": "x"})
    vendor.add_message("tea", "ann", created_at=10**17)
    told = await move.run("--json")
    assert told.code == 1
    report = json.loads(told.out)
    bond, long = await _stand_ins(move)
    assert sorted((it["what"], it["why"]) for it in report["failures"]) == sorted(
        [
            ("channel sea?side", "its channel_url is none here: 1 to 100 of A-Z a-z 0-9 _ -"),
            (f"channel tea, message {FIRST_ID + 1}", "of an unknown type"),
            (f"channel tea, message {FIRST_ID + 2}", "a file without an address: it came without"),
            (f"channel tea, message {FIRST_ID + 3}", "no time"),
        ]
    )
    assert report["renamed_users"] == [{"there": "007", "here": bond}, {"there": f"{'long' * 32}…", "here": long}]
    assert (report["counts"]["messages"]["new"], report["counts"]["users"]["new"]) == (2, 4)
    rows = await move.all_of_it()
    assert [(row[4], row[6]) for row in rows["messages"]] == [(bond, "Shaken, not stirred"), ("ann", "")]
    assert ("\x1b[2Jesc", "Escape") in {row[:2] for row in rows["users"]}
    assert "  channel sea?side: " in (await move.run()).out


async def _stand_ins(move: Move) -> list[str]:
    rows = (await move.all_of_it())["users"]
    return [next(row[0] for row in rows if row[1] == name) for name in ("Bond", "Long")]


async def test_messages_that_do_not_come_are_told_until_they_come(move: Move) -> None:
    """However far the channel has come since: the next runs look back for a minute only."""
    vendor = move.vendor
    vendor.add_channel("tea", ["ann", "ben"])
    first = vendor.add_message("tea", "ann", "First")
    voice = vendor.add_message("tea", "ann", "Voice", type="VOIC")
    huge = vendor.add_message("tea", "ben", "An answer", parent_message_id=2**63)
    gone = vendor.add_message("tea", "ben", "Gone", type="VOIC")
    for number in range(100):
        vendor.add_message("tea", "ben", f"Later {number}")
    names = {
        one: f"  channel tea, message {it['message_id']}: " for one, it in zip("vhg", (voice, huge, gone), strict=True)
    }
    not_told = "Did not come over:"
    unknown, refused = "of an unknown type", "the database refuses it (NumericValueOutOfRangeError)"
    told = await move.run()
    assert (told.code, told.out.splitlines()[-4:]) == (
        1,
        lines(not_told, names["v"] + unknown, names["g"] + unknown, names["h"] + refused),
    )
    before = await move.all_of_it()
    again = await move.run()
    assert (again.code, again.out.splitlines()[-4:]) == (
        1,
        lines(not_told, names["v"] + unknown, names["h"] + refused, names["g"] + unknown),
    )
    rehearsal = await move.run("--dry-run")
    assert rehearsal.out.splitlines()[-4:] == lines("Would not come over:", *again.out.splitlines()[-3:])
    assert await move.all_of_it() == before
    # Mended there, refused there, and gone there.
    voice |= {"type": "MESG", "reactions": [{"key": "👍", "user_ids": ["ben"]}]}
    vendor.messages["tea"].remove(gone)
    vendor.refuse(f"/group_channels/tea/messages/{huge['message_id']}", 400, 400108)
    third = await move.run()
    assert (third.code, third.out.splitlines()[4], third.out.splitlines()[-1]) == (
        1,
        "  messages  1 new, 1 removed there",
        names["h"] + "the vendor did not give it out (Refused.)",
    )
    asked_again = f"/v3/group_channels/tea/messages/{voice['message_id']}"
    assert ("GET", asked_again, {"include_reactions": "true"}) in vendor.requests
    vendor._refusals.clear()
    huge["parent_message_id"] = first["message_id"]
    fourth = await move.run()
    assert (fourth.code, fourth.out.splitlines()[4]) == (0, "  messages  1 new")
    rows = await move.all_of_it()
    late = [(row[1], row[3], row[6], row[10], json.loads(row[13])) for row in rows["messages"] if row[1] > 101]
    assert late == [
        (102, voice["message_id"], "Voice", None, {"👍": 1}),
        (103, huge["message_id"], "An answer", first["message_id"], {}),
    ]
    assert rows["missing messages"] == []
    asked = len(vendor.requests)
    last = await move.run()
    assert (last.code, last.out.splitlines()[-1]) == (0, "Nothing was left behind.")
    # What came late with an old time does not send it back to there.
    (since,) = [int(query["message_ts"]) for _, _, query in vendor.requests[asked:] if "message_ts" in query]
    assert since > EPOCH_MS + 40_000


async def test_from_the_start_it_finds_what_was_put_in_with_an_old_time(move: Move) -> None:
    vendor = move.vendor
    vendor.add_channel("tea", ["ann"])
    for number in range(300):
        vendor.add_message("tea", "ann", str(number))
    assert (await move.run()).code == 0
    vendor.add_message("tea", "ann", "Backdated", created_at=EPOCH_MS + 5)
    told = await move.run()
    assert (told.code, told.out.splitlines()[4]) == (0, "  messages  0 new")
    for args, heading in ((("--dry-run",), "Would come over (nothing was written):"), ((), "Came over:")):
        told = await move.run("--from-start", *args)
        assert (told.code, told.out.splitlines()[0], told.out.splitlines()[4]) == (0, heading, "  messages  1 new")
    rows = (await move.all_of_it())["messages"]
    assert [(row[6], row[8].isoformat()) for row in rows if row[1] == 301] == [
        ("Backdated", "2023-11-14T22:13:20.005000+00:00")
    ]
    assert len(rows) == 301
    assert (await move.run("--from-start")).out.splitlines()[4] == "  messages  0 new"


async def test_a_channel_is_whole_once_it_was_read_to_its_end(move: Move, oracle: asyncpg.Connection) -> None:
    """And stays so; but one that is made again here has to come again first."""
    is_whole = "select is_whole from messenger.imported_channels where channel_url = 'tea'"
    path = "/group_channels/tea/messages"
    furnish(move.vendor)
    move.vendor.refuse(path, 400, 400108)
    assert (await move.run()).code == 1
    assert await oracle.fetchval(is_whole) is False
    move.vendor._refusals.clear()
    assert (await move.run()).code == 0
    assert await oracle.fetchval(is_whole) is True
    move.vendor.refuse(path, 400, 400108)
    assert (await move.run()).code == 1
    assert await oracle.fetchval(is_whole) is True
    await oracle.execute("update messenger.conversations set channel_url = null, channel_no = null")
    assert (await move.run("--channels", "tea")).code == 1
    assert await oracle.fetchval(is_whole) is False


async def test_who_is_called_otherwise_here_is_told_and_no_failure(move: Move) -> None:
    for number in range(22):
        move.vendor.add_user(f"0{number:02}")
    told = await move.run()
    assert told.code == 0
    named = sorted(row[0] for row in (await move.all_of_it())["users"])
    said = told.out.splitlines()[6:]
    assert (said[0], said[-2:]) == (
        "Came otherwise, or has no counterpart here:",
        lines("  and 2 more users whose id is none here: --json names them", "Nothing was left behind."),
    )
    began = [line.partition(" the id is none here, he is called ") for line in said[1:-2]]
    assert [there for there, _, _ in began] == [f"  user 0{number:02}:" for number in range(20)]
    assert {here for _, _, here in began} < set(named)
    again = json.loads((await move.run("--json")).out)
    assert sorted(one["here"] for one in again["renamed_users"]) == named


async def test_a_channel_that_can_be_none_is_told_so(move: Move) -> None:
    told = await move.run("--channels", ".,tea?x=1")
    assert (told.code, told.out.splitlines()[-2:]) == (
        1,
        [f"  channel {url}: its channel_url is none here: 1 to 100 of A-Z a-z 0-9 _ -" for url in (".", "tea?x=1")],
    )


async def test_a_connection_that_fails_is_not_told_as_a_disk(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(migrate_database_url=move.database.owner_url, data_dir=move.folder)
    order = command.Order("", move.vendor.api_token, move.vendor.url, (), is_rehearsal=False)
    ended = []
    for error in (ConnectionResetError(), TimeoutError(), OSError(28, "No space left on device")):

        async def travel(journey: Journey, error: OSError = error) -> None:
            raise error

        monkeypatch.setattr(Journey, "travel", travel)
        report = Report()
        await command._travel(config, order, report)
        ended.append(report.ended)
    assert ended == [
        "a connection failed (ConnectionResetError)",
        "a connection failed (TimeoutError)",
        "files cannot be kept (OSError)",
    ]


def test_failures_alike_are_counted_as_one() -> None:
    """Beyond those that are told one by one; whatever they were asked for by."""
    report = Report()
    for number in range(MOST_FAILURES + 3):
        error = ChatServiceError(f"GET /group_channels/tea-{number}/members: status 404")
        report.fail(f"channel tea-{number}", not_given(error))
    assert report.more_failures == {"the vendor did not give it out (status 404)": 3}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
async def test_files_are_brought_as_the_daemons_user_only(move: Move) -> None:
    """Into a folder of his, and beside one where he would make it."""
    furnish(move.vendor)
    taken = move.folder / "attachments" / "arriving"
    taken.mkdir(parents=True)
    somebody = 12345
    for theirs, told_of in ((taken, "attachments"), (move.folder / "attachments", "attachments")):
        os.chown(theirs, somebody, somebody)
        assert in_one_line(await move.run()) == (
            f"messenger: uploads in {move.folder / told_of} belong to another user: run as the one whom the daemon runs as"
        )
        os.chown(theirs, 0, 0)
    fresh = move.folder / "fresh"
    fresh.mkdir()
    os.chown(fresh, somebody, somebody)
    assert "belong to another user" in in_one_line(await move.run(data_dir=str(fresh)))
    assert list(fresh.iterdir()) == []
    assert (await move.all_of_it())["messages"] == []
    assert (await move.run()).code == 0


async def test_files_that_do_not_come_are_told_and_come_later(move: Move, cluster: Cluster) -> None:
    vendor = move.vendor
    vendor.add_channel("tea", ["7", "ann"])
    for name, more in {"late.txt": {}, "large.bin": {}, "claimed.bin": {"size": 10**9}, "page.exe": {}}.items():
        file = {"url": f"{vendor.url}/files/{name}?auth=old", "name": name, "type": "text/plain", "size": 5, **more}
        vendor.add_message("tea", "ann", type="FILE", file=file)
    vendor.add_file("large.bin", b"x" * 2000, "text/plain")
    vendor.add_file("page.exe", b"MZ\x90\x00\x03" + bytes(100), "text/plain")
    limited = {"max_attachment_bytes": "1000"}
    told = await move.run(**limited)
    begin = "its file did not come, only its address: "
    too_large = "it is larger than MESSENGER_MAX_ATTACHMENT_BYTES, 1,000"
    assert (told.code, told.out.splitlines()[-5:]) == (
        1,
        lines(
            "Did not come over:",
            f"  channel tea, message {FIRST_ID}: {begin}the file is gone there",
            f"  channel tea, message {FIRST_ID + 1}: {begin}{too_large}",
            f"  channel tea, message {FIRST_ID + 2}: {begin}{too_large}",
            f"  channel tea, message {FIRST_ID + 3}: {begin}MESSENGER_ATTACHMENT_TYPES does not allow "
            "application/x-msdownload",
        ),
    )
    assert move.files() == {}
    node = await cluster.node(data_dir=move.folder)
    phone = await node.phone(7)
    vendor.add_file("late.txt", b"at last", "text/plain", protected=True)
    again = await move.run(**limited)
    assert (again.code, again.out.splitlines()[5]) == (1, "  files     0 new, 1 mended, 7 bytes")
    assert len(again.out.splitlines()) == 10
    edited = await phone.hear("message.edited")
    (file,) = edited["data"]["attachments"]
    assert {name: file[name] for name in ("name", "size", "mime_type")} == {
        "name": "late.txt",
        "size": 7,
        "mime_type": "text/plain",
    }
    status, _ = await node.client(7).get(file["url"].removeprefix("/api/v1/messenger") + "/links")
    assert status == 200


async def test_nobody_is_sent_to_an_address_that_is_not_the_vendors(move: Move) -> None:
    async with Vendor.running() as stranger:
        stranger.add_file("bait", b"bait", "text/plain")
        move.vendor.add_channel("tea", ["ann"])
        for number, url in enumerate((f"{stranger.url}/files/bait", "http://169.254.169.254/latest/meta-data")):
            file = {"url": url, "name": f"bait{number}", "type": "text/plain", "size": 4}
            move.vendor.add_message("tea", "ann", type="FILE", file=file)
        told = await move.run()
        assert (told.code, told.out.splitlines()[-2:]) == (
            0,
            lines("  2 files that are not the vendor's: they stay where they are", "Nothing was left behind."),
        )
        assert stranger.requests == []
    rows = (await move.all_of_it())["messages"]
    assert [json.loads(row[12])[0]["url"] for row in rows][1] == "http://169.254.169.254/latest/meta-data"


async def test_the_same_file_twice_comes_once(move: Move) -> None:
    vendor = move.vendor
    url = vendor.add_file("one.txt", b"one", "text/plain")
    for channel in ("tea", "gym"):
        vendor.add_channel(channel, ["ann"])
        for auth in "abc":
            file = {"url": f"{url}?auth={auth}", "name": "one.txt", "type": "text/plain", "size": 3}
            vendor.add_message(channel, "ann", type="FILE", file=file)
    assert (await move.run()).code == 0
    rows = await move.all_of_it()
    assert (len(rows["attachments"]), len(rows["attachment uses"])) == (1, 6)
    assert b"one" in move.files().values()


async def test_a_page_is_no_boundary(move: Move) -> None:
    """Of pages, of messages at one moment, and of what is the order among them."""
    move.vendor.add_channel("tea", ["ann"])
    moments = [EPOCH_MS] * 450 + [EPOCH_MS + 1 + number // 3 for number in range(300)]
    for number, at in enumerate(moments):
        move.vendor.add_message("tea", "ann", str(number), created_at=at)
    assert (await move.run()).code == 0
    rows = sorted((await move.all_of_it())["messages"], key=lambda row: row[1])
    assert [row[6] for row in rows] == [str(number) for number in range(750)]
    assert [row[1] for row in rows] == list(range(1, 751))


async def test_what_is_missing_is_told_in_one_line(move: Move, database: Database, empty_database: Database) -> None:
    owner = {"migrate_database_url": database.owner_url}
    token = ("--api-token", move.vendor.api_token)
    here = ("--base-url", move.vendor.url)
    name = "import-sendbird"
    told = await asyncio.gather(
        messenger(name, *token, **owner),
        messenger(name, *here, **owner),
        messenger(name, *token, "--app-id", "evil.example.org/", **owner),
        messenger(name, *token, "--base-url", "http://example.org", **owner),
        messenger(name, *token, *here),
    )
    assert [in_one_line(each) for each in told] == [
        "messenger: the application is missing: give --app-id, or SENDBIRD_APP_ID",
        "messenger: the API token is missing: give SENDBIRD_API_TOKEN, or --api-token",
        "messenger: --app-id is none: letters, digits and - of the application's id",
        "messenger: --base-url must be https:// with a host; http:// goes to this machine only",
        "messenger: MESSENGER_MIGRATE_DATABASE_URL is missing: the owner's, who writes in everybody's name; or use --embedded",
    ]
    refused = await asyncio.gather(
        messenger(name, *token, *here, migrate_database_url=empty_database.owner_url),
        messenger(name, *token, *here, migrate_database_url=database.app_url),
        messenger(name, "--api-token", "wrong", *here, **owner, data_dir=str(move.folder)),
        messenger(name, *token, "--base-url", "http://127.0.0.1:1", **owner, data_dir=str(move.folder)),
    )
    assert [in_one_line(each) for each in refused] == [
        "messenger: the database is not migrated: run messenger migrate",
        "messenger: role messenger_test_login is not the owner: give MESSENGER_MIGRATE_DATABASE_URL as for migrate",
        "messenger: the vendor refuses the API token",
        "messenger: the vendor does not answer as expected (GET /users: ClientConnectorError)",
    ]


async def test_the_token_may_stand_in_a_settings_file(move: Move) -> None:
    move.vendor.add_user("ann", "Ann")
    file = move.folder / "env"
    file.write_text(f"SENDBIRD_API_TOKEN={move.vendor.api_token}\nSENDBIRD_APP_ID=app\n")
    told = await messenger("import-sendbird", "--base-url", move.vendor.url, "--env-file", str(file), **move.settings)
    assert (told.code, told.out.splitlines()[1]) == (0, "  users     1 new")


async def test_it_brings_its_own_database(move: Move, data_folder: Path) -> None:
    """Into which `serve --embedded` looks then."""
    furnish(move.vendor)
    folder = data_folder / "of-its-own"
    told = await messenger(*move.args, "--embedded", "--channels", "tea", data_dir=str(folder))
    assert told.code in (0, 1), told.err
    assert "  messages  6 new" in told.out.splitlines()
    again = await messenger(*move.args, "--embedded", data_dir=str(folder))
    assert "  channels  0 made, 1 known from before" in again.out.splitlines()

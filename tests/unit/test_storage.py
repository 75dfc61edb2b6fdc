"""The storage: what a file is by its bytes, what it may be called, and how it is kept."""

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from messenger.domain.ids import AttachmentId, uuid7
from messenger.errors import SetupError, StorageAway
from messenger.storage import folder as module
from messenger.storage.folder import Folder
from messenger.storage.intake import MAX_NAME_CHARS, Examined, cleaned
from messenger.storage.kinds import kind_of
from messenger.storage.storage import Kept

EXAMINED = Examined("notes.txt", "text/plain", 5, None, None, None)
PICTURE = Examined("trail.png", "image/png", 5, 4, 3, b"small")


def zipped(*names: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 40)
    return written.getvalue()


def opendocument(mime_type: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("mimetype", mime_type)
        archive.writestr("content.xml", "<x/>")
    return written.getvalue()


OOXML = "application/vnd.openxmlformats-officedocument"
OPEN = "application/vnd.oasis.opendocument"
KINDS: list[tuple[str, bytes, str]] = [
    # What a browser would run, and what only looks like something else: text.
    ("page.html", b"<!doctype html><script>alert(1)</script>", "text/plain"),
    ("page.html", "<p>Jürgen</p>".encode("utf-16"), "application/octet-stream"),
    ("logo.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "text/plain"),
    ("logo.svg", b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "text/plain"),
    ("x.xml", b"<?xml version='1.0'?><x/>", "text/plain"),
    ("x.js", b"alert(1)", "text/plain"),
    ("x.ps", b"%!PS-Adobe-3.0\n", "text/plain"),
    ("x.gif", b"GIF89a=1;alert(1)", "text/plain"),
    ("x.bmp", b"BMW is a make of cars", "text/plain"),
    ("x.exe", b"MZ, he wrote", "text/plain"),
    ("x.mp3", b"ID3 is a kind of tag", "text/plain"),
    # Texts.
    ("notes.txt", b"Bring boots\r\n\tand a map\f", "text/plain"),
    ("notes", "Wanderstöcke 🥾".encode(), "text/plain"),
    ("old.txt", "Wanderstöcke".encode("latin-1"), "text/plain"),
    ("log", b"\x1b[31mred\x1b[0m", "text/plain"),
    ("empty", b"", "text/plain"),
    ("TABLE.CSV", b"a;b\n1;2\n", "text/csv"),
    ("table.csv", b"a;b\n\0", "application/octet-stream"),
    ("x.txt", b"\x01\x02abc", "application/octet-stream"),
    ("late.txt", b"x" * 300_000 + b"\0", "application/octet-stream"),
    # Documents.
    ("x.pdf", b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n\0", "application/pdf"),
    ("x.pdf", b"%PDF-1.7\nwithout a byte above 127", "application/pdf"),
    ("x.rtf", rb"{\rtf1\ansi Hello}", "application/rtf"),
    ("x.docx", zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"), f"{OOXML}.wordprocessingml.document"),
    ("x.xlsx", zipped("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"), f"{OOXML}.spreadsheetml.sheet"),
    (
        "x.pptx",
        zipped("[Content_Types].xml", "_rels/.rels", "ppt/presentation.xml"),
        f"{OOXML}.presentationml.presentation",
    ),
    ("x.odt", opendocument(f"{OPEN}.text"), f"{OPEN}.text"),
    ("x.ods", opendocument(f"{OPEN}.spreadsheet"), f"{OPEN}.spreadsheet"),
    ("x.zip", zipped("a", "b"), "application/zip"),
    ("x.docx", zipped("a", "b"), "application/zip"),
    # The rest by its signature, or nothing.
    ("page.html", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0", "image/png"),
    ("x.png", b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image/jpeg"),
    ("x.webp", b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
    ("x.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video/mp4"),
    ("x.exe", b"MZ\x90\0\3", "application/x-msdownload"),
    ("x", b"\x7fELF\2\1\1" + bytes(60), "application/x-executable"),
    ("x.swf", b"FWS\x09\0\0", "application/x-shockwave-flash"),
    ("x.wasm", b"\0asm\1\0\0\0", "application/wasm"),
    ("x.gz", b"\x1f\x8b\x08\0\0\0\0\0", "application/gzip"),
    ("x.png", b"\0\1\2\3", "application/octet-stream"),
]


@pytest.mark.parametrize(("name", "content", "kind"), KINDS, ids=[f"{name} {kind}" for name, _, kind in KINDS])
def test_a_file_is_what_its_bytes_say(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert kind_of(path, name) == kind


@pytest.mark.parametrize(
    ("claimed", "name"),
    [
        ("trail.png", "trail.png"),
        ("Größe 🥾 a.txt", "Größe 🥾 a.txt"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\windows\\x.ini", "x.ini"),
        ("a/../b", "b"),
        ("a\0b\r\nc\x7f\x85.txt", "abc.txt"),
        ("\u202egpj.exe", "gpj.exe"),
        ("a\u2066\u200b\u2028\ufeffb", "ab"),
        ("a\udc80b", "ab"),
        ("  x  ", "x"),
        (".htaccess", ".htaccess"),
        *((nothing, "file") for nothing in ("", " ", ".", "..", " . . ", "/", "a/", "\u202e", "\n")),
        ("x" * 255, "x" * 255),
        ("x" * 300 + ".tar.gz", "x" * 252 + ".gz"),
        ("é" * 300, "é" * 255),
        ("x." + "y" * 300, "x." + "y" * 253),
    ],
)
def test_a_name_has_no_path_and_nothing_that_deceives(claimed: str, name: str) -> None:
    assert cleaned(claimed) == name
    assert 1 <= len(cleaned(claimed)) <= MAX_NAME_CHARS


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "data" / "attachments")
    folder.prepare()
    return folder


def files(folder: Folder) -> list[str]:
    return sorted(str(path.relative_to(folder._root)) for path in folder._root.rglob("*") if path.is_file())


async def kept(folder: Folder, examined: Examined = EXAMINED, content: bytes = b"Boots") -> AttachmentId:
    attachment_id = AttachmentId(uuid7())
    async with folder.arriving() as arrival:
        await arrival.write(content)
        await folder.keep(attachment_id, arrival, examined)
    return attachment_id


async def test_what_is_kept_is_found_and_removed(folder: Folder) -> None:
    text, picture = await kept(folder), await kept(folder, PICTURE)
    places = {id_: folder._root / id_.hex[-2:] / id_.hex for id_ in (text, picture)}
    assert await folder.find(text) == Kept(places[text], "notes.txt", "text/plain")
    assert await folder.find_thumbnail(text) is None
    assert await folder.find_thumbnail(picture) == Kept(
        places[picture].with_suffix(".webp"), "trail.png.webp", "image/webp"
    )
    assert (places[text].read_bytes(), places[picture].with_suffix(".webp").read_bytes()) == (b"Boots", b"small")
    await folder.remove([picture, AttachmentId(uuid7()), picture])
    assert (await folder.find(picture), await folder.find_thumbnail(picture)) == (None, None)
    assert files(folder) == [f"{text.hex[-2:]}/{text.hex}{ending}" for ending in ("", ".json")]


async def test_ids_spread_over_the_folders(folder: Folder) -> None:
    """Their first letters are the time."""
    for _ in range(20):
        await kept(folder)
    assert len({path.partition("/")[0] for path in files(folder)}) > 5


async def test_nobody_else_on_the_machine_reads_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = Folder(tmp_path / "data" / "attachments")
        folder.prepare()
        await kept(folder, PICTURE)
        for path in (folder._root, *folder._root.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        # But what lies beside it is others', as those of the embedded servers.
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o711
    finally:
        os.umask(old)


async def test_what_breaks_off_leaves_nothing(folder: Folder) -> None:
    with pytest.raises(ZeroDivisionError):
        async with folder.arriving() as arrival:
            await arrival.write(b"half")
            assert files(folder) == [f"arriving/{arrival.path.name}"]
            raise ZeroDivisionError
    assert files(folder) == []


async def test_what_was_cut_in_the_middle_is_tidied_up_once_nobody_writes_to_it(folder: Folder) -> None:
    there = await kept(folder)
    async with folder.arriving() as arrival:
        abandoned = folder._root / "arriving" / "abandoned"
        abandoned.write_bytes(b"half")
        long_ago = abandoned.stat().st_mtime - module.ABANDONED_S - 1
        os.utime(abandoned, (long_ago, long_ago))
        await folder.tidy()
        assert not abandoned.exists()
        assert arrival.path.exists()
    assert await folder.find(there) is not None


async def test_nobody_finds_what_is_kept_only_in_part(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    attachment_id = AttachmentId(uuid7())

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    async with folder.arriving() as arrival:
        await arrival.write(b"Boots")
        with monkeypatch.context() as patched:
            patched.setattr(module, "_sync", full)
            with pytest.raises(StorageAway):
                await folder.keep(attachment_id, arrival, PICTURE)
        assert await folder.find(attachment_id) is None
        assert await folder.find_thumbnail(attachment_id) is None
        # And it may be tried again.
        await folder.keep(attachment_id, arrival, PICTURE)
    assert await folder.find(attachment_id) is not None


def test_a_folder_is_made_tried_and_left_as_it_was(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    assert folder.is_writable()
    assert list(tmp_path.iterdir()) == []
    folder.prepare()
    folder.prepare()
    assert files(folder) == []


def test_what_is_no_folder_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = Folder(tmp_path / "file" / "attachments")
    assert not folder.is_writable()
    with pytest.raises(SetupError) as told:
        folder.prepare()
    assert str(told.value) == (
        f"uploads cannot be kept in {tmp_path}/file/attachments (Not a directory): MESSENGER_DATA_DIR must be a folder that "
        "the daemon may write to"
    )

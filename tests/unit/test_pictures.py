"""Pictures that strangers made: none of them takes the daemon's memory, none makes it fall, and none tells where it was taken."""

import asyncio
import io
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFile, PngImagePlugin

from messenger.errors import TypeNotAllowed
from messenger.storage import intake
from messenger.storage.intake import examine
from messenger.storage.pictures import MOST_PIXELS, MOST_SCANS, MOST_UNPACKED, THUMBNAIL_PX, Picture, picture_of

RED, BLUE = (220, 20, 20), (20, 20, 220)


def written(path: Path, image: Image.Image, format_: str, **options: Any) -> Path:
    image.save(path, format_, **options)
    return path


def two_coloured(width: int, height: int) -> Image.Image:
    """Red above, blue below."""
    image = Image.new("RGB", (width, height), BLUE)
    ImageDraw.Draw(image).rectangle((0, 0, width, height // 2), RED)
    return image


def is_near(colour: Any, expected: tuple[int, int, int]) -> bool:
    return all(abs(one - other) < 40 for one, other in zip(colour, expected, strict=False))


def small_of(path: Path) -> Image.Image:
    picture = picture_of(path)
    assert picture is not None
    assert picture.thumbnail is not None
    small = Image.open(io.BytesIO(picture.thumbnail))
    assert small.format == "WEBP"
    return small


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    """A header that promises as much, and what comes behind it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("format_", "mode"),
    [
        *(("PNG", mode) for mode in ("RGB", "RGBA", "P", "L", "LA", "1", "I;16")),
        *(("JPEG", mode) for mode in ("RGB", "L", "CMYK")),
        *(("GIF", mode) for mode in ("P", "L")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
    ],
)
def test_every_kind_of_picture_has_a_small_one(tmp_path: Path, format_: str, mode: str) -> None:
    path = written(tmp_path / "x", Image.new(mode, (1200, 800)), format_)
    picture = picture_of(path)
    assert picture is not None
    assert (picture.width, picture.height) == (1200, 800)
    assert small_of(path).size == (THUMBNAIL_PX, 341)


def test_a_small_picture_is_not_made_larger(tmp_path: Path) -> None:
    assert small_of(written(tmp_path / "x", two_coloured(40, 30), "PNG")).size == (40, 30)


def test_a_ribbon_keeps_a_pixel(tmp_path: Path) -> None:
    assert small_of(written(tmp_path / "x", Image.new("RGB", (10_000, 1)), "PNG")).size == (THUMBNAIL_PX, 1)


def test_what_is_transparent_stays_so(tmp_path: Path) -> None:
    image = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    assert small_of(written(tmp_path / "x", image, "PNG")).convert("RGBA").getpixel((50, 50)) == (0, 0, 0, 0)


def test_the_first_frame_stands_for_a_film(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (60, 60), colour) for colour in (RED, BLUE)]
    for format_ in ("GIF", "WEBP", "PNG"):
        path = written(tmp_path / format_, frames[0], format_, save_all=True, append_images=frames[1:])
        small = small_of(path)
        assert getattr(small, "n_frames", 1) == 1
        assert is_near(small.convert("RGB").getpixel((30, 30)), RED)


# Where red is, above in the file: EXIF 2.3, §4.6.4 A.
@pytest.mark.parametrize(
    ("orientation", "red", "size"),
    [
        (1, "above", (120, 80)),
        (2, "above", (120, 80)),
        (3, "below", (120, 80)),
        (4, "below", (120, 80)),
        (5, "left", (80, 120)),
        (6, "right", (80, 120)),
        (7, "right", (80, 120)),
        (8, "left", (80, 120)),
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_picture_stands_upright(
    tmp_path: Path, format_: str, orientation: int, red: str, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = written(tmp_path / "x", two_coloured(120, 80), format_, exif=exif)
    picture, small = picture_of(path), small_of(path)
    assert picture is not None
    assert (picture.width, picture.height) == small.size == size
    width, height = size
    places = {
        "above": (width // 2, 5), "below": (width // 2, height - 6), "left": (5, height // 2), "right": (width - 6, height // 2)
    }  # fmt: skip
    assert is_near(small.convert("RGB").getpixel(places[red]), RED)
    assert not is_near(small.convert("RGB").getpixel((width - 1 - places[red][0], height - 1 - places[red][1])), RED)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_where_and_with_what_it_was_taken_does_not_come_along(tmp_path: Path, format_: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Ann's camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    more: dict[str, Any] = {
        "exif": exif,
        "xmp": b"<x:xmpmeta>Ann was here</x:xmpmeta>",
        "icc_profile": b"Ann's screen" * 20,
    }
    if format_ == "JPEG":
        more["comment"] = b"Ann says"
    if format_ == "PNG":
        told = PngImagePlugin.PngInfo()
        told.add_text("Author", "Ann")
        del more["xmp"]
        more["pnginfo"] = told
    path = written(tmp_path / "x", two_coloured(800, 600), format_, **more)
    assert b"Ann" in path.read_bytes()
    picture, small = picture_of(path), small_of(path)
    assert picture is not None
    assert picture.thumbnail is not None
    assert b"Ann" not in picture.thumbnail
    assert not small.getexif()
    assert not {"exif", "xmp", "icc_profile", "comment"} & small.info.keys()
    # Nothing but the picture (the container's chunks, RFC 9649 §2.5).
    assert not any(kind in picture.thumbnail for kind in (b"EXIF", b"XMP ", b"ICCP"))


# What is made to do harm.


@pytest.fixture
def never_unpacked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def unpack(image: ImageFile.ImageFile) -> None:
        unpacked.append(image.size)

    unpacked: list[tuple[int, int]] = []

    monkeypatch.setattr(ImageFile.ImageFile, "load", unpack)
    yield
    assert unpacked == []


@pytest.mark.usefixtures("never_unpacked")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("width", "height"),
    [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (2 * MOST_PIXELS, 1), (MOST_PIXELS // 1000 + 1, 1000)],
)
def test_what_promises_too_much_is_not_unpacked(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(png_of(width, height, chunk(b"IDAT", zlib.compress(bytes(100)))))
    assert picture_of(path) is None


@pytest.mark.usefixtures("never_unpacked")
@pytest.mark.filterwarnings("ignore")
def test_what_would_take_much_memory_has_its_measures_and_no_small_picture(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(png_of(1000, MOST_UNPACKED // 1000 + 1, chunk(b"IDAT", zlib.compress(bytes(100)))))
    assert picture_of(path) == Picture(1000, MOST_UNPACKED // 1000 + 1, None)


@pytest.mark.filterwarnings("ignore")
def test_a_large_photograph_has_a_small_picture(tmp_path: Path) -> None:
    path = written(tmp_path / "x", Image.new("L", (8000, MOST_UNPACKED // 8000 + 1)), "JPEG")
    assert max(small_of(path).size) == THUMBNAIL_PX


def painted_over(path: Path, times: int, scan: bytes = b"\xff\xda") -> bytes:
    """A JPEG whose last scan comes again and again: each time all of it is unpacked anew."""
    whole = written(path, two_coloured(300, 200), "JPEG", progressive=True).read_bytes()
    start = whole.rindex(b"\xff\xda")
    return whole[:-2] + (scan + whole[start + 2 : -2]) * times + whole[-2:]


@pytest.mark.usefixtures("never_unpacked")
@pytest.mark.parametrize("scan", [b"\xff\xda", b"\xff\xff\xff\xda", b"\xff\xd0\xff\x01\xff\xfe\0\x02\xff\xda"])
def test_what_is_painted_over_without_end_has_its_measures_and_no_small_picture(tmp_path: Path, scan: bytes) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(painted_over(path, MOST_SCANS, scan))
    assert picture_of(path) == Picture(300, 200, None)


def test_a_photograph_comes_in_many_scans_and_with_a_film_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "photograph"
    path.write_bytes(painted_over(path, MOST_SCANS // 2) + b"\xff\xda\0\x02" * MOST_SCANS)
    assert small_of(path).size == (300, 200)


def test_a_gif_whose_frame_is_larger_than_its_header_is_not_unpacked(tmp_path: Path) -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x4c\x01\0;"
    (tmp_path / "bomb").write_bytes(screen + frame)
    picture = picture_of(tmp_path / "bomb")
    assert picture is None or picture.thumbnail is None


def test_a_text_that_unpacks_to_more_than_memory_is_not(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(200_000_000), 9)
    pixels = chunk(b"IDAT", zlib.compress(bytes(4 * 4 * 4 + 4)))
    for kind in (b"zTXt" + b"k\0\0", b"iCCP" + b"k\0\0", b"iTXt" + b"k\0\1\0\0\0"):
        (tmp_path / "bomb").write_bytes(png_of(4, 4, chunk(kind[:4], kind[4:] + packed), pixels))
        picture_of(tmp_path / "bomb")  # whatever it is, it does not raise


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "WEBP"])
def test_what_breaks_off_is_a_file_like_any_other(tmp_path: Path, format_: str) -> None:
    whole = written(tmp_path / "x", two_coloured(300, 200), format_).read_bytes()
    for length in range(0, len(whole) - 40, max(1, len(whole) // 60)):
        (tmp_path / "half").write_bytes(whole[:length])
        picture = picture_of(tmp_path / "half")
        assert picture is None or (picture.width, picture.height) == (300, 200)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "WEBP"])
def test_what_is_garbled_is_a_file_like_any_other(tmp_path: Path, format_: str) -> None:
    whole = bytearray(written(tmp_path / "x", two_coloured(60, 40), format_).read_bytes())
    for place in range(0, len(whole), max(1, len(whole) // 200)):
        garbled = whole[:]
        garbled[place] ^= 0xFF
        (tmp_path / "garbled").write_bytes(garbled)
        picture_of(tmp_path / "garbled")


def test_no_other_format_is_read(tmp_path: Path) -> None:
    for format_ in ("BMP", "TIFF", "ICO", "PPM", "TGA"):
        assert picture_of(written(tmp_path / format_, two_coloured(40, 40), format_)) is None


async def test_who_waits_too_long_for_his_turn_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "x", two_coloured(40, 30), "PNG")
    goes_on = threading.Event()
    monkeypatch.setattr(intake, "picture_of", lambda _: goes_on.wait())
    first = asyncio.wrap_future(intake._painter.paint(path))
    monkeypatch.setattr(intake, "TURN_S", 0.05)
    try:
        examined = await examine(path, "x.png")
    finally:
        goes_on.set()
        await first
    assert (examined.mime_type, examined.thumbnail) == ("image/png", None)
    monkeypatch.undo()
    assert (await examine(path, "x.png")).thumbnail is not None


async def test_of_a_type_that_is_not_allowed_nothing_is_painted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "x", two_coloured(40, 30), "PNG")
    painted: list[Path] = []
    monkeypatch.setattr(intake, "picture_of", painted.append)
    with pytest.raises(TypeNotAllowed):
        await examine(path, "x.png", lambda mime_type: mime_type != "image/png")
    assert painted == []


ENDLESS = """
import asyncio, sys, threading
from pathlib import Path
from messenger.storage import intake

intake.TURN_S = 0.05
intake.picture_of = lambda _: threading.Event().wait()
print(asyncio.run(intake.examine(Path(sys.argv[1]), "x.png")).thumbnail)
"""


async def test_a_picture_that_is_never_done_keeps_no_process_from_its_end(tmp_path: Path) -> None:
    path = written(tmp_path / "x", two_coloured(40, 30), "PNG")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ENDLESS, path, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

"""Pictures that strangers made: how large they are, and a small one of each, made anew, so that nothing comes along that nobody
sees (where it was taken, with what, by whom).

A header may promise more pixels than there is memory: such a one is not unpacked. What cannot be read is a file like any other.
"""

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import structlog
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

log = structlog.get_logger(__name__)

FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
THUMBNAIL_TYPE = "image/webp"  # every browser shows it, with and without transparency
THUMBNAIL_PX = 512
QUALITY = 80
# A JPEG is unpacked at a fraction of its size, whatever else there is whole, and more than once: 25 million pixels take up to 400
# MB for a moment.
MOST_UNPACKED = 25_000_000
# Of twice its limit the library takes no picture, whatever header of it says so; before that it warns.
MOST_PIXELS = 50_000_000
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
# A JPEG may be painted over as often as it likes, each time whole and with a few bytes. Progressive ones have a dozen scans.
MOST_SCANS = 100
# Of the EXIF orientations those that lie on their side.
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class Picture:
    """Width and height in pixels, as it is shown. `thumbnail`: at most THUMBNAIL_PX on its longer side; None where it could not
    be made."""

    width: int
    height: int
    thumbnail: bytes | None


def picture_of(file: Path) -> Picture | None:
    """The first frame of a picture; None where it is none, or too large. Blocks, and takes memory for all of its pixels."""
    try:
        image = Image.open(file, formats=FORMATS)
    except Exception as error:  # hostile bytes make the library fail in every way that there is
        log.info("no picture", error=type(error).__name__)
        return None
    with image:
        width, height = image.size
        if _is_costly(image, file):
            return Picture(width, height, None)
        try:
            # A PNG is unpacked for this already: what it says of itself may stand behind its pixels.
            if image.getexif().get(ORIENTATION) in SIDEWAYS:
                width, height = height, width
            return Picture(width, height, _thumbnail(image))
        except Exception as error:
            log.info("no thumbnail", error=type(error).__name__)
            return Picture(width, height, None)


def _is_costly(image: Image.Image, file: Path) -> bool:
    """Whether it asks for too much memory or time."""
    if isinstance(image, JpegImageFile):
        return _scans(file.read_bytes()) > MOST_SCANS
    return image.width * image.height > MOST_UNPACKED


# Past what stands between: pixels, in which FF 00 is a byte and D0 to D7 count, and rubbish.
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
_START_OF_SCAN, _END_OF_IMAGE = b"\xda", b"\xd9"


def _scans(jpeg: bytes) -> int:
    """How many scans it has, or MOST_SCANS and one (ITU-T T.81, annex B). What follows the image, as a film does that a
    telephone made with it, does not count."""
    count, place = 0, 2
    while count <= MOST_SCANS and (found := _MARKER.search(jpeg, place)) and found[1] != _END_OF_IMAGE:
        count += found[1] == _START_OF_SCAN
        place = found.end()
        if found[1] >= b"\xc0":
            # A segment, as long as it says; below are markers that stand by themselves.
            place += int.from_bytes(jpeg[place : place + 2], "big")
    return count


def _thumbnail(image: Image.Image) -> bytes:
    whole: Image.Image = image
    is_clear = image.has_transparency_data
    # Made smaller as it is where it can be: of all those pixels there is no second copy then.
    if image.mode not in (("LA", "RGBA") if is_clear else ("L", "RGB", "CMYK")):
        whole = image.convert("RGBA" if is_clear else "RGB")
    whole.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    small = ImageOps.exif_transpose(whole)
    written = io.BytesIO()
    # Into this format nothing is written but pixels, unless one says so: no EXIF, no comment, no colour profile.
    small.save(written, "WEBP", quality=QUALITY)
    return written.getvalue()

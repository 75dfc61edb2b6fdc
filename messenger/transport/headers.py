"""Headers that every answer carries, whoever makes it and however it fails. They keep a browser from doing more with it than
was meant; Strict-Transport-Security is the proxy's, which alone knows whether there is TLS.
"""

from aiohttp import hdrs, web

POLICY = "Content-Security-Policy"
# One policy for pages and for JSON alike. 'self' covers the page's own WebSocket (CSP level 3).
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # Read by pages of other origins only where CORS lets them, and never as a picture or a script of theirs.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # What somebody may read stays with him.
    "Cache-Control": "no-store",
    POLICY: (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def guard(response: web.StreamResponse) -> None:
    """Called once for each answer. What one says by itself stands: the demo's page shows pictures from elsewhere, and its files
    may be kept."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    # By now aiohttp has named itself and Python there, with their versions.
    response.headers[hdrs.SERVER] = "messenger"
    # Always: a cache must not hand one origin's answer to another.
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)

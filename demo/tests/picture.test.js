import assert from "node:assert/strict";
import { test } from "vitest";

import { shownAddress } from "../picture.js";

const PAGE = "https://chat.example/talk/?user=1#x";

test("a picture comes from https", () => {
  const shown = {
    "https://pictures.example/eve.png?size=2": "https://pictures.example/eve.png?size=2",
    "https://chat.example/eve.png": "https://chat.example/eve.png",
    'https://pictures.example/"onerror="alert(1)': "https://pictures.example/%22onerror=%22alert(1)",
    "https://pictures.example/\u202egnp.exe": "https://pictures.example/%E2%80%AEgnp.exe",
  };
  for (const [address, expected] of Object.entries(shown)) assert.equal(shownAddress(address, PAGE), expected);
});

test("a page without TLS shows pictures of its own origin too", () => {
  const page = "http://127.0.0.1:8000/?user=1";
  assert.equal(shownAddress("http://127.0.0.1:8000/eve.png", page), "http://127.0.0.1:8000/eve.png");
  assert.equal(shownAddress("https://pictures.example/eve.png", page), "https://pictures.example/eve.png");
  assert.equal(shownAddress("http://127.0.0.1:9000/eve.png", page), null);
});

test("nothing else is a picture", () => {
  const refused = [
    null,
    undefined,
    "",
    7,
    {},
    "http://pictures.example/eve.png",
    "/pictures/eve.png",
    "eve.png",
    "//pictures.example/eve.png",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "vbscript:msgbox(1)",
    "data:image/svg+xml,<svg onload=alert(1)>",
    "data:text/html,<script>alert(1)</script>",
    "blob:https://chat.example/0b3f4a5e-9b7c-4b52-9d7c-0c8a7b1c9d11",
    "filesystem:https://chat.example/temporary/eve.png",
    "file:///etc/passwd",
    "ftp://pictures.example/eve.png",
    "ws://pictures.example/",
    "about:blank",
    "https://",
    "https://[",
    "https://user:secret@pictures.example/eve.png",
    "https://user@pictures.example/eve.png",
  ];
  for (const address of refused) assert.equal(shownAddress(address, PAGE), null, String(address));
  assert.equal(shownAddress("blob:http://chat.example/0b3f4a5e", "http://chat.example/"), null);
});

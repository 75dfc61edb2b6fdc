// What others wrote and the pages serve is what npm installed, and comes with its licences.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

test("the Socket.IO client is that of the installed version, without the address of its map", () => {
  const installed = read("node_modules/socket.io-client/dist/socket.io.esm.min.js");
  const map = "//# sourceMappingURL=socket.io.esm.min.js.map\n";
  expect(installed.endsWith(map)).toBe(true);
  expect(read("vendor/socket.io.esm.min.js") === installed.slice(0, -map.length)).toBe(true);
});

test("the installed version is the one that is asked for", () => {
  const wanted = JSON.parse(read("package.json")).devDependencies["socket.io-client"];
  expect(wanted).toMatch(/^\d+\.\d+\.\d+$/);
  expect(read("vendor/socket.io.esm.min.js")).toContain(`Socket.IO v${wanted}\n`);
});

test.each(["socket.io-client", "@socket.io/component-emitter"])("the licence of %s lies beside it", (name) => {
  expect(read("vendor/LICENSE")).toContain(read(`node_modules/${name}/LICENSE`).trim());
});

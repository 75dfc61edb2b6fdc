// What an application pays in bytes: the core, the hooks on it, and both, minified and gzipped as a server would; then what it may take
// besides. Too much of both ends with 1.

import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const LIMIT = 12_000;

/** Bytes of these modules with everything that they import, React left out. */
async function size(...modules) {
  const { outputFiles } = await build({
    stdin: { contents: modules.map((path) => `export * from "${path}";`).join("\n"), resolveDir: import.meta.dirname },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external: ["react"],
    write: false,
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

const HOOKS = "./src/index.ts";
const core = await size("../client/index.js");
const both = await size(HOOKS);
console.log(`core ${core} + hooks ${both - core} = ${both} bytes gzipped, of less than ${LIMIT}`);
for (const name of ["files", "manage", "tabs"])
  console.log(`${name} ${(await size(HOOKS, `../client/${name}.js`)) - both} more`);
if (both >= LIMIT) process.exitCode = 1;

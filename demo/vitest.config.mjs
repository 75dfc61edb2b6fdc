// The core's tests lie in tests/, the hooks' in react/tests/. Waiting is for events; a timeout only says that one never came.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.js", "react/tests/**/*.test.{js,ts,tsx}"],
    environment: "node",
    globalSetup: ["tests/daemon/setup.js"],
    testTimeout: 60_000,
    hookTimeout: 180_000,
    teardownTimeout: 30_000,
    expect: { poll: { timeout: 30_000 } },
    // They mostly wait, for daemons and for time to pass.
    maxWorkers: 2,
    retry: 0,
    unstubGlobals: true,
    restoreMocks: true,
  },
});

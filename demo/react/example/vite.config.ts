import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `npm run dev` passes on what is the daemon's, so that page and daemon are one origin to the browser.
const target = process.env.MESSENGER_SERVER ?? "http://127.0.0.1:8000";

export default defineConfig({
  // Relative addresses: dist/ may be served from any folder of any server.
  base: "./",
  plugins: [react()],
  server: { proxy: { "/ws": { target, ws: true }, "/api": { target } } },
});

// Run by stop.test.js as a process of its own: does what a device does, stops, and then has to end by itself.

import { WebSocket } from "ws";

import { MessengerClient } from "../../client/index.js";

const { url, token, id, WHEN: when } = process.env;
const client = new MessengerClient({ url, getToken: async () => token, WebSocket, storage: null });

const leave = () => {
  client.stop();
  console.log("stopped");
};
const look = () => {
  if (client.status.state !== "online" || !client.loaded) return;
  off();
  client.watch(id);
  client.send(id, "goodbye");
  client.typed(id, "and");
  client.on(`conversation:${id}`, () => {
    if (client.conversation(id).messages.at(-1)?.state === "sent" && client.status.state !== "stopped") leave();
  });
};
const off = client.on("conversations", look);
client.start();
if (when === "at once") leave();
// In the midst of everything: what was asked is not answered yet.
if (when === "asking") client.on("me", leave);
if (when === "waiting") {
  client.suspend();
  leave();
}

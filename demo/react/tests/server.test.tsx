// On a server: no page, no socket, no storage.

import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import {
  MessengerProvider,
  useConversation,
  useConversations,
  useMessenger,
  usePresence,
  useUnreadTotal,
} from "../src/index.js";

test("everything renders as if it were still loading", () => {
  function Page() {
    const { me, status } = useMessenger();
    const { messages, typing, status: loading } = useConversation("01890b3c-7d5e-7a41-9f3c-2b6d1c0a5e11");
    const all = [...useConversations(), ...messages, ...typing, ...Object.values(usePresence([7]))];
    return <p>{`${me} ${status.state} ${loading} ${useUnreadTotal()} ${all}`}</p>;
  }
  const page = (
    <MessengerProvider url="https://chat.example.org/" userId={7} getToken={() => Promise.reject(new Error("asked"))}>
      <Page />
    </MessengerProvider>
  );
  expect(typeof window).toBe("undefined");
  expect(renderToString(page)).toBe("<p>null idle loading 0 </p>");
});

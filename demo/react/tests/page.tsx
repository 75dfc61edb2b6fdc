// A page in which people use the hooks: happy-dom, real sockets, the real daemon of the run.

import "./browser.js";
import { cleanup, render } from "@testing-library/react";
import { StrictMode, type ReactNode } from "react";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { daemon } from "./daemon.js";
import { MessengerProvider, useConversation, type ClientOptions, type OpenConversation } from "../src/index.js";

/** What a MessengerProvider needs for somebody; `more` on top. */
export async function optionsOf(
  userId: number,
  name: string,
  more: Partial<ClientOptions> = {},
): Promise<ClientOptions> {
  const reachable = await daemon();
  return {
    url: reachable.url,
    userId,
    getToken: async () => reachable.token(userId, { name }),
    WebSocket: WebSocket as unknown as ClientOptions["WebSocket"],
    storage: null,
    ...more,
  };
}

/** Draw something, in StrictMode as applications do, until the end of the test. */
export function draw(element: ReactNode) {
  onTestFinished(cleanup);
  return render(<StrictMode>{element}</StrictMode>);
}

/** Draw something for somebody who is online. Resolves with where it is drawn. */
export async function drawFor(userId: number, name: string, element: ReactNode, more: Partial<ClientOptions> = {}) {
  const options = await optionsOf(userId, name, more);
  return draw(<MessengerProvider {...options}>{element}</MessengerProvider>);
}

/** Resolves with what `look` returns once that is truthy and does not throw; looks again whenever the page changes. */
export function seen<Found>(look: () => Found): Promise<NonNullable<Found>> {
  return new Promise((resolve, reject) => {
    const at = new Error(`waited for ${String(look).replace(/\s+/g, " ")}`);
    const again = () => {
      try {
        const found = look();
        if (!found) return;
        done();
        resolve(found);
      } catch (error) {
        at.cause = error;
      }
    };
    const observer = new MutationObserver(again);
    const timer = setTimeout(() => {
      done();
      at.message += ` in vain; ${document.body.innerHTML.slice(0, 2000)}`;
      reject(at);
    }, 30_000);
    const done = () => {
      clearTimeout(timer);
      observer.disconnect();
    };
    observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    again();
  });
}

/** A conversation as a list of messages. `onDraw` hears each time that it is drawn. */
export function Talk({ id, onDraw }: { id: string; onDraw?: (conversation: OpenConversation) => void }) {
  const conversation = useConversation(id);
  onDraw?.(conversation);
  const { messages, typing, participants, status, title, unread, hasMore } = conversation;
  const here = participants.filter(({ online }) => online).length;
  return (
    <section data-status={status} data-unread={unread} data-more={hasMore} data-here={here}>
      <h1>{title}</h1>
      <ul>
        {messages.map(({ key, id, state, readBy, content, reactions }) => (
          <li key={key} data-key={key} data-id={id} data-state={state} data-read={readBy}>
            {content} {Object.keys(reactions)}
          </li>
        ))}
      </ul>
      <p>{typing.map(({ name }) => name).join()}</p>
    </section>
  );
}

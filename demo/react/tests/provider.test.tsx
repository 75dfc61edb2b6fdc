import "./browser.js";
import { cleanup, render } from "@testing-library/react";
import { StrictMode, type ReactNode } from "react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { systemClock } from "../../client/clock.js";
import { daemon, ids, person, withDaemon } from "./daemon.js";
import {
  MessengerProvider,
  useConversations,
  useMessenger,
  usePresence,
  useUnreadTotal,
  type ClientOptions,
  type Messenger,
  type MessengerClient,
} from "../src/index.js";
import { optionsOf, seen, Talk } from "./page.js";

/** Who one is, as text. */
function Me({ onDraw }: { onDraw?: (drawn: Messenger) => void }) {
  const messenger = useMessenger();
  const { me, status } = messenger;
  onDraw?.(messenger);
  return <b>{`${me?.name} ${status.state}`}</b>;
}

/** Sockets as they are made. */
function counting() {
  const made: WebSocket[] = [];
  class Counted extends WebSocket {
    constructor(...how: ConstructorParameters<typeof WebSocket>) {
      super(...how);
      made.push(this);
    }
  }
  return { made, WebSocket: Counted as unknown as ClientOptions["WebSocket"] };
}

function shown(element: ReactNode) {
  onTestFinished(cleanup);
  return render(element);
}

withDaemon("a provider", () => {
  test("makes one socket in StrictMode, and closes it when it goes", async () => {
    const [annId] = ids(1);
    const { made, WebSocket } = counting();
    const options = await optionsOf(annId, "Ann", { WebSocket });
    const states = new Set<string>();
    const { container, unmount } = shown(
      <StrictMode>
        <MessengerProvider {...options}>
          <Me onDraw={({ status }) => states.add(status.state)} />
        </MessengerProvider>
      </StrictMode>,
    );
    await seen(() => container.textContent === "Ann online");
    expect([made.length, [...states]]).toEqual([1, ["idle", "connecting", "online"]]);
    unmount();
    await expect.poll(() => made[0].readyState).toBe(made[0].CLOSED);
    expect(made).toHaveLength(1);
  });

  test("leaves no timer and no listener behind", async () => {
    const [annId, benId] = ids(2);
    const id = await (await daemon()).group([annId, benId]);
    const timers = new Set<object>();
    const clock = {
      now: systemClock.now,
      after(ms: number, run: () => void) {
        const timer = {};
        timers.add(timer);
        const cancel = systemClock.after(ms, () => (timers.delete(timer), run()));
        return () => (timers.delete(timer), cancel());
      },
    };
    const listening: Record<string, number> = {};
    for (const target of [window, document])
      for (const [method, step] of Object.entries({ addEventListener: 1, removeEventListener: -1 })) {
        const original = (target as any)[method];
        vi.spyOn(target, method as "addEventListener").mockImplementation((...how: any[]) => {
          listening[how[0]] = (listening[how[0]] ?? 0) + step;
          return original.apply(target, how);
        });
      }
    const options = await optionsOf(annId, "Ann", { clock });
    let client!: MessengerClient;
    let following = 0;
    function Everything() {
      useConversations();
      useUnreadTotal();
      usePresence([benId]);
      return <Talk id={id} onDraw={({ notifyTyping }) => notifyTyping("B")} />;
    }
    const page = shown(
      <MessengerProvider {...options}>
        <Me
          onDraw={(drawn) => {
            if (client === drawn.client) return;
            client = drawn.client;
            for (const name of ["on", "watch", "watchPresence"] as const) {
              const follow: (...what: any[]) => () => void = client[name];
              client[name] = (...what: any[]) => {
                following += 1;
                const end = follow.apply(client, what);
                return () => ((following -= 1), end());
              };
            }
          }}
        />
        <Everything />
      </MessengerProvider>,
    );
    await seen(() => page.container.querySelector("[data-status=ready]"));
    expect([following > 4, timers.size > 0, listening.visibilitychange, listening.online]).toEqual([true, true, 1, 1]);
    page.unmount();
    await expect.poll(() => client.status.state).toBe("stopped");
    // What is called off says so a moment later; its own end would come in fifteen seconds at the earliest.
    await expect.poll(() => [following, timers.size], { timeout: 5_000 }).toEqual([0, 0]);
    // React itself listens to this for good.
    const { selectionchange, ...left } = listening;
    expect(left).toEqual(Object.fromEntries(Object.keys(left).map((name) => [name, 0])));
  });

  test("begins anew for another user, and the former one is gone", async () => {
    const [annId, benId] = ids(2);
    const { made, WebSocket } = counting();
    const anns = await optionsOf(annId, "Ann", { WebSocket });
    const bens = await optionsOf(benId, "Ben", { WebSocket });
    const { container, rerender } = shown(<MessengerProvider {...anns} children={<Me />} />);
    await seen(() => container.textContent === "Ann online");
    rerender(<MessengerProvider {...bens} children={<Me />} />);
    await seen(() => container.textContent === "Ben online");
    await expect.poll(() => made.map(({ readyState }) => readyState)).toEqual([WebSocket_CLOSED, WebSocket_OPEN]);
  });

  test("keeps its socket when only the functions are others, and asks the newest for the next token", async () => {
    const [annId] = ids(1);
    const reachable = await daemon();
    const { made, WebSocket } = counting();
    const options = await optionsOf(annId, "Ann", { WebSocket });
    const asked: string[] = [];
    const provider = (name: string, expiresIn: number) => (
      <MessengerProvider
        {...options}
        getToken={async ({ reason }) => {
          asked.push(`${name} ${reason}`);
          return reachable.token(annId, { name: "Ann", expiresIn });
        }}
      >
        <Me />
      </MessengerProvider>
    );
    const { container, rerender } = shown(provider("first", 62));
    await seen(() => container.textContent === "Ann online");
    rerender(provider("second", 3600));
    await expect.poll(() => asked).toEqual(["first null", "second token_expiring"]);
    expect(made).toHaveLength(1);
  });

  test("leaves a client that it is given to whoever made it", async () => {
    const [annId] = ids(1);
    const client = await person(annId, { name: "Ann", start: false });
    const { container, unmount } = shown(<MessengerProvider client={client} children={<Me />} />);
    await seen(() => container.textContent === "undefined idle");
    client.start();
    await seen(() => container.textContent === "Ann online");
    unmount();
    await Promise.resolve();
    expect(client.status.state).toBe("online");
  });

  test("takes over what a server rendered, although its client knows more by then", async () => {
    const [annId, benId] = ids(2);
    const reachable = await daemon();
    const id = await reachable.group([annId, benId], { title: "Hike" });
    await reachable.say(benId, id, "Who comes?");
    const page = (client: MessengerClient) => (
      <MessengerProvider client={client}>
        <Me />
        <Talk id={id} />
      </MessengerProvider>
    );
    const container = document.createElement("div");
    document.body.append(container);
    container.innerHTML = renderToString(page(await person(annId, { start: false })));
    expect(container.textContent).toBe("undefined idleConversation");

    const client = await person(annId, { name: "Ann" });
    const complaints: unknown[] = [];
    const root = hydrateRoot(container, page(client), { onRecoverableError: (error) => complaints.push(error) });
    onTestFinished(() => root.unmount());
    await seen(() => container.textContent!.includes("Who comes?") && container.textContent!.includes("Ann online"));
    expect(complaints).toEqual([]);
  });
});

const { CLOSED: WebSocket_CLOSED, OPEN: WebSocket_OPEN } = WebSocket;

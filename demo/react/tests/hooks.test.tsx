import "./browser.js";
import { memo, useEffect, useState } from "react";
import { expect, test } from "vitest";
import { daemon, ids, looking, person, withDaemon } from "./daemon.js";
import {
  useConversation,
  useConversations,
  useMessenger,
  usePresence,
  useUnreadTotal,
  type ConversationSummary,
  type OpenConversation,
} from "../src/index.js";
import { draw, drawFor, seen, Talk } from "./page.js";

withDaemon("the hooks", () => {
  test("what one writes is there at once, becomes a message in place, and is read by the other", async () => {
    const [annId, benId] = ids(2);
    const id = await (await daemon()).group([annId, benId], { title: "Hike" });
    let ann!: OpenConversation, ben!: OpenConversation;
    const anns = await drawFor(annId, "Ann", <Talk id={id} onDraw={(drawn) => (ann = drawn)} />);
    const bens = await drawFor(benId, "Ben", <Talk id={id} onDraw={(drawn) => (ben = drawn)} />);
    for (const page of [anns, bens]) await seen(() => page.container.querySelector("[data-status=ready]"));
    expect(anns.container.querySelector("h1")!.textContent).toBe("Hike");

    const key = ann.send("Bring the map");
    const row = await seen(() => anns.container.querySelector<HTMLElement>(`[data-key="${key}"]`));
    expect(row.dataset).toMatchObject({ state: "pending", read: "none" });
    await seen(() => row.matches("[data-state=sent][data-read=none]"));
    await seen(() => bens.container.querySelector("[data-unread='1'] li:last-child")!.textContent === "Bring the map ");

    ben.markRead();
    await seen(() => bens.container.querySelector("[data-unread='0']"));
    await seen(() => row.matches("[data-read=all]"));
    expect(row.isConnected).toBe(true);
  });

  test("a message is edited, reacted to and removed", async () => {
    const [annId, benId] = ids(2);
    const id = await (await daemon()).group([annId, benId]);
    let ann!: OpenConversation;
    const { container } = await drawFor(annId, "Ann", <Talk id={id} onDraw={(drawn) => (ann = drawn)} />);
    await seen(() => container.querySelector("[data-status=ready]"));
    const key = ann.send("Milk");
    const row = await seen(() => container.querySelector<HTMLElement>(`[data-key="${key}"]`));
    const shows = (text: string) => seen(() => row.textContent === text);
    await seen(() => row.matches("[data-state=sent]"));
    const messageId = row.dataset.id!;

    await Promise.all([ann.edit(messageId, "Oat milk"), shows("Oat milk ")]);
    await Promise.all([ann.react(messageId, "👍"), shows("Oat milk 👍")]);
    await Promise.all([ann.react(messageId, "👍", false), shows("Oat milk ")]);
    await Promise.all([ann.remove(messageId), shows(" ")]);
  });

  test("what was refused says why, and can be tried again or be given up", async () => {
    const [annId] = ids(1);
    const id = await (await daemon()).group([annId]);
    let ann!: OpenConversation;
    const { container } = await drawFor(annId, "Ann", <Talk id={id} onDraw={(drawn) => (ann = drawn)} />);
    await seen(() => container.querySelector("[data-status=ready]"));
    const key = ann.send("x".repeat(4001));
    const row = await seen(() => container.querySelector(`[data-key="${key}"][data-state=failed]`));
    expect(ann.messages.at(-1)).toMatchObject({ key, error: { code: "content_too_long" } });
    ann.retry(key);
    await seen(() => row.matches("[data-state=pending]"));
    await seen(() => row.matches("[data-state=failed]"));
    ann.discard(key);
    await seen(() => !row.isConnected);
  });

  test("older messages are loaded page by page, and each is there once", async () => {
    const [annId] = ids(1);
    const reachable = await daemon();
    const id = await reachable.group([annId]);
    for (let count = 1; count <= 70; count += 1) await reachable.say(annId, id, `line ${count}`);
    let ann!: OpenConversation;
    const { container } = await drawFor(annId, "Ann", <Talk id={id} onDraw={(drawn) => (ann = drawn)} />);
    await seen(() => container.querySelector("[data-status=ready][data-more=true]"));
    await ann.loadOlder();
    await seen(() => container.querySelector("[data-more=false]"));
    const lines = [...container.querySelectorAll("li")].map((line) => line.textContent!.trim());
    expect(lines.filter((line) => line.startsWith("line"))).toEqual(
      Array.from({ length: 70 }, (_, at) => `line ${at + 1}`),
    );
  });

  test("a conversation that one is not in is gone, and nothing more is said of it", async () => {
    const [annId, benId] = ids(2);
    const id = await (await daemon()).group([benId], { title: "Secret" });
    const { container } = await drawFor(annId, "Ann", <Talk id={id} />);
    await seen(() => container.querySelector("[data-status=gone]"));
    expect(container.textContent).not.toContain("Secret");
  });

  test("who types in one conversation, and a message in it, draw nothing of another", async () => {
    const [annId, benId] = ids(2);
    const reachable = await daemon();
    const [hike, milk] = [await reachable.group([annId, benId]), await reachable.group([annId, benId])];
    const drawn: Record<string, number> = {};
    const count = (what: string) => (drawn[what] = (drawn[what] ?? 0) + 1);
    const Item = memo(({ of }: { of: ConversationSummary }) => {
      count(`item ${of.id}`);
      return <a href={of.id}>{of.lastMessage?.content}</a>;
    });
    function List() {
      count("list");
      return useConversations().map((of) => <Item key={of.id} of={of} />);
    }
    function Count({ id }: { id: string }) {
      count(`count ${id}`);
      return <b>{useConversation(id, ({ messages }) => messages.filter(({ own }) => !own)).length}</b>;
    }
    const { container } = await drawFor(
      annId,
      "Ann",
      <>
        <List />
        <Talk id={hike} onDraw={() => count(hike)} />
        <Talk id={milk} onDraw={() => count(milk)} />
        <Count id={hike} />
      </>,
    );
    await seen(() => container.querySelectorAll("[data-status=ready]").length === 2);
    await seen(() => container.querySelectorAll("a").length === 2);
    const ben = await person(benId, { name: "Ben" });
    await looking(ben, hike);
    // That he came is told to both; what he does next, to one.
    await seen(() => container.querySelectorAll("[data-here='2']").length === 2);
    const [hikes, milks] = container.querySelectorAll("section");

    const before = { ...drawn };
    ben.typed(hike, "B");
    await seen(() => hikes.querySelector("p")!.textContent === "Ben");
    expect(difference(before, drawn)).toEqual({ [hike]: expect.any(Number) });

    ben.send(hike, "Bring the map");
    await seen(() => hikes.querySelector("li:last-child")!.textContent === "Bring the map ");
    await seen(() => hikes.querySelector("p")!.textContent === "");
    const {
      [hike]: _,
      [`count ${hike}`]: __,
      [`item ${hike}`]: ___,
      list: ____,
      ...others
    } = difference(before, drawn);
    expect(others).toEqual({});
    expect(milks.isConnected).toBe(true);
  });

  test("the list, the sum of what is unread and who is here follow the others", async () => {
    const [annId, benId] = ids(2);
    const reachable = await daemon();
    const id = await reachable.group([annId, benId], { title: "Hike" });
    function Overview() {
      const { status, me } = useMessenger();
      const online = usePresence([benId])[benId]?.online;
      const titles = useConversations((conversations) => conversations.map(({ title }) => title));
      const unread = useConversations((conversations) => new Map(conversations.map(({ id, unread }) => [id, unread])));
      const total = useUnreadTotal();
      return <p>{`${me?.name} ${status.state}, Ben ${online}, ${titles} ${unread.get(id)} of ${total}`}</p>;
    }
    const { container } = await drawFor(annId, "Ann", <Overview />);
    const says = (text: string) => seen(() => container.textContent === text);
    await says("Ann online, Ben false, Hike 0 of 0");
    const ben = await person(benId, { name: "Ben" });
    await says("Ann online, Ben true, Hike 0 of 0");
    ben.send(id, "Bring the map");
    await says("Ann online, Ben true, Hike 1 of 1");
    ben.stop();
    await says("Ann online, Ben false, Hike 1 of 1");
  });

  test("functions stay the same from one drawing to the next", async () => {
    const [annId, benId] = ids(2);
    const reachable = await daemon();
    const id = await reachable.group([annId, benId]);
    const drawings: OpenConversation[] = [];
    const { container } = await drawFor(annId, "Ann", <Talk id={id} onDraw={(drawn) => drawings.push(drawn)} />);
    await seen(() => container.querySelector("[data-status=ready]"));
    await reachable.say(benId, id, "Hello");
    await seen(() => container.querySelector("[data-unread='1']"));
    const functions = Object.entries(drawings.at(-1)!).filter(([, value]) => typeof value === "function");
    expect(functions.map(([name]) => name).sort()).toEqual(
      ["discard", "edit", "loadOlder", "markRead", "notifyTyping", "react", "remove", "retry", "send"].sort(),
    );
    for (const [name, value] of functions) expect(drawings[0][name as keyof OpenConversation]).toBe(value);
    expect(drawings[0].messages).not.toBe(drawings.at(-1)!.messages);
  });

  test("another id is another conversation, and the former is followed no more", async () => {
    const [annId, benId] = ids(2);
    const reachable = await daemon();
    const [hike, milk] = [
      await reachable.group([annId, benId], { title: "Hike" }),
      await reachable.group([annId, benId], { title: "Milk" }),
    ];
    let open!: (id: string) => void;
    const frames: string[] = [];
    function Page() {
      const [id, setId] = useState(hike);
      const { client } = useMessenger();
      useEffect(
        () =>
          client.on("wire", (way, { type, conversation_id }) => way === "out" && frames.push(type + conversation_id)),
        [client],
      );
      open = setId;
      return <Talk id={id} />;
    }
    const { container } = await drawFor(annId, "Ann", <Page />);
    await seen(() => container.querySelector("[data-status=ready] h1")?.textContent === "Hike");
    open(milk);
    await seen(() => container.querySelector("[data-status=ready] h1")?.textContent === "Milk");
    await expect.poll(() => frames).toContain(`unsubscribe${hike}`);
    expect(frames.filter((frame) => frame === `subscribe${milk}`)).toHaveLength(1);
    expect(frames).not.toContain(`unsubscribe${milk}`);
  });

  test("a hook without a provider says what it needs", () => {
    const Lost = () => useUnreadTotal();
    expect(() => draw(<Lost />)).toThrow("<MessengerProvider>");
  });
});

/** What was drawn since, and how often. */
function difference(before: Record<string, number>, after: Record<string, number>) {
  return Object.fromEntries(
    Object.entries(after).flatMap(([what, times]) =>
      times === before[what] ? [] : [[what, times - (before[what] ?? 0)]],
    ),
  );
}

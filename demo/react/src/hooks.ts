// What components ask. Every value stays the same object until something in it changes, every function for good.

import { useEffect, useMemo } from "react";
import type { MessengerClient } from "../../client/index.js";
import type { Conversation, ConversationSummary, Person, Presence, Status } from "../../client/types.js";
import { useClient } from "./context.js";
import { useRead } from "./read.js";

const whole = <Value>(value: Value): Value => value;

export interface Messenger {
  status: Status;
  /** Who one is; null until the server said so. */
  me: Person | null;
  /** For what has no hook: `on`, `request`, `person` …, and the functions of `messenger-react/manage`. */
  client: MessengerClient;
}

/** The connection, oneself, and the client. */
export function useMessenger(): Messenger {
  const client = useClient();
  return useRead("status me people", ({ status, me }) => ({ status, me, client }), whole<Messenger>);
}

/** All conversations, latest activity first. With `select` it renders again only when what that gives is another value. */
export function useConversations(): ConversationSummary[];
export function useConversations<Chosen>(select: (conversations: ConversationSummary[]) => Chosen): Chosen;
export function useConversations(select: (conversations: ConversationSummary[]) => unknown = whole) {
  return useRead("conversations", (client) => client.conversations(), select);
}

/** How many messages one has not read, in all conversations. */
export function useUnreadTotal(): number {
  return useRead("conversations", (client) => client.unreadTotal(), whole<number>);
}

/** Who of these is here, and when the others last were; null while it is not known. */
export function usePresence(ids: readonly number[]): Record<number, Presence | null> {
  const client = useClient();
  const key = ids.join();
  const asked = useMemo(() => [...ids], [key]);
  useEffect(() => client.watchPresence(asked), [client, asked]);
  return useRead("presence", (from) => from.presence(asked), whole<Record<number, Presence | null>>);
}

export type ConversationActions = ReturnType<typeof actions>;
/** A conversation, and what one does in it. */
export type OpenConversation = Conversation & ConversationActions;

/**
 * One conversation, followed while the component is there: its messages, who types, who has read, who is here. With `select`
 * it renders again only when what that gives is another value; an object or array is another one where something in it is.
 */
export function useConversation(id: string): OpenConversation;
export function useConversation<Chosen>(id: string, select: (conversation: OpenConversation) => Chosen): Chosen;
export function useConversation(id: string, select: (conversation: OpenConversation) => unknown = whole) {
  const client = useClient();
  const does = useMemo(() => actions(client, id), [client, id]);
  useEffect(() => client.watch(id), [client, id]);
  return useRead(`conversation:${id}`, (from) => ({ ...from.conversation(id), ...does }), select);
}

type Send = Parameters<MessengerClient["send"]>;

const actions = (client: MessengerClient, id: string) => ({
  /** It is in `messages` at once. Returns its key. */
  send: (content: Send[1], options?: Send[2]) => client.send(id, content, options),
  /** Once more what failed. */
  retry: (key: string) => client.retry(key),
  /** What failed, no more. */
  discard: (key: string) => client.discard(key),
  edit: (messageId: string, content: string) => client.edit(messageId, content),
  remove: (messageId: string) => client.remove(messageId),
  react: (messageId: string, emoji: string, on = true) => client.react(messageId, emoji, on),
  /** The page before the oldest message, while `hasMore`. */
  loadOlder: () => client.loadOlder(id),
  /** Everything in `messages` has been seen. */
  markRead: () => client.markRead(id),
  /** What stands in the composer now; empty where one stopped. */
  notifyTyping: (text: string) => client.typed(id, text),
});

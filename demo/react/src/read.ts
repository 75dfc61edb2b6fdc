// Reading a client from a component: it renders again when what it reads is another value, and at nothing else.

import { useCallback, useRef, useSyncExternalStore } from "react";
import { MessengerClient } from "../../client/index.js";
import { kept } from "../../client/kept.js";
import { useClient } from "./context.js";

/** What comes of `select(read(client))`, followed by `topics`, a space between them. Both values may be made anew each time. */
export function useRead<Value, Chosen>(
  topics: string,
  read: (client: MessengerClient) => Value,
  select: (value: Value) => Chosen,
): Chosen {
  const client = useClient();
  const last = useRef<{ value: Value; select: (value: Value) => Chosen; chosen: Chosen } | null>(null);
  const blank = useRef<MessengerClient | null>(null);

  const subscribe = useCallback(
    (listener: () => void) => {
      const offs = topics.split(" ").map((topic) => client.on(topic, listener));
      return () => offs.forEach((off) => off());
    },
    [client, topics],
  );

  // React compares what it gets by `===`, so what is equal has to stay the same.
  const choose = (from: MessengerClient) => {
    const before = last.current;
    const value = kept(before?.value, read(from));
    if (before && before.value === value && before.select === select) return before.chosen;
    const chosen = kept(before?.chosen, select(value));
    last.current = { value, select, chosen };
    return chosen;
  };

  return useSyncExternalStore(
    subscribe,
    () => choose(client),
    // A server renders what a client says that never started; so must a page that takes such markup over, whatever it knows by then.
    () => choose((blank.current ??= new MessengerClient({ storage: null }))),
  );
}

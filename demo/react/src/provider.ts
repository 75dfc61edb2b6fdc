// The client's life in a tree of components: made with them, started when they are shown, stopped when they are gone.

import { createElement, useEffect, useMemo, useRef, type ReactNode } from "react";
import { MessengerClient } from "../../client/index.js";
import { MessengerContext } from "./context.js";

/** What a MessengerClient is made of. */
export type ClientOptions = NonNullable<ConstructorParameters<typeof MessengerClient>[0]>;

/** Either the client's options, or a client, which then is yours: started and stopped by you. */
export type MessengerProviderProps = { children?: ReactNode } & (
  (ClientOptions & { client?: never }) | { client: MessengerClient }
);

/**
 * Lets the components below it use the hooks. With another `url` or `userId` it begins anew, with a new client; `getToken` may
 * be another function each time. The other options count when it begins.
 */
export function MessengerProvider({ children, client: given, ...options }: MessengerProviderProps): ReactNode {
  const { url, userId, getToken }: ClientOptions = options;
  const latest = useRef(getToken);
  const wanted = useRef<MessengerClient | null>(null);
  const client = useMemo(
    () =>
      given ??
      new MessengerClient({
        ...options,
        // `latest` is set by then: nobody asks for a token before the effect below.
        getToken: getToken && ((why) => latest.current!(why)),
      }),
    [given, url, userId, !getToken],
  );
  useEffect(() => {
    latest.current = getToken;
  });
  useEffect(() => {
    if (given) return;
    wanted.current = client;
    client.start();
    return () => {
      wanted.current = null;
      // StrictMode takes every effect back once and does it again at once: by then we are wanted, and keep our socket.
      queueMicrotask(() => {
        if (wanted.current !== client) client.stop();
      });
    };
  }, [client]);
  return createElement(MessengerContext.Provider, { value: client }, children);
}

// Which client the components below read from.

import { createContext, useContext } from "react";
import type { MessengerClient } from "../../client/index.js";

export const MessengerContext = createContext<MessengerClient | null>(null);

/** The client of the nearest `MessengerProvider`. */
export function useClient(): MessengerClient {
  const client = useContext(MessengerContext);
  if (client === null) throw new Error("No <MessengerProvider> above");
  return client;
}

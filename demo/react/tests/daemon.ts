// The daemon of the run, and people at it, as the core's tests have them; here with types.

import type { MessengerClient } from "../src/index.js";
import * as core from "../../tests/daemon/person.js";

interface Reachable {
  url: string;
  token(userId: number, claims?: { name?: string; expiresIn?: number }): string;
  group(userIds: number[], more?: { title?: string }): Promise<string>;
  say(userId: number, conversationId: string, content: string): Promise<unknown>;
}

interface Harness {
  daemon(): Promise<Reachable>;
  ids(count: number): number[];
  looking(client: MessengerClient, id: string): Promise<unknown>;
  person(userId: number, more: { name?: string; start?: boolean }): Promise<MessengerClient>;
  withDaemon(name: string, body: () => void): void;
}

export const { daemon, ids, looking, person, withDaemon } = core as unknown as Harness;

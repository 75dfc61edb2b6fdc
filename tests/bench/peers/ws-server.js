/**
 * The server that people write instead: Node, `ws`, `pg`, `redis`. It speaks as much of messenger.v1 as the bench does.
 *
 * Every message is committed before anybody hears of it, serialised once, and told to all nodes over Redis Pub/Sub. There are no
 * numbers, no order between commits, no duplicates found, no row-level security, no presence and no catching up.
 */
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

import pg from "pg";
import { createClient } from "redis";
import { WebSocketServer } from "ws";

const secret = process.env.MESSENGER_JWT_SECRET;
const pool = new pg.Pool({ connectionString: process.env.PEER_DATABASE_URL, max: 10 });
const [, password, path] = process.env.PEER_REDIS_URL.match(/^unix:\/\/:(.*)@(.*)$/);
const publisher = createClient({ socket: { path: decodeURIComponent(path) }, password, RESP: 2 });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);
/** The sockets of each user, and the users of each conversation with somebody connected. */
const sockets = new Map();
const members = new Map();

await pool.query(`
  create table if not exists peer_participants (conversation_id uuid, user_id bigint, primary key (user_id, conversation_id));
  create table if not exists peer_messages (
    id uuid primary key, conversation_id uuid not null, sender_id bigint not null, client_id text, content text not null,
    created_at timestamptz not null default now()
  );
  create index if not exists peer_messages_of on peer_messages (conversation_id, created_at);
`);

function userOf(request) {
  const [head, body, signature] = (request.headers.authorization ?? "").replace("Bearer ", "").split(".");
  const expected = createHmac("sha256", secret).update(`${head}.${body}`).digest();
  const given = Buffer.from(signature ?? "", "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
  const claims = JSON.parse(Buffer.from(body, "base64url").toString());
  return claims.exp * 1000 > Date.now() ? claims : null;
}

const server = createServer(async (request, response) => {
  const claims = userOf(request);
  if (claims?.scope !== "service") return response.writeHead(401).end();
  let text = "";
  for await (const part of request) text += part;
  if (request.method !== "POST") return response.writeHead(204).end();
  const users = [request.headers["x-user-id"], ...JSON.parse(text).participant_ids];
  const id = randomUUID();
  await pool.query("insert into peer_participants select $1, unnest($2::bigint[])", [id, users]);
  response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ id }));
});

const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false });

server.on("upgrade", async (request, socket, head) => {
  const claims = userOf(request);
  if (!claims) return socket.destroy();
  const user = claims.sub;
  const { rows } = await pool.query({
    name: "mine",
    text: "select conversation_id from peer_participants where user_id = $1",
    values: [user],
  });
  const fresh = rows.map((row) => row.conversation_id).filter((id) => !members.has(id));
  for (const id of fresh) members.set(id, new Set());
  await Promise.all(fresh.map((id) => subscriber.subscribe(`conversation:${id}`, (told) => tell(id, told))));
  wss.handleUpgrade(request, socket, head, (device) => {
    if (!sockets.has(user)) sockets.set(user, new Set());
    sockets.get(user).add(device);
    const mine = new Set(rows.map((row) => row.conversation_id));
    for (const id of mine) members.get(id).add(user);
    device.on("message", (data) => said(device, user, mine, data));
    device.on("close", () => left(device, user, mine));
    device.on("error", () => {});
    device.send('{"type":"system","event":"connected"}');
  });
});

function left(device, user, mine) {
  sockets.get(user)?.delete(device);
  if (sockets.get(user)?.size) return;
  sockets.delete(user);
  for (const id of mine) {
    members.get(id)?.delete(user);
    if (members.get(id)?.size === 0) {
      members.delete(id);
      subscriber.unsubscribe(`conversation:${id}`);
    }
  }
}

function tell(id, told) {
  for (const member of members.get(id) ?? []) {
    for (const device of sockets.get(member) ?? []) device.send(told);
  }
}

async function said(device, user, mine, data) {
  const frame = JSON.parse(data);
  if (frame.type !== "message.send" || !mine.has(frame.conversation_id)) return;
  const message = {
    id: randomUUID(),
    conversation_id: frame.conversation_id,
    sender_id: Number(user),
    content: frame.content,
    client_id: frame.client_id,
    created_at: new Date(),
  };
  await pool.query({
    name: "say",
    text: "insert into peer_messages (id, conversation_id, sender_id, client_id, content) values ($1, $2, $3, $4, $5)",
    values: [message.id, message.conversation_id, user, message.client_id, message.content],
  });
  device.send(JSON.stringify({ type: "message.sent", data: message }));
  publisher.publish(`conversation:${message.conversation_id}`, JSON.stringify({ type: "message.new", data: message }));
}

server.listen({ port: Number(process.env.PORT ?? 0), host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`Serving on http://127.0.0.1:${server.address().port}`);
});

// Stock socket.io clients for tests/support/socket_io.py: commands come in as lines of JSON, and all that the clients hear
// goes out as such. Run in demo/, where the library is installed.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { io } = createRequire(`${process.cwd()}/`)("socket.io-client");
const clients = new Map();

const told = (client, event, args) => process.stdout.write(`${JSON.stringify({ client, event, args })}\n`);

const commands = {
  open({ client, url, options }) {
    // A manager each: otherwise clients of one address share a connection.
    const socket = io(url, { forceNew: true, ...options });
    clients.set(client, socket);
    socket.on("connect", () => told(client, "connect", [socket.io.engine.transport.name]));
    socket.on("disconnect", (reason) => told(client, "disconnect", [reason]));
    socket.on("connect_error", (error) => told(client, "connect_error", [error.message]));
    socket.io.on("reconnect", () => told(client, "reconnect", []));
    socket.io.on("open", () => {
      socket.io.engine.on("upgrade", (transport) => told(client, "upgrade", [transport.name]));
    });
    socket.onAny((event, ...args) => told(client, event, args));
  },
  emit({ client, event, args }) {
    clients.get(client).emit(event, ...args);
  },
  ask({ client, event, args }) {
    clients.get(client).emit(event, ...args, (...answer) => told(client, "ack", answer));
  },
  binary({ client, event, size }) {
    clients.get(client).emit(event, { message: Buffer.alloc(size) });
  },
  connect({ client }) {
    clients.get(client).connect();
  },
  close({ client }) {
    clients.get(client).disconnect();
  },
  // The connection breaks, and nobody says goodbye.
  break({ client }) {
    const { transport } = clients.get(client).io.engine;
    transport.ws.terminate();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...fields } = JSON.parse(line);
  commands[command](fields);
}
// Whoever tried to connect and was told to stop would keep us for the 20 s that it may take.
process.exit();

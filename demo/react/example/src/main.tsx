// Who one is, and where the daemon is:
//   ?user=1          as user 1, of a daemon without authentication (`messenger demo`)
//   ?token=eyJ…      as whom the token says
//   ?token=/token    the same; the token is fetched there, and another one whenever one is wanted
//   &server=http://127.0.0.1:8000/   elsewhere than this page; that daemon has to name our origin in MESSENGER_ALLOWED_ORIGINS
// An address is no place for a token but on a developer's machine: yours comes from your own server, where `getToken` asks.

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { MessengerProvider } from "messenger-react";
import { App } from "./App";
import "./app.css";

const query = new URLSearchParams(location.search);
const token = query.get("token");
const user = query.get("user") ?? (token && "me");
const as = (id: number) => `?${new URLSearchParams({ ...Object.fromEntries(query), user: `${id}` })}`;

const page = user ? (
  <MessengerProvider
    url={query.get("server") ?? undefined}
    userId={user}
    getToken={token ? async () => (token.includes("/") ? (await fetch(token)).text() : token) : undefined}
  >
    <App />
  </MessengerProvider>
) : (
  <main className="who">
    <h1>Who are you?</h1>
    {[1, 2, 3, 4].map((id) => (
      <a key={id} href={as(id)}>{`User ${id}`}</a>
    ))}
  </main>
);

createRoot(document.getElementById("root")!).render(<StrictMode>{page}</StrictMode>);

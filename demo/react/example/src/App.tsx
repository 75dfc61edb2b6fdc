// A chat in a page: whom one talks to on the left, the open conversation on the right.

import { useState } from "react";
import { useMessenger, useUnreadTotal } from "messenger-react";
import { ConversationList } from "./ConversationList";
import { Nothing, Pane } from "./Pane";

const WORDS = {
  idle: "Offline",
  connecting: "Connecting…",
  online: "Online",
  waiting: "Reconnecting…",
  stopped: "Stopped",
};

export function App() {
  const [open, setOpen] = useState<string | null>(null);
  return (
    <div className="app">
      <aside>
        <Me />
        <ConversationList open={open} onOpen={setOpen} />
      </aside>
      {open === null ? <Nothing words="Choose a conversation" /> : <Pane key={open} id={open} />}
    </div>
  );
}

function Me() {
  const { me, status } = useMessenger();
  const unread = useUnreadTotal();
  return (
    <header>
      <title>{unread > 0 ? `(${unread}) messenger` : "messenger"}</title>
      <strong>{me?.name}</strong>
      <span data-testid="connection" data-status={status.state} role="status">
        {WORDS[status.state]}
        {status.state === "stopped" && `: ${status.reason}`}
      </span>
    </header>
  );
}

// The open conversation. With a selector a part is drawn anew only when what it takes is something else.

import { memo, useEffect, useRef, useState, type FormEvent } from "react";
import { useConversation, type ConversationActions, type Row } from "messenger-react";
import { Face } from "./ConversationList";
import { Attach, FileButton } from "./Files";

type In = { id: string };

export const Nothing = ({ words }: { words: string }) => (
  <main>
    <h1 className="nothing">{words}</h1>
  </main>
);

export function Pane({ id }: In) {
  const isGone = useConversation(id, ({ status }) => status === "gone");
  if (isGone) return <Nothing words="This conversation is not there any more" />;
  return (
    <main>
      <Head id={id} />
      <Messages id={id} />
      <Typing id={id} />
      <Composer id={id} />
    </main>
  );
}

function Head({ id }: In) {
  const { title, presence, peer, count } = useConversation(id);
  return (
    <header>
      <Face name={title} presence={presence} />
      <h1 data-testid="conversation-title">{title}</h1>
      {!peer && <span>{count} people</span>}
    </header>
  );
}

function Messages({ id }: In) {
  const scroller = useRef<HTMLDivElement>(null);
  const { messages, hasMore, loadOlder, markRead, retry, discard } = useConversation(id);

  // Read is what one looks at: the end of the history, in a window that shows.
  const look = () => {
    if (document.visibilityState === "visible" && scroller.current!.scrollTop > -40) markRead();
  };
  useEffect(() => {
    look();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [messages]);

  return (
    <div
      className="scroller"
      data-testid="pane"
      ref={scroller}
      onScroll={look}
      tabIndex={0}
      role="log"
      aria-label="Messages"
    >
      <div>
        {hasMore && (
          <button className="older" data-testid="load-older" onClick={loadOlder}>
            Load older messages
          </button>
        )}
        {messages.map((row, at) => (
          <Message
            key={row.key}
            row={row}
            isFirst={row.sender_id !== messages[at - 1]?.sender_id}
            retry={retry}
            discard={discard}
          />
        ))}
      </div>
    </div>
  );
}

type MessageProps = Pick<ConversationActions, "retry" | "discard"> & { row: Row; isFirst: boolean };

const Message = memo(({ row, isFirst, retry, discard }: MessageProps) => {
  const { key, id, own, state, readBy, error, sender, content, edited_at } = row;
  if (row.message_type === "system")
    return (
      <p className="system" data-testid="message" data-type="system">
        {content}
      </p>
    );
  const told = state !== "sent" ? state : readBy === "all" ? "read" : readBy === "some" ? "read by some" : "sent";
  return (
    <article
      className={own ? `message own ${state}` : "message"}
      data-testid="message"
      data-message-id={id}
      data-seq={row.seq}
      data-state={state}
      data-own={own || undefined}
      data-read={readBy}
    >
      {isFirst && !own && <strong>{sender.name}</strong>}
      <p data-testid="message-content" dir="auto">
        {content ?? <em>This message was deleted</em>}
      </p>
      {row.attachments.map((file, at) => (
        <FileButton key={at} file={file} />
      ))}
      <small>
        {new Date(row.created_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}
        {edited_at && " · edited"}
        {own && ` · ${told}`}
      </small>
      {state === "failed" && (
        <div className="failure" role="alert">
          <span data-testid="message-error">Not sent. {error?.message}</span>
          <button data-testid="message-retry" onClick={() => retry(key)}>
            Try again
          </button>
          <button data-testid="message-discard" onClick={() => discard(key)}>
            Discard
          </button>
        </div>
      )}
    </article>
  );
});

function Typing({ id }: In) {
  const names = useConversation(id, ({ typing }) => typing.map(({ name }) => name));
  return (
    <p className="typing" data-testid="typing" aria-live="polite" hidden={names.length === 0}>
      {names.join(", ")} {names.length === 1 ? "is" : "are"} typing…
    </p>
  );
}

function Composer({ id }: In) {
  const { send, notifyTyping, writable } = useConversation(id);
  const [text, setText] = useState("");
  const write = (next: string) => {
    setText(next);
    notifyTyping(next);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim()) send(text.trim());
    write("");
  };
  return (
    <form onSubmit={submit}>
      <Attach id={id} />
      <input
        data-testid="composer"
        aria-label="Message"
        placeholder="Write a message"
        autoComplete="off"
        autoFocus
        disabled={!writable}
        value={text}
        onChange={(event) => write(event.target.value)}
      />
      <button data-testid="send" disabled={!text.trim()}>
        Send
      </button>
    </form>
  );
}

import { memo } from "react";
import { useConversations, type ConversationSummary, type Presence } from "messenger-react";

interface ListProps {
  open: string | null;
  onOpen(id: string): void;
}

export function ConversationList({ open, onOpen }: ListProps) {
  const conversations = useConversations();
  return (
    <nav aria-label="Conversations">
      {conversations.map((each) => (
        <Item key={each.id} conversation={each} isOpen={each.id === open} onOpen={onOpen} />
      ))}
    </nav>
  );
}

type ItemProps = { conversation: ConversationSummary; isOpen: boolean; onOpen(id: string): void };

// What did not change is the same object, so that a message in one conversation draws one item anew.
const Item = memo(({ conversation, isOpen, onOpen }: ItemProps) => {
  const { id, title, unread, presence, lastMessage } = conversation;
  return (
    <button
      className="item"
      data-testid="conversation"
      data-conversation-id={id}
      aria-current={isOpen}
      onClick={() => onOpen(id)}
    >
      <Face name={title} presence={presence} />
      <span className="words">
        <strong>{title}</strong>
        <span>
          {lastMessage?.own && "You: "}
          {lastMessage ? (lastMessage.content ?? "Deleted message") : "No messages yet"}
        </span>
      </span>
      {unread > 0 && (
        <span className="badge" data-testid="unread">
          {unread} <span className="unseen">unread</span>
        </span>
      )}
    </button>
  );
});

/** `presence` of a direct conversation's other one. */
export function Face({ name, presence }: { name: string; presence: Presence | null }) {
  return (
    <span className="face">
      <span aria-hidden="true">{[...name][0]}</span>
      {presence && (
        <i
          data-testid="presence"
          data-online={presence.online}
          role="img"
          aria-label={presence.online ? "online" : "away"}
        />
      )}
    </span>
  );
}

// What applications import.

export { MessengerProvider, type ClientOptions, type MessengerProviderProps } from "./provider.js";
export {
  useConversation,
  useConversations,
  useMessenger,
  usePresence,
  useUnreadTotal,
  type ConversationActions,
  type Messenger,
  type OpenConversation,
} from "./hooks.js";
export * from "./client.js";

// The client alone, for those who have no React; with the types of what it hands out.

export { MessengerClient, RequestError } from "../../client/index.js";
export type * from "../../client/types.js";

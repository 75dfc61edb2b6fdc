// What applications import.

export { MessengerClient } from "./client.js";
export { RequestError } from "./requests.js";

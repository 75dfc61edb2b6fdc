// Who we are to the server, on the socket and in REST calls. A token stays in this tab, and goes with it.

const TOKEN = "messenger.token";
const DEVICE = "messenger.device";

export const forgetToken = () => sessionStorage.removeItem(TOKEN);

/** Authentication is off: we are whom the address says. */
export class OpenIdentity {
  #user;

  constructor(user) {
    this.#user = user;
  }

  getToken = async () => null;
  address = () => ({ url: socketAddress(this.#user), protocols: ["messenger.v1"] });
  headers = () => ({ "X-User-Id": this.#user });
}

/** We are whom the token says; it is asked for, and asked for again when the server refuses it. */
export class TokenIdentity {
  #user;
  #ask;

  /** `ask(refusal)` resolves with a token from the person at the page. */
  constructor(user, ask) {
    this.#user = user ?? "me";
    this.#ask = ask;
  }

  getToken = async (refusal) => {
    const held = refusal === null ? sessionStorage.getItem(TOKEN) : null;
    const token = held ?? (await this.#ask(refusal));
    sessionStorage.setItem(TOKEN, token);
    return token;
  };

  address = (token) => ({ url: socketAddress(this.#user), protocols: ["messenger.v1", `bearer.${token}`] });
  headers = () => ({ Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}` });
}

/** The device keeps its name as long as the tab lives. */
function socketAddress(user) {
  let device = sessionStorage.getItem(DEVICE);
  if (device === null) {
    device = `web-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
    sessionStorage.setItem(DEVICE, device);
  }
  const url = new URL(`ws/${encodeURIComponent(user)}`, document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams({ device });
  url.hash = "";
  return url.href;
}

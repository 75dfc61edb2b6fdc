// A page for React to draw into. Sockets and requests stay Node's own. To be imported before anything of React's.

import { Window } from "happy-dom";

const window = new Window({ url: "http://localhost/" });
const { document, MutationObserver, Node, HTMLElement, HTMLIFrameElement } = window;
Object.assign(globalThis, { window, document, MutationObserver, Node, HTMLElement, HTMLIFrameElement });
// Later Nodes have one of their own.
Object.defineProperty(globalThis, "navigator", { value: window.navigator, configurable: true });

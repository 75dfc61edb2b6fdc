// The developer's panel: what the connection is, a switch that cuts it, what a coming back did, and the frames as they pass.

import { byId, fill, h, icon, write } from "./dom.js";
import { Frames } from "./frames.js";
import { Resume } from "./resume.js";
import { say } from "./words.js";

const FACTS = ["state", "connection", "device", "tab", "epoch", "heartbeat", "trip", "cursors"];
const PING_MS = 10_000;
const MOST_CURSORS = 50;

export class Developer {
  #client;
  #root = byId("frames");
  #toggle = byId("frames-toggle");
  #count = h("span", { class: "frames-count" });
  #frames = new Frames(this.#count);
  #resume = new Resume();
  #user;
  #hello = null;
  #tab = "";
  // The state in which the tab's part was asked for last.
  #asked = null;
  #trip = null;
  #facts = new Map(FACTS.map((name) => [name, h("dd")]));
  #cursors = h("ol", { class: "cursors" });
  #unfolded = h(
    "details",
    { class: "facts", "data-testid": "connection-facts" },
    h("summary", {}, say("dev.connection")),
    h(
      "dl",
      {},
      FACTS.map((name) => [h("dt", {}, say(`dev.fact.${name}`)), this.#facts.get(name)]),
    ),
    this.#cursors,
  );
  #cut;
  #summary = h("div", { class: "resume", "data-testid": "resume-summary", role: "status", hidden: true });
  /** It is about to be shown. */
  onopen = () => {};

  /** `user`: whose tabs share a socket; null where none do. */
  constructor(client, user) {
    this.#client = client;
    this.#user = user;
    fill(this.#toggle, icon("frames"), h("span", {}, say("dev.title")), this.#count);
    this.#toggle.addEventListener("click", () => this.open(this.#root.hidden));
    this.#cut = h(
      "button",
      { class: "switch", type: "button", role: "switch", "data-testid": "network-cut", onclick: () => this.#turn() },
      h("span", { class: "switch-words" }, h("strong", {}, say("dev.cut")), h("span", {}, say("dev.cutHint"))),
      h("span", { class: "switch-knob", "aria-hidden": "true" }),
    );
    const close = say("dev.close");
    fill(
      this.#root,
      h(
        "header",
        { class: "panel-head" },
        h("h2", { class: "panel-title" }, say("dev.title")),
        h(
          "button",
          {
            class: "icon-button",
            type: "button",
            "data-testid": "frames-close",
            "aria-label": close,
            title: close,
            onclick: () => this.open(false),
          },
          icon("close"),
        ),
      ),
      h("div", { class: "dev-top" }, this.#cut, this.#summary, this.#unfolded),
      this.#frames.element,
    );
    this.#root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) this.open(false);
    });
    client.on("wire", (direction, frame) => this.#passed(direction, frame));
    this.#unfolded.addEventListener("toggle", () => this.#measure());
    setInterval(() => this.#measure(), PING_MS);
  }

  open(open) {
    if (open) this.onopen();
    const within = this.#root.contains(document.activeElement);
    this.#root.hidden = !open;
    this.#toggle.setAttribute("aria-expanded", String(open));
    document.documentElement.classList.toggle("with-frames", open);
    this.#frames.show(open);
    if (open) this.render();
    else if (within) this.#toggle.focus();
  }

  /** The connection's state is another one, or cursors moved. */
  render() {
    const { status } = this.#client;
    if (status.state !== "online") this.#resume.gone(Date.now());
    if (this.#root.hidden) return;
    const isCut = status.reason === "suspended";
    this.#cut.setAttribute("aria-checked", String(isCut));
    const hello = this.#hello ?? {};
    const cursors = Object.entries(this.#client.cursors);
    const facts = {
      state: [status.state, status.reason].filter(Boolean).join(" · "),
      connection: hello.connection_id,
      device: hello.device_id,
      tab: this.#tab,
      epoch: hello.epoch,
      heartbeat: hello.heartbeat_s && say("dev.seconds", { count: hello.heartbeat_s }),
      trip: this.#trip !== null && `${this.#trip.toFixed(1)} ms`,
      cursors: String(cursors.length),
    };
    for (const [name, element] of this.#facts) write(element, facts[name] || "–");
    const titles = new Map(this.#client.conversations().map(({ id, title }) => [id, title]));
    const shown = cursors.slice(0, MOST_CURSORS).map(([id, cursor]) => `${titles.get(id) ?? id}\u0000${cursor}`);
    if (this.#cursors.dataset.look !== shown.join()) {
      this.#cursors.dataset.look = shown.join();
      fill(
        this.#cursors,
        shown.map((entry) => {
          const [title, cursor] = entry.split("\u0000");
          return h("li", {}, h("bdi", {}, title), h("span", {}, cursor));
        }),
      );
    }
    this.#renderResume();
    if (this.#asked !== facts.state) this.#askTab();
    this.#asked = facts.state;
  }

  #turn() {
    if (this.#client.status.reason === "suspended") this.#client.resume();
    else this.#client.suspend();
    this.render();
  }

  #passed(direction, frame) {
    if (direction === "in" && frame.type === "system" && frame.event === "connected") this.#hello = frame;
    this.#frames.record(direction, frame);
    if (this.#resume.take(direction, frame, Date.now())) this.render();
  }

  // How long a frame takes there and back, and who leads: only while somebody looks.
  async #measure() {
    if (this.#root.hidden || !this.#unfolded.open || document.hidden || this.#client.status.state !== "online") return;
    this.#askTab();
    const asked = performance.now();
    try {
      await this.#client.request({ type: "ping" });
    } catch {
      return;
    }
    this.#trip = performance.now() - asked;
    this.render();
  }

  // With one socket for many tabs: whether this one holds it. The locks of the browser tell (client/tabs.js), to whoever knows by
  // one of his own who he is to them.
  async #askTab() {
    const { locks } = navigator;
    if (locks === undefined || this.#user === null) return;
    const own = `messenger.self.${crypto.randomUUID()}`;
    const { held } = await locks.request(own, () => locks.query());
    const client = held.find(({ name }) => name === own)?.clientId;
    const leader = held.find(({ name }) => name.endsWith(`/ws/${this.#user}`))?.clientId;
    this.#tab = leader === undefined ? "" : say(leader === client ? "dev.tab.leader" : "dev.tab.follower");
    write(this.#facts.get("tab"), this.#tab || "–");
  }

  #renderResume() {
    const { latest } = this.#resume;
    this.#summary.hidden = latest === null;
    if (latest === null) return;
    const { awayMs, cursors, asked, answered, changes, conversations, resets, sent, acknowledged, duplicates } = latest;
    const named = Object.keys(cursors).length;
    const steps = [
      [true, say("resume.away", { seconds: (awayMs / 1000).toFixed(1) })],
      asked > 0 && [answered >= asked, say("resume.asked", { count: named })],
      answered > 0 && [
        true,
        changes === 0 ? say("resume.nothing") : say("resume.changes", { count: changes, conversations }),
      ],
      resets > 0 && [true, say("resume.resets", { count: resets })],
      sent > 0 && [
        acknowledged === sent,
        say(acknowledged === sent ? "resume.sent" : "resume.sending", { count: sent, acknowledged }),
      ],
      duplicates > 0 && [true, say("resume.duplicates", { count: duplicates })],
    ].filter(Boolean);
    const look = JSON.stringify(steps);
    if (this.#summary.dataset.look === look) return;
    this.#summary.dataset.look = look;
    fill(
      this.#summary,
      h("h3", { class: "resume-title" }, say("resume.title")),
      h(
        "ol",
        { class: "resume-steps" },
        steps.map(([isDone, words]) => h("li", { class: isDone ? "done" : "underway" }, words)),
      ),
    );
  }
}

// A live session: a class or a talk, with questions and a presenter's slide. The dialect's frames are spoken here by hand.
//
// It has no history: one sees what is said from when one came. What this tab has heard is kept with it, for a reload.

import { systemClock } from "./client/clock.js";
import { Typing } from "./client/typing.js";
import { avatar } from "./avatar.js";
import { enter, offerToGo } from "./door.js";
import { byId, fill, h, icon, write } from "./dom.js";
import { address, call, furnish, keep, kept, offer, showOver, showRoom, showStatus, unfold } from "./page.js";
import { Reconnecting } from "./reconnecting.js";
import { giveUp, seatHeld, take, wayIn } from "./seat.js";
import { Talk } from "./talk.js";
import { refused, say } from "./words.js";

const HEARD = "messenger.heard";
const MOST_KEPT = 200;
const MOST_CHARS = 500;
// A newcomer knows nobody's name. Where more people than this are here, they do not all tell him at once.
const MOST_CHATTY = 25;
const NAMING_MS = 1_000;
// Of those who are here.
const MOST_LISTED = 50;

furnish("ways.session");
attend(seatHeld() ?? (await enterAnew()));

async function enterAnew() {
  const seat = await enter({ title: "ways.session", lead: "live.lead" });
  take(seat);
  return seat;
}

function attend(me) {
  const { code, isHost } = me;
  // id → {nickname, isHere, isNew, isGuest}; without a nickname until one is told.
  const people = new Map([[me.id, { nickname: me.nickname, isHere: true }]]);
  // What was said: as it was heard, with `answered` where a question was.
  const last = kept(HEARD);
  const heard = last?.code === code ? last.messages : [];
  const keepHeard = () => keep(HEARD, { code, messages: heard });
  // What the presenter shows, and how often it was told.
  let state = {};
  let changes = 0;
  // Ours, while it is on its way.
  let showing = null;
  let naming = null;

  showRoom(me.title);
  write(
    byId("subtitle"),
    isHost ? say("live.asHost", { name: me.nickname }) : say("live.asGuest", { name: me.nickname }),
  );
  write(byId("code"), code);
  offer(byId("link"), byId("copy"), byId("copied"), wayIn(me));
  unfold(byId("side"));
  for (const element of document.querySelectorAll("[data-of=host]")) element.hidden = !isHost;
  byId("leave").hidden = isHost;

  const talk = new Talk({
    most: MOST_CHARS,
    asks: true,
    onsend: (content, kind) => {
      typing.ended(code);
      return line.send({ type: kind === "question" ? "question" : "chat_message", content });
    },
    ontyped: (content) => typing.typed(code, content),
  });
  const typing = new Typing(
    ({ type }) => line.send({ type: "typing", is_typing: type === "typing.start" }),
    systemClock,
    { tell: () => talk.typing(typing.in(code).map((id) => people.get(id)?.nickname ?? say("live.somebody"))) },
  );
  const line = new Reconnecting(address(`ws/${code}/${me.id}`), me.as.token, {
    onopen: async (again) => {
      if (again) talk.note(say("live.missed"));
      line.send({ type: "participant_update" });
      const before = changes;
      try {
        const [status, shown] = await Promise.all([
          call(null, "GET", `sessions/${code}/status`),
          call(me.as, "GET", `sessions/${code}/state`),
        ]);
        // Hosts are not told of there: they stay.
        for (const [id, person] of people) if (person.isGuest && id !== me.id) person.isHere = false;
        for (const id of status.online_participants) isHere(id).isGuest = true;
        // Older than what we were told meanwhile.
        if (changes === before) state = shown;
        renderPeople();
        renderSlide();
      } catch (error) {
        talk.trouble(refused(error));
      }
    },
    onframe: (frame) => HEAR[frame.type]?.(frame),
    onstatus: (status) => {
      showStatus(status);
      if (status === "waiting") talk.giveBack();
    },
    onend: (closeCode, reason) => {
      giveUp();
      talk.close();
      for (const element of document.querySelectorAll("[data-of=host], #leave")) element.hidden = true;
      showOver(closeCode === 1000 ? say("live.closed") : say("live.refused", { reason }));
    },
  });

  const HEAR = {
    chat_message: said,
    question: said,
    "question.answered": ({ message_id, participant_nickname }) => {
      const question = heard.find((message) => message.id === message_id);
      if (question === undefined) return;
      question.answered = participant_nickname;
      keepHeard();
      renderQuestions();
    },
    typing: ({ participant_id, participant_nickname, is_typing }) => {
      isHere(participant_id, participant_nickname);
      typing.heard(code, participant_id, is_typing);
    },
    participant_update: ({ participant_id, participant_nickname, is_online }) => {
      if (is_online) isHere(participant_id, participant_nickname);
      renderPeople();
    },
    participant_joined: ({ participant_id }) => {
      const person = isHere(participant_id);
      person.isNew = true;
      greet(person);
      renderPeople();
      introduce();
    },
    participant_left: ({ participant_id }) => {
      const person = isHere(participant_id);
      person.isHere = false;
      if (person.nickname) talk.note(say("entry.left", { name: person.nickname }));
      typing.heard(code, participant_id, false);
      renderPeople();
    },
    state_update: ({ state: shown }) => {
      changes += 1;
      // Our own, on its way there and back: it is shown already.
      if (showing !== null) return;
      state = shown;
      renderSlide();
    },
    error: ({ message }) => talk.trouble(message),
  };

  for (const message of heard) talk.add(shown(message));
  if (heard.length === 0) talk.note(say("live.begins"));
  renderQuestions();
  renderPeople();
  renderSlide();
  talk.focus();

  fill(byId("slide-back"), icon("minus"));
  fill(byId("slide-next"), icon("plus"));
  byId("slide-back").onclick = () => show(Math.max(1, (state.slide ?? 1) - 1));
  byId("slide-next").onclick = () => show((state.slide ?? 0) + 1);
  offerToGo(
    me,
    () => line.end(),
    (words) => talk.trouble(words),
  );

  function said({ type, message_id, content, participant_id, participant_nickname, timestamp }) {
    isHere(participant_id, participant_nickname);
    typing.heard(code, participant_id, false);
    const message = {
      id: message_id,
      by: participant_id,
      nickname: participant_nickname,
      content,
      kind: type === "question" ? "question" : "text",
      at: timestamp,
      answered: null,
    };
    heard.push(message);
    heard.splice(0, heard.length - MOST_KEPT);
    keepHeard();
    talk.add(shown(message));
    if (message.kind === "question") renderQuestions();
  }

  function shown({ id, by, nickname, content, kind, at }) {
    return { id, nickname, own: by === me.id, content, kind, at: new Date(at) };
  }

  function isHere(id, nickname = null) {
    const person = people.get(id) ?? { nickname: null, isHere: true, isNew: false, isGuest: false };
    person.isHere = true;
    person.nickname = nickname ?? person.nickname;
    people.set(id, person);
    greet(person);
    return person;
  }

  // Once it is known what he is called.
  function greet(person) {
    if (!person.isNew || person.nickname === null) return;
    person.isNew = false;
    talk.note(say("entry.joined", { name: person.nickname }));
    renderPeople();
  }

  function introduce() {
    if (naming !== null || [...people.values()].filter((person) => person.isHere).length > MOST_CHATTY) return;
    naming = setTimeout(() => {
      naming = null;
      line.send({ type: "participant_update" });
    }, Math.random() * NAMING_MS);
  }

  // One after the other, and of those that wait the last one only.
  async function show(slide) {
    state = { ...state, slide };
    changes += 1;
    renderSlide();
    if (showing !== null) return;
    try {
      while (showing !== state) {
        showing = state;
        await call(me.as, "PUT", `sessions/${code}/state`, state);
      }
    } catch (error) {
      talk.trouble(refused(error));
    } finally {
      showing = null;
    }
  }

  function renderSlide() {
    const { slide } = state;
    write(byId("slide"), slide === undefined ? "" : String(slide));
    write(byId("slide-words"), slide === undefined ? say("live.noSlide") : say("live.slideNow", { number: slide }));
    byId("slide-shown").dataset.isSet = String(slide !== undefined);
    byId("slide-back").disabled = !(slide > 1);
  }

  function renderPeople() {
    const here = [...people].filter(([, person]) => person.isHere);
    const named = here.filter(([, { nickname }]) => nickname !== null).slice(0, MOST_LISTED);
    const others = here.length - named.length;
    write(byId("people-count"), String(here.length));
    fill(
      byId("people"),
      named.map(([id, { nickname }]) =>
        h(
          "li",
          { class: "attendee", "data-testid": "person" },
          avatar(nickname, nickname, { small: true }),
          h("bdi", { class: "attendee-name" }, id === me.id ? say("live.you", { name: nickname }) : nickname),
        ),
      ),
      others > 0 && h("li", { class: "hint", "data-testid": "others" }, say("live.others", { count: others })),
    );
  }

  function renderQuestions() {
    const questions = heard.filter(({ kind }) => kind === "question");
    const open = questions.filter(({ answered }) => answered === null);
    write(byId("questions-count"), say("live.open", { count: open.length }));
    byId("no-questions").hidden = questions.length > 0;
    fill(
      byId("questions"),
      [...open, ...questions.filter(({ answered }) => answered !== null)].map(({ id, nickname, content, answered }) =>
        h(
          "li",
          { class: "question", "data-testid": "question", "data-answered": String(answered !== null) },
          h("bdi", { class: "question-by" }, nickname),
          h("p", { class: "question-words", dir: "auto" }, content),
          answered !== null && h("p", { class: "answered" }, icon("check"), say("live.answered")),
          answered === null &&
            isHost &&
            h(
              "button",
              {
                class: "pill",
                type: "button",
                "data-testid": "mark",
                onclick: () => line.send({ type: "question.answered", message_id: id }),
              },
              say("live.mark"),
            ),
        ),
      ),
    );
  }
}

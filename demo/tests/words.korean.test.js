// The page's words for somebody whose browser speaks Korean.

import { beforeAll, expect, test, vi } from "vitest";

let words;

beforeAll(async () => {
  vi.stubGlobal("navigator", { languages: ["ko-KR", "en-US"] });
  words = await import("../words.js");
});

test("the browser's language is the page's", () => {
  expect([words.language, words.locale, words.say("dialog.cancel")]).toEqual(["ko", "ko-KR", "취소"]);
});

test.each([
  ["등산", "제목을 ‘등산’으로"],
  ["서울", "제목을 ‘서울’로"],
  ["회의", "제목을 ‘회의’로"],
  ["모임 2", "제목을 ‘모임 2’로"],
  ["모임 3", "제목을 ‘모임 3’으로"],
  ["모임 8", "제목을 ‘모임 8’로"],
  ["산책!", "제목을 ‘산책!’으로"],
  ["Hike", "제목을 ‘Hike’(으)로"],
])("behind %s stands the particle that fits its end", (title, expected) => {
  expect(words.say("entry.titled", { actor: "민준", title })).toBe(`민준님이 ${expected} 바꿨어요`);
});

test("a system entry is told in Korean, whatever the server's words are", () => {
  const metadata = { event: "participant.removed", user_id: 2, name: "Ben", role: "member", by: 1 };
  expect(words.systemWords({ content: "Ann removed Ben", metadata }, () => "Ann")).toBe("Ann님이 Ben님을 내보냈어요");
  expect(words.systemWords({ content: "Someone was renamed", metadata: {} }, () => "Ann")).toBe("Someone was renamed");
});

test("what is unread is counted", () => {
  expect(words.say("list.unread", { count: 2 })).toBe("2개 안 읽음");
  expect(words.say("list.unread", { count: "99+" })).toBe("99+개 안 읽음");
});

test("names in a row", () => {
  const others = ["민준", "서연", "지우", "하준"].map(words.honoured);
  expect(words.enumerate(others)).toBe("민준님, 서연님 외 2명");
  expect(words.enumerate([words.say("names.you"), ...others.slice(0, 1)])).toBe("나, 민준님");
  expect(words.enumerate(others.slice(0, 1))).toBe("민준님");
});

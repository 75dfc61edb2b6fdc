// What people type into a search field, and the names that answer to it.

import { expect, test } from "vitest";
import { matcher } from "../match.js";

test.each([
  ["", "Bob", true],
  ["  ", "Bob", true],
  ["bo", "Bob", true],
  ["ALI", "Álice Liddell", true],
  ["lid ali", "Alice Liddell", true],
  ["alibob", "Alice, Bob", false],
  ["x", "Bob", false],
  ["호수", "가을 호수 산책", true],
  ["ㅎㅅ", "가을 호수 산책", true],
  ["ㅅㅊ ㄱㅇ", "가을 호수 산책", true],
  ["ㅎㅅ", "서울", false],
  ["ㅅㅎ", "가을 호수", false],
  ["ㄲㄱ", "깎기", true],
  ["ㅎ", "hike", false],
  ["*", "a+b", false],
  ["a+", "a+b", true],
])("%j typed, %j called: %s", (typed, name, answers) => {
  expect(matcher(typed)(name)).toBe(answers);
});

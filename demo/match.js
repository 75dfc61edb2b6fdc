// Whether a name answers to what somebody types into a search field. Pure.

const SYLLABLES = 0xac00;
const LAST_SYLLABLE = 0xd7a3;
// Syllables that begin with the same consonant stand together.
const EACH_INITIAL = 588;
const INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ";

/** Small letters without accents; what looks alike is alike. */
const plain = (text) =>
  text
    .normalize("NFKD")
    .replace(/\p{Mn}/gu, "")
    .normalize("NFC")
    .toLowerCase();

/** Korean by first consonants: 호수 as ㅎㅅ. Other characters stay. */
const initials = (text) =>
  [...text]
    .map((character) => {
      const code = character.charCodeAt(0);
      if (code < SYLLABLES || code > LAST_SYLLABLE) return character;
      return INITIALS[Math.floor((code - SYLLABLES) / EACH_INITIAL)];
    })
    .join("");

/** A test for names: each word typed has to be in the name, as it is or, where it is of consonants only, as initials. */
export function matcher(typed) {
  const words = plain(typed)
    .split(/\s+/u)
    .filter(Boolean)
    // Conjoining consonants, which NFKD makes of typed ones, back to those on the keyboard.
    .map((word) => word.replace(/[\u1100-\u1112]/g, (jamo) => INITIALS[jamo.charCodeAt(0) - 0x1100]));
  const ofInitials = words.map((word) => [...word].every((character) => INITIALS.includes(character)));
  return (name) => {
    const whole = plain(name);
    return words.every((word, index) => whole.includes(word) || (ofInitials[index] && initials(whole).includes(word)));
  };
}

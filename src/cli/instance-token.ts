/** How hard an admin token is to guess. */

const CHARACTERS_MIN = 32;
/** Of 32 random hexadecimal digits, fewer than so many different ones are practically never seen. */
const DIFFERENT_MIN = 8;

/** Pure. Why it is too easy, without telling anything of it; `null`: it is not. */
export function whyWeak(token: string): string | null {
  if (token === "") return "there is none: nobody can switch over TCP";
  if (token.length < CHARACTERS_MIN) {
    return `it has ${token.length} characters, at least ${CHARACTERS_MIN} are needed`;
  }
  if (new Set(token).size < DIFFERENT_MIN) return "it repeats the same few characters";
  return null;
}

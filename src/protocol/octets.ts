/** Octets and text of one character for each of them (ISO 8859-1): names in protocols, whose bytes need not be UTF-8. */

/** The octets from `start` to `end`, each a character from U+0000 to U+00FF. For names: it goes character by character. */
export function octetText(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at]!);
  return text;
}

/** The octets of a text that {@link octetText} made, or of ASCII. */
export function octets(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** Whether what there is from `at` on, up to the length of `wanted`, begins it or is it: false as soon as an octet differs. */
export function agrees(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  const end = Math.min(bytes.length - at, wanted.length);
  for (let index = 0; index < end; index++) if (bytes[at + index] !== wanted[index]) return false;
  return true;
}

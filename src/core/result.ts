/** What parsing text gives: the value, or a phrase saying what was wanted ("a duration such as …"), ready for a message. */
export type Parsed<T> = { ok: true; value: T } | { ok: false; wanted: string };

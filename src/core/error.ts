/** Errors that reach an operator: a stable code, whose doing it was, and the cause. */

/** Whose doing it was. */
export type ErrorSource = "client" | "backend" | "config" | "system" | "internal";

/** Stable words for scripts and tests; the message is for people and may change. */
export type ErrorCode =
  /** A listener, or the admin server, can't be bound. */
  | "listen_failed"
  /** Certificates or keys can't be used. */
  | "tls_failed"
  /** `forwarding.engine = "splice"` can't work on this system. */
  | "splice_failed";

/** A failure that an operator can act on: its message is all that is shown of it. */
export class SluiceError extends Error {
  override readonly name = "SluiceError";
  readonly code: ErrorCode;
  readonly source: ErrorSource;

  /** `message` says the action, what was found and what was wanted, in one line. */
  constructor(code: ErrorCode, message: string, options: { source: ErrorSource; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.code = code;
    this.source = options.source;
  }
}

import { callSafely } from "./sync.js";

/**
 * Where the client logs what a person who runs the application should know: lost streams, trouble of the broker,
 * failing handlers (warnings); what is subscribed and assigned (information). `console` is one. No key, value or header
 * is ever logged.
 */
export interface Logger {
  /** Logs a text and what belongs to it. Nothing comes of what it returns or fails with. */
  info(text: string, fields: Readonly<Record<string, unknown>>): unknown;
  /** Logs a text and what belongs to it. Nothing comes of what it returns or fails with. */
  warn(text: string, fields: Readonly<Record<string, unknown>>): unknown;
}

/** Logs nothing. */
export const noLogger: Logger = {
  info: () => undefined,
  warn: () => undefined,
};

/** Makes a logger of one that may fail: what logging fails with is nobody's business here. */
export function guarded(logger: Logger): Logger {
  const log = (level: "info" | "warn") => (text: string, fields: Readonly<Record<string, unknown>>) => {
    void callSafely(
      () => logger[level](text, fields),
      () => undefined, // there is nowhere else to tell it
    );
  };
  return { info: log("info"), warn: log("warn") };
}

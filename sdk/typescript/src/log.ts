/**
 * Where the client logs what a person who runs the application should know: lost streams, trouble of the broker,
 * failing handlers (warnings); what is subscribed and assigned (information). `console` is one. No key, value or header
 * is ever logged.
 */
export interface Logger {
  /** Logs a text and what belongs to it. */
  info(text: string, fields: Readonly<Record<string, unknown>>): void;
  /** Logs a text and what belongs to it. */
  warn(text: string, fields: Readonly<Record<string, unknown>>): void;
}

/** Logs nothing. */
export const noLogger: Logger = {
  info: () => undefined,
  warn: () => undefined,
};

/** Makes a logger of one that may throw: what logging fails with is nobody's business here. */
export function guarded(logger: Logger): Logger {
  const log = (level: "info" | "warn") => (text: string, fields: Readonly<Record<string, unknown>>) => {
    try {
      logger[level](text, fields);
    } catch {
      // There is nowhere else to tell it.
    }
  };
  return { info: log("info"), warn: log("warn") };
}

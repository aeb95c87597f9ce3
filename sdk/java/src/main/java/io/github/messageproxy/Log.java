package io.github.messageproxy;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;

/** Writes to the application's logger. Should that fail, what it was told of goes on all the same. */
final class Log {
    private final Logger logger;

    Log(Logger logger) {
        this.logger = logger;
    }

    void log(Level level, String text) {
        log(level, text, null);
    }

    void warning(String text) {
        log(Level.WARNING, text, null);
    }

    void warning(String text, Throwable thrown) {
        log(Level.WARNING, text, thrown);
    }

    private void log(Level level, String text, Throwable thrown) {
        try {
            if (thrown == null) {
                logger.log(level, text);
            } else {
                logger.log(level, text, thrown);
            }
        } catch (Throwable e) {
            // There is nowhere to tell it.
        }
    }
}

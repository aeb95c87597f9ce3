package io.github.messageproxy;

import java.util.ResourceBundle;

/** Gives what is logged to a test, which may throw something. */
record TestLogger(java.util.function.Consumer<String> logged) implements System.Logger {
    @Override
    public String getName() {
        return "test";
    }

    @Override
    public boolean isLoggable(Level level) {
        return true;
    }

    @Override
    public void log(Level level, ResourceBundle bundle, String text, Throwable thrown) {
        logged.accept(text);
    }

    @Override
    public void log(Level level, ResourceBundle bundle, String text, Object... params) {
        logged.accept(text);
    }
}

package io.github.messageproxy.conformance;

import com.google.gson.JsonObject;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.text.MessageFormat;
import java.util.Locale;
import java.util.ResourceBundle;

/** A logger that writes the SDK's log to the driver's output. */
final class OutputLogger implements System.Logger {
    private final Output output;

    OutputLogger(Output output) {
        this.output = output;
    }

    @Override
    public String getName() {
        return "conformance";
    }

    @Override
    public boolean isLoggable(Level level) {
        return true;
    }

    @Override
    public void log(Level level, ResourceBundle bundle, String message, Throwable thrown) {
        StringWriter text = new StringWriter();
        text.write(message);
        if (thrown != null) {
            text.write('\n');
            thrown.printStackTrace(new PrintWriter(text, true));
        }
        write(level, text.toString());
    }

    @Override
    public void log(Level level, ResourceBundle bundle, String format, Object... params) {
        write(level, params == null || params.length == 0 ? format : MessageFormat.format(format, params));
    }

    private void write(Level level, String text) {
        JsonObject log = new JsonObject();
        log.addProperty("level", level.getName().toLowerCase(Locale.ROOT));
        log.addProperty("text", text);
        JsonObject line = new JsonObject();
        line.add("log", log);
        output.write(line);
    }
}

package io.github.messageproxy.conformance;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import io.github.messageproxy.ClosedException;
import io.github.messageproxy.HandlerException;
import io.github.messageproxy.HandlersRunningException;
import io.github.messageproxy.MessageProxyException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;

/** What the driver says: a JSON object a line. */
final class Output {
    /** What a failure handler of the suite fails with. */
    static final class FailureHandlerFailed extends Exception {
        private static final long serialVersionUID = 1;

        FailureHandlerFailed(String text) {
            super(text);
        }
    }

    private final Gson gson = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
    private final OutputStream out;

    Output(OutputStream out) {
        this.out = out;
    }

    void write(JsonObject line) {
        byte[] bytes = (gson.toJson(line) + "\n").getBytes(StandardCharsets.UTF_8);
        synchronized (this) { // one line after another
            try {
                out.write(bytes);
                out.flush();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    void ok(int id) {
        ok(id, new JsonObject());
    }

    void ok(int id, JsonObject ok) {
        JsonObject line = answer(id);
        line.add("ok", ok);
        write(line);
    }

    void failed(int id, Throwable error) {
        JsonObject line = answer(id);
        line.add("error", describe(error));
        write(line);
    }

    void unsupported(int id, String why) {
        JsonObject line = answer(id);
        line.addProperty("unsupported", why);
        write(line);
    }

    <T> void done(int id, CompletableFuture<T> future, Function<T, JsonObject> ok) {
        future.whenComplete((result, error) -> {
            if (error == null) {
                ok(id, ok.apply(result));
            } else {
                failed(id, error);
            }
        });
    }

    private static JsonObject answer(int id) {
        JsonObject line = new JsonObject();
        line.addProperty("id", id);
        return line;
    }

    /** Tells errors apart as an application does. */
    static JsonObject describe(Throwable thrown) {
        boolean wrapped = thrown instanceof CompletionException && thrown.getCause() != null;
        Throwable error = wrapped ? thrown.getCause() : thrown;
        JsonObject out = new JsonObject();
        String text = error.getMessage() == null ? error.toString() : error.getMessage();
        if (error instanceof MessageProxyException e) {
            out.addProperty("kind", "error");
            out.addProperty("code", e.codeNumber());
            out.addProperty("retryable", e.retryable());
            JsonArray ids = new JsonArray();
            e.messageIds().forEach(ids::add);
            out.add("message_ids", ids);
        } else if (error instanceof ClosedException) {
            out.addProperty("kind", "closed");
        } else if (error instanceof HandlersRunningException) {
            out.addProperty("kind", "handlers_running");
        } else if (error instanceof HandlerException e) {
            out.addProperty("kind", "handler");
            out.addProperty("attempts", e.attempts());
            out.addProperty("message_id", e.failedMessage().id());
            out.addProperty("cause", e.getCause().getMessage());
        } else if (error instanceof CancellationException || error instanceof TimeoutException) {
            out.addProperty("kind", "cancelled");
        } else if (error instanceof FailureHandlerFailed) {
            out.addProperty("kind", "failure_handler");
        } else {
            out.addProperty("kind", "other");
            text = error.toString();
        }
        out.addProperty("message", text);
        return out;
    }
}

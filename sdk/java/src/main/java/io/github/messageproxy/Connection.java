package io.github.messageproxy;

import io.grpc.Channel;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.concurrent.Executor;

/**
 * The connection that a producer or a consumer has to itself. A channel whose connection is lost is replaced when the
 * next stream is opened, so that gRPC's own back-off, which can't be configured, never comes in between: who opens
 * streams waits as the options say.
 */
final class Connection {
    /** What is opened on a connection. */
    interface Stream {
        void start(Channel channel);

        /** It has ended, or couldn't be started. */
        void onError(Throwable thrown);

        /** Cuts its call, if there is one: it couldn't be started, and no more comes of it. */
        void abandon(Throwable cause);
    }

    private final ClientConfig config;
    private final Executor executor;
    private ManagedChannel channel; // guarded by this
    private boolean closed; // guarded by this

    /** Makes the first channel, so that a target that gRPC doesn't take is known at once. */
    Connection(ClientConfig config, Executor executor) {
        this.config = config;
        this.executor = executor;
        this.channel = config.channel(executor);
    }

    /** Starts a stream; no other is open. Called without locks, as the stream may hear of its end at once. */
    void open(Stream stream) {
        try {
            stream.start(channel());
        } catch (Throwable e) { // an interceptor's, for example, which may have started the call before
            try {
                stream.onError(e);
            } finally {
                stream.abandon(e);
            }
        }
    }

    private synchronized ManagedChannel channel() {
        if (closed) {
            throw new StatusRuntimeException(Status.CANCELLED.withDescription("the connection is closed"));
        }
        ConnectivityState state = channel.getState(false);
        if (state != ConnectivityState.READY && state != ConnectivityState.IDLE) {
            channel.shutdownNow();
            channel = config.channel(executor);
        }
        return channel;
    }

    /** Cuts what goes on. */
    synchronized void close() {
        closed = true;
        channel.shutdownNow();
    }
}

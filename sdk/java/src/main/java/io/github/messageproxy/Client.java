package io.github.messageproxy;

import io.grpc.ChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/**
 * Produces and consumes messages. Make one per application with {@link #builder} and share it: all methods may be
 * called concurrently.
 */
public final class Client implements AutoCloseable {
    private final ClientConfig config;
    private final Threads threads = new Threads();
    private final Producer producer;
    private final Set<ConsumerImpl> consumers = new HashSet<>(); // guarded by itself
    private boolean closed; // guarded by consumers

    private Client(ClientConfig config) {
        this.config = config;
        this.producer = new Producer(config, threads);
    }

    /**
     * Begins a client of the message proxy at a target.
     *
     * @param target {@code host:port}, or any target that gRPC knows ({@code dns:///proxies.example.com:7070}). Where
     *     the name has several addresses, clients spread over them and move on when one fails.
     * @return a builder
     * @throws MessageProxyException with {@link Code#INVALID_ARGUMENT} if the target can never work
     */
    public static Builder builder(String target) {
        Target.check(target);
        return new Builder(new ClientConfig(target));
    }

    /**
     * Sends a message. The future completes when the broker has stored it, or with an error. It is {@link
     * #produce(OutgoingMessage, Duration)} without a timeout: while the proxy can't be reached, the future waits.
     *
     * @param message what to send
     * @return the outcome
     */
    public CompletableFuture<Receipt> produce(OutgoingMessage message) {
        return producer.produce(message, null);
    }

    /**
     * Sends a message. All calls share one stream and are batched: whatever gathers while a frame is being sent goes
     * out together, and a message alone goes at once. Messages of one thread are stored in the order of its calls in
     * each partition. The client never sends a message twice, except after the server has said that it was not stored.
     *
     * <p>The call doesn't block. While as much is outstanding as {@link Builder#maxOutstanding} allows, messages wait
     * in the client, in their order and without a limit: who produces more than the proxy takes calls {@link
     * #awaitRoom()} before, or waits for futures.
     *
     * <p>The future completes with an error as follows, and never throws in any other way:
     *
     * <ul>
     *   <li>{@link MessageProxyException} with {@link Code#UNKNOWN_OUTCOME}: the message may be stored. The stream was
     *       lost before the answer came, or the timeout was over, the future was cancelled, or the client was closed
     *       while the message was on the wire.
     *   <li>Any other error: the message is certainly not stored, and never will be. {@link MessageProxyException} with
     *       {@link Code#INVALID_ARGUMENT} or {@link Code#MESSAGE_TOO_LARGE} if the message can't be produced, or with
     *       the server's code; {@link ClosedException}; {@link java.util.concurrent.TimeoutException} if the timeout
     *       was over before the message was on the wire; {@link java.util.concurrent.CancellationException} if it was
     *       cancelled before.
     * </ul>
     *
     * <p>{@code cancel} of the future ends the call: a message that isn't on the wire is withdrawn, and {@code cancel}
     * returns true; one that is can't be called back, so the future completes with UNKNOWN_OUTCOME and {@code cancel}
     * returns false. Stages made of the future, and {@code orTimeout}, withdraw nothing.
     *
     * <p>What depends on the future runs on the thread that takes the results, unless a method with {@code Async} in
     * its name is used: it must not block, as no other results come in meanwhile.
     *
     * @param message what to send
     * @param timeout how long the call may take, room and connections included; null: for ever
     * @return the outcome
     */
    public CompletableFuture<Receipt> produce(OutgoingMessage message, Duration timeout) {
        return producer.produce(message, timeout);
    }

    /**
     * Waits until the client has room for another message, see {@link Builder#maxOutstanding}: a loop that produces and
     * doesn't wait for the futures is held by it to the speed of the proxy.
     *
     * @throws InterruptedException if the thread is interrupted
     * @throws ClosedException if the client is closed, or gets closed meanwhile
     */
    public void awaitRoom() throws InterruptedException {
        producer.awaitRoom();
    }

    /**
     * Tells when every message that was given to {@link #produce} before the call has its outcome. The future of each
     * call is kept until then: while the proxy can't be reached, one flush at a time is enough.
     *
     * @return a future that completes when all are answered, whatever the outcomes are; with {@link ClosedException} if
     *     the client is closed already
     */
    public CompletableFuture<Void> flush() {
        return producer.flush();
    }

    /**
     * Names a subscription. Nothing happens until {@link Subscription#consume}.
     *
     * @param name the subscription's name
     * @param topics its topics; all clients of one subscription give the same
     * @return the subscription
     * @throws MessageProxyException with {@link Code#INVALID_ARGUMENT} if the topics are a null array
     */
    public Subscription subscription(String name, String... topics) {
        if (topics == null) {
            throw Errors.badOption("subscription", "the topics are null");
        }
        return new Subscription(this, name, Collections.unmodifiableList(Arrays.asList(topics.clone())));
    }

    Consumer consume(String subscription, List<String> topics, Handler handler, ConsumeOptions options) {
        ConsumerImpl consumer;
        synchronized (consumers) {
            if (closed) {
                throw new ClosedException();
            }
            consumer = new ConsumerImpl(config, threads, subscription, topics, handler, options);
            consumers.add(consumer);
        }
        consumer.completion().whenComplete((ended, error) -> {
            synchronized (consumers) {
                consumers.remove(consumer);
            }
        });
        consumer.start();
        return consumer;
    }

    /**
     * Ends the client. Unanswered messages fail: with {@link ClosedException} if they were never put on the wire, else
     * with {@link Code#UNKNOWN_OUTCOME}; {@link #flush()} before has them answered. Running consumers stop as if they
     * had been asked to and end with {@link ClosedException}, each when its handlers have returned; close doesn't wait
     * for them. It takes a second at most, and may be called twice.
     */
    @Override
    public void close() {
        List<ConsumerImpl> running;
        synchronized (consumers) {
            closed = true;
            running = List.copyOf(consumers);
        }
        try {
            running.forEach(consumer -> consumer.stop(new ClosedException()));
        } finally {
            producer.close();
        }
    }

    /**
     * Makes a {@link Client}. Each method throws a {@link MessageProxyException} with {@link Code#INVALID_ARGUMENT}
     * that names the option if what it is given is out of range. Not for several threads at once.
     */
    public static final class Builder {
        private final ClientConfig config;

        private Builder(ClientConfig config) {
            this.config = config;
        }

        private static void require(boolean valid, String option, String why) {
            if (!valid) {
                throw Errors.badOption(option, why);
            }
        }

        /**
         * Encrypts the connections with TLS and the system's roots. Default: no TLS, plaintext.
         *
         * @return this builder
         */
        public Builder tls() {
            return tls(TlsChannelCredentials.create());
        }

        /**
         * Encrypts the connections as the credentials say.
         *
         * @param credentials such as {@code TlsChannelCredentials.newBuilder().trustManager(roots).build()}
         * @return this builder
         */
        public Builder tls(ChannelCredentials credentials) {
            require(credentials != null, "tls", "the credentials are null");
            config.credentials = credentials;
            return this;
        }

        /**
         * Has somebody configure each connection, after the client's own settings and so stronger than they:
         * interceptors (credentials of calls, for example), an authority, and the like. Default: nobody.
         *
         * @param configure is called whenever a connection is made
         * @return this builder
         */
        public Builder configureChannel(java.util.function.Consumer<? super ManagedChannelBuilder<?>> configure) {
            require(configure != null, "configureChannel", "the function is null");
            config.configureChannel = configure;
            return this;
        }

        /**
         * Logs what a person who runs the application should know: lost connections, trouble of the broker, failing
         * handlers (warnings), and what happens to subscriptions (information). No key, value or header is ever logged.
         * Default: the system's logger {@code io.github.messageproxy}.
         *
         * @param logger not null
         * @return this builder
         */
        public Builder logger(System.Logger logger) {
            require(logger != null, "logger", "it is null");
            config.log = new Log(logger);
            return this;
        }

        /**
         * Names this client in the logs and metrics of the server. Need not be unique. Default: the host's name.
         *
         * @param name valid Unicode, at most 512 bytes in UTF-8
         * @return this builder
         */
        public Builder clientName(String name) {
            require(name != null, "clientName", "it is null");
            require(Text.isUnicode(name), "clientName", "it is not valid Unicode");
            long bytes = Text.utf8Length(name);
            require(bytes <= 512, "clientName", "the name has " + bytes + " bytes, more than 512");
            config.name = name;
            return this;
        }

        /**
         * Sets how long the client waits before it connects again: a random time up to a limit that doubles from a
         * minimum to a maximum. Default: 100 ms and 10 s.
         *
         * @param min above 0
         * @param max not below {@code min}
         * @return this builder
         */
        public Builder reconnectBackoff(Duration min, Duration max) {
            require(min != null && max != null && !min.isNegative() && !min.isZero() && max.compareTo(min) >= 0,
                    "reconnectBackoff",
                    min + " and " + max + ": the first must be above 0, the second not below the first");
            config.minBackoff = min;
            config.maxBackoff = max;
            return this;
        }

        /**
         * Bounds what the client has taken over to produce and that isn't answered yet, whether it is on the wire or
         * not. Above that, messages wait. A message that is alone may be larger. Default: 1,000 messages (as many as a
         * server reads ahead by default) and 64 MiB.
         *
         * @param messages above 0
         * @param bytes of keys, values and headers, and 16 for each header; above 0
         * @return this builder
         */
        public Builder maxOutstanding(int messages, long bytes) {
            require(messages >= 1 && bytes >= 1, "maxOutstanding",
                    messages + " messages and " + bytes + " bytes: both must be above 0");
            config.outstandingMessages = messages;
            config.outstandingBytes = bytes;
            return this;
        }

        /**
         * Sets the largest message (key, value, headers, and 16 bytes for each header) that the client sends; larger
         * ones fail with {@link Code#MESSAGE_TOO_LARGE}. It is there for the messages of others: the server has a limit
         * of its own (16 MiB by default) and answers each message above it, but a message above twice that limit, and
         * above 64 MiB, breaks the stream that all share. Raise it only together with the server's. Default: 60 MiB.
         *
         * @param bytes from 1 to 1 GiB
         * @return this builder
         */
        public Builder maxMessageBytes(long bytes) {
            require(bytes >= 1 && bytes <= 1 << 30, "maxMessageBytes", bytes + " is not between 1 and 1 GiB");
            config.maxMessageBytes = (int) bytes;
            return this;
        }

        /**
         * Makes the client. It does not connect; the first produce or consume does.
         *
         * @return the client
         * @throws MessageProxyException with {@link Code#INVALID_ARGUMENT} if gRPC doesn't take the target
         */
        public Client build() {
            return new Client(config.copy());
        }
    }
}

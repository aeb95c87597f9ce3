package io.github.messageproxy;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/** The options of a client. Each client has its own copy, which nobody changes. */
final class ClientConfig implements Cloneable {
    /** Room for an error with many message IDs in the details of a status; gRPC's default is 8 KiB. */
    private static final int MAX_METADATA_BYTES = 16 << 20;

    final String target;
    ChannelCredentials credentials = InsecureChannelCredentials.create();
    java.util.function.Consumer<? super ManagedChannelBuilder<?>> configureChannel = builder -> {};
    Log log = new Log(System.getLogger("io.github.messageproxy"));
    String name; // null: the host's
    Duration minBackoff = Duration.ofMillis(100);
    Duration maxBackoff = Duration.ofSeconds(10);
    int outstandingMessages = 1000;
    long outstandingBytes = 64 << 20;
    int maxMessageBytes = 60 << 20;

    ClientConfig(String target) {
        this.target = target;
    }

    ClientConfig copy() {
        try {
            ClientConfig copy = (ClientConfig) clone();
            if (copy.name == null) {
                copy.name = hostName();
            }
            return copy;
        } catch (CloneNotSupportedException e) {
            throw new AssertionError(e);
        }
    }

    /** No name is as good as none. The system's own answer comes first: asking the network may take long. */
    private static String hostName() {
        try {
            return Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
        } catch (IOException | RuntimeException e) {
            // It isn't Linux.
        }
        for (String variable : List.of("COMPUTERNAME", "HOSTNAME")) {
            String name = System.getenv(variable);
            if (name != null && !name.isBlank()) {
                return name.strip();
            }
        }
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException e) {
            return "";
        }
    }

    /** Prepares a connection of its own; it connects when it is first used. */
    ManagedChannel channel(Executor executor) {
        try {
            ManagedChannelBuilder<?> builder = Grpc.newChannelBuilder(target, credentials)
                    .executor(executor)
                    // Clients of a name with several addresses spread over them.
                    .defaultServiceConfig(Map.of("loadBalancingConfig",
                            List.of(Map.of("pick_first", Map.of("shuffleAddressList", true)))))
                    // Calls are opened again by the client, which knows what may be sent twice.
                    .disableRetry()
                    // What the broker has is delivered, whatever its size.
                    .maxInboundMessageSize(Integer.MAX_VALUE)
                    .maxInboundMetadataSize(MAX_METADATA_BYTES)
                    // Notices a server that vanished without a word. Only while a stream is open.
                    .keepAliveTime(30, TimeUnit.SECONDS)
                    .keepAliveTimeout(10, TimeUnit.SECONDS)
                    .keepAliveWithoutCalls(false);
            configureChannel.accept(builder);
            return builder.build();
        } catch (IllegalArgumentException e) {
            throw new MessageProxyException(Code.INVALID_ARGUMENT.number(),
                    "can't make a connection to \"" + target + "\"", false, List.of(), e);
        }
    }
}

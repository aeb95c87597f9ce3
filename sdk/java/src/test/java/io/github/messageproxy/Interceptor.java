package io.github.messageproxy;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;

/** An interceptor of an application, which may do anything when a call has been started, and when it is ready. */
abstract class Interceptor implements ClientInterceptor {
    void started() {}

    void ready() {}

    @Override
    public <I, O> ClientCall<I, O> interceptCall(MethodDescriptor<I, O> method, CallOptions options, Channel next) {
        return new ForwardingClientCall.SimpleForwardingClientCall<>(next.newCall(method, options)) {
            @Override
            public void start(Listener<O> listener, Metadata headers) {
                super.start(listener, headers);
                started();
            }

            @Override
            public boolean isReady() {
                boolean ready = super.isReady();
                if (ready) {
                    ready();
                }
                return ready;
            }
        };
    }
}

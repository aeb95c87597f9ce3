package io.github.messageproxy.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * MessageProxy produces to and consumes from the broker behind the proxy.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class MessageProxyGrpc {

  private MessageProxyGrpc() {}

  public static final java.lang.String SERVICE_NAME = "messageproxy.v1.MessageProxy";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<io.github.messageproxy.v1.ProduceRequest,
      io.github.messageproxy.v1.ProduceResponse> getProduceMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Produce",
      requestType = io.github.messageproxy.v1.ProduceRequest.class,
      responseType = io.github.messageproxy.v1.ProduceResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<io.github.messageproxy.v1.ProduceRequest,
      io.github.messageproxy.v1.ProduceResponse> getProduceMethod() {
    io.grpc.MethodDescriptor<io.github.messageproxy.v1.ProduceRequest, io.github.messageproxy.v1.ProduceResponse> getProduceMethod;
    if ((getProduceMethod = MessageProxyGrpc.getProduceMethod) == null) {
      synchronized (MessageProxyGrpc.class) {
        if ((getProduceMethod = MessageProxyGrpc.getProduceMethod) == null) {
          MessageProxyGrpc.getProduceMethod = getProduceMethod =
              io.grpc.MethodDescriptor.<io.github.messageproxy.v1.ProduceRequest, io.github.messageproxy.v1.ProduceResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Produce"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.messageproxy.v1.ProduceRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.messageproxy.v1.ProduceResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MessageProxyMethodDescriptorSupplier("Produce"))
              .build();
        }
      }
    }
    return getProduceMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.messageproxy.v1.ConsumeRequest,
      io.github.messageproxy.v1.ConsumeResponse> getConsumeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Consume",
      requestType = io.github.messageproxy.v1.ConsumeRequest.class,
      responseType = io.github.messageproxy.v1.ConsumeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<io.github.messageproxy.v1.ConsumeRequest,
      io.github.messageproxy.v1.ConsumeResponse> getConsumeMethod() {
    io.grpc.MethodDescriptor<io.github.messageproxy.v1.ConsumeRequest, io.github.messageproxy.v1.ConsumeResponse> getConsumeMethod;
    if ((getConsumeMethod = MessageProxyGrpc.getConsumeMethod) == null) {
      synchronized (MessageProxyGrpc.class) {
        if ((getConsumeMethod = MessageProxyGrpc.getConsumeMethod) == null) {
          MessageProxyGrpc.getConsumeMethod = getConsumeMethod =
              io.grpc.MethodDescriptor.<io.github.messageproxy.v1.ConsumeRequest, io.github.messageproxy.v1.ConsumeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Consume"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.messageproxy.v1.ConsumeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.messageproxy.v1.ConsumeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MessageProxyMethodDescriptorSupplier("Consume"))
              .build();
        }
      }
    }
    return getConsumeMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static MessageProxyStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MessageProxyStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MessageProxyStub>() {
        @java.lang.Override
        public MessageProxyStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MessageProxyStub(channel, callOptions);
        }
      };
    return MessageProxyStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static MessageProxyBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MessageProxyBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MessageProxyBlockingV2Stub>() {
        @java.lang.Override
        public MessageProxyBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MessageProxyBlockingV2Stub(channel, callOptions);
        }
      };
    return MessageProxyBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static MessageProxyBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MessageProxyBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MessageProxyBlockingStub>() {
        @java.lang.Override
        public MessageProxyBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MessageProxyBlockingStub(channel, callOptions);
        }
      };
    return MessageProxyBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static MessageProxyFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MessageProxyFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MessageProxyFutureStub>() {
        @java.lang.Override
        public MessageProxyFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MessageProxyFutureStub(channel, callOptions);
        }
      };
    return MessageProxyFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * MessageProxy produces to and consumes from the broker behind the proxy.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Produce sends messages and answers each with exactly one result, matched
     * by `sequence`. Receipts of one partition come in the order in which its
     * messages were sent; receipts of different partitions may interleave, and
     * errors may overtake.
     * The server reads on while fewer than its outstanding limit (1,000 by
     * default) of this stream's messages await their result, and then stops
     * reading until results have been sent. When the client half-closes, every
     * message it sent is still answered before the stream ends with OK. When the
     * server shuts down, the stream ends with SHUTTING_DOWN after every message
     * that it accepted is answered: what is unanswered then was not stored.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<io.github.messageproxy.v1.ProduceRequest> produce(
        io.grpc.stub.StreamObserver<io.github.messageproxy.v1.ProduceResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getProduceMethod(), responseObserver);
    }

    /**
     * <pre>
     * Consume joins a subscription and receives its messages. The first request
     * on the stream is `subscribe`; later ones are `ack`, and `leave` at most
     * once. A client that half-closes or goes gives up what it has not ACKed.
     * Delivery is at least once. Messages of one partition arrive in order, and
     * at any moment at most one client of the server holds unacknowledged
     * messages of a partition of the subscription.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<io.github.messageproxy.v1.ConsumeRequest> consume(
        io.grpc.stub.StreamObserver<io.github.messageproxy.v1.ConsumeResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getConsumeMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service MessageProxy.
   * <pre>
   * MessageProxy produces to and consumes from the broker behind the proxy.
   * </pre>
   */
  public static abstract class MessageProxyImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return MessageProxyGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service MessageProxy.
   * <pre>
   * MessageProxy produces to and consumes from the broker behind the proxy.
   * </pre>
   */
  public static final class MessageProxyStub
      extends io.grpc.stub.AbstractAsyncStub<MessageProxyStub> {
    private MessageProxyStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MessageProxyStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MessageProxyStub(channel, callOptions);
    }

    /**
     * <pre>
     * Produce sends messages and answers each with exactly one result, matched
     * by `sequence`. Receipts of one partition come in the order in which its
     * messages were sent; receipts of different partitions may interleave, and
     * errors may overtake.
     * The server reads on while fewer than its outstanding limit (1,000 by
     * default) of this stream's messages await their result, and then stops
     * reading until results have been sent. When the client half-closes, every
     * message it sent is still answered before the stream ends with OK. When the
     * server shuts down, the stream ends with SHUTTING_DOWN after every message
     * that it accepted is answered: what is unanswered then was not stored.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<io.github.messageproxy.v1.ProduceRequest> produce(
        io.grpc.stub.StreamObserver<io.github.messageproxy.v1.ProduceResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getProduceMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * Consume joins a subscription and receives its messages. The first request
     * on the stream is `subscribe`; later ones are `ack`, and `leave` at most
     * once. A client that half-closes or goes gives up what it has not ACKed.
     * Delivery is at least once. Messages of one partition arrive in order, and
     * at any moment at most one client of the server holds unacknowledged
     * messages of a partition of the subscription.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<io.github.messageproxy.v1.ConsumeRequest> consume(
        io.grpc.stub.StreamObserver<io.github.messageproxy.v1.ConsumeResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getConsumeMethod(), getCallOptions()), responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service MessageProxy.
   * <pre>
   * MessageProxy produces to and consumes from the broker behind the proxy.
   * </pre>
   */
  public static final class MessageProxyBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<MessageProxyBlockingV2Stub> {
    private MessageProxyBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MessageProxyBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MessageProxyBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Produce sends messages and answers each with exactly one result, matched
     * by `sequence`. Receipts of one partition come in the order in which its
     * messages were sent; receipts of different partitions may interleave, and
     * errors may overtake.
     * The server reads on while fewer than its outstanding limit (1,000 by
     * default) of this stream's messages await their result, and then stops
     * reading until results have been sent. When the client half-closes, every
     * message it sent is still answered before the stream ends with OK. When the
     * server shuts down, the stream ends with SHUTTING_DOWN after every message
     * that it accepted is answered: what is unanswered then was not stored.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<io.github.messageproxy.v1.ProduceRequest, io.github.messageproxy.v1.ProduceResponse>
        produce() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getProduceMethod(), getCallOptions());
    }

    /**
     * <pre>
     * Consume joins a subscription and receives its messages. The first request
     * on the stream is `subscribe`; later ones are `ack`, and `leave` at most
     * once. A client that half-closes or goes gives up what it has not ACKed.
     * Delivery is at least once. Messages of one partition arrive in order, and
     * at any moment at most one client of the server holds unacknowledged
     * messages of a partition of the subscription.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<io.github.messageproxy.v1.ConsumeRequest, io.github.messageproxy.v1.ConsumeResponse>
        consume() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getConsumeMethod(), getCallOptions());
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service MessageProxy.
   * <pre>
   * MessageProxy produces to and consumes from the broker behind the proxy.
   * </pre>
   */
  public static final class MessageProxyBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<MessageProxyBlockingStub> {
    private MessageProxyBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MessageProxyBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MessageProxyBlockingStub(channel, callOptions);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service MessageProxy.
   * <pre>
   * MessageProxy produces to and consumes from the broker behind the proxy.
   * </pre>
   */
  public static final class MessageProxyFutureStub
      extends io.grpc.stub.AbstractFutureStub<MessageProxyFutureStub> {
    private MessageProxyFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MessageProxyFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MessageProxyFutureStub(channel, callOptions);
    }
  }

  private static final int METHODID_PRODUCE = 0;
  private static final int METHODID_CONSUME = 1;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_PRODUCE:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.produce(
              (io.grpc.stub.StreamObserver<io.github.messageproxy.v1.ProduceResponse>) responseObserver);
        case METHODID_CONSUME:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.consume(
              (io.grpc.stub.StreamObserver<io.github.messageproxy.v1.ConsumeResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getProduceMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              io.github.messageproxy.v1.ProduceRequest,
              io.github.messageproxy.v1.ProduceResponse>(
                service, METHODID_PRODUCE)))
        .addMethod(
          getConsumeMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              io.github.messageproxy.v1.ConsumeRequest,
              io.github.messageproxy.v1.ConsumeResponse>(
                service, METHODID_CONSUME)))
        .build();
  }

  private static abstract class MessageProxyBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    MessageProxyBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return io.github.messageproxy.v1.MessageproxyProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("MessageProxy");
    }
  }

  private static final class MessageProxyFileDescriptorSupplier
      extends MessageProxyBaseDescriptorSupplier {
    MessageProxyFileDescriptorSupplier() {}
  }

  private static final class MessageProxyMethodDescriptorSupplier
      extends MessageProxyBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    MessageProxyMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (MessageProxyGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new MessageProxyFileDescriptorSupplier())
              .addMethod(getProduceMethod())
              .addMethod(getConsumeMethod())
              .build();
        }
      }
    }
    return result;
  }
}

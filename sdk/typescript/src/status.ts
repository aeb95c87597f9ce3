import { Code as StatusCode, ConnectError } from "@connectrpc/connect";
import type { MessageShape } from "@bufbuild/protobuf";

import { Code, MessageProxyError, textOf } from "./errors.js";
import { ErrorSchema } from "./gen/messageproxy/v1/messageproxy_pb.js";

/** Makes an error of one of the wire contract. Codes that this version doesn't know keep their number. */
export function errorFromWire(error: MessageShape<typeof ErrorSchema>): MessageProxyError {
  return new MessageProxyError(error.code as number, error.message, {
    retryable: error.retryable,
    messageIds: error.messageIds,
  });
}

/** Is why a stream ended that the server ended without an error. */
export function streamEnded(): MessageProxyError {
  return new MessageProxyError(Code.BrokerUnavailable, "the server ended the stream", { retryable: true });
}

/**
 * Says why a stream ended: the error among the status's details if the server put one there, else one made of the
 * status alone.
 */
export function streamError(thrown: unknown): MessageProxyError {
  const error = ConnectError.from(thrown);
  const [detail] = error.findDetails(ErrorSchema);
  if (detail !== undefined) {
    return errorFromWire(detail);
  }
  const { code, retryable } = isStatus(error) ? codeOfStatus(error.code) : unavailable;
  return new MessageProxyError(code, error.rawMessage || wordless(error), { retryable, cause: error.cause });
}

/** Says what an error is that says nothing itself. */
function wordless({ code, cause }: ConnectError): string {
  if (cause === undefined) {
    return `the server ended the stream with ${statusName(code)}`;
  }
  // Why no address of several could be connected to, Node leaves to the errors within its own.
  return cause instanceof AggregateError ? cause.errors.map(textOf).join("; ") : textOf(cause);
}

/** Names a status as the protocol does: INVALID_ARGUMENT. */
function statusName(code: StatusCode): string {
  return StatusCode[code].replace(/\B[A-Z]/g, "_$&").toUpperCase();
}

const unavailable = { code: Code.BrokerUnavailable, retryable: true };

/**
 * Reports whether an error is a status, of the server, of something between, or of how HTTP/2 ended the stream.
 * Otherwise it is trouble with the connection, which the library gives codes such as INVALID_ARGUMENT too (a stream
 * that was cut within a frame).
 */
function isStatus(error: ConnectError): boolean {
  if (error.metadata.has("grpc-status")) {
    return true;
  }
  return error.cause === undefined && error.code !== StatusCode.InvalidArgument;
}

function codeOfStatus(code: StatusCode): { code: Code; retryable: boolean } {
  switch (code) {
    case StatusCode.InvalidArgument:
      return { code: Code.InvalidArgument, retryable: false };
    case StatusCode.Unauthenticated:
      return { code: Code.Unauthenticated, retryable: false };
    case StatusCode.PermissionDenied:
      return { code: Code.PermissionDenied, retryable: false };
    case StatusCode.Unimplemented:
      return { code: Code.Unsupported, retryable: false };
    case StatusCode.ResourceExhausted:
      return { code: Code.ResourceExhausted, retryable: true };
    case StatusCode.Internal:
      return { code: Code.Internal, retryable: true };
    default:
      return unavailable;
  }
}

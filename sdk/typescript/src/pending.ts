import type { FlushGroup } from "./flush.js";
import type { Receipt } from "./message.js";
import type { Encoded } from "./produce-wire.js";

/**
 * A message that was given to produce. It waits for room, then it is in the queue, then on the wire, and then answered;
 * each of these may be its last state.
 */
export interface Pending extends Encoded {
  readonly signal: AbortSignal | undefined;
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (reason: unknown) => void;
  readonly group: FlushGroup;
  /** It has its place among the outstanding. */
  admitted: boolean;
  /** It was given to a stream and may have reached the server. */
  onWire: boolean;
  /** The caller knows the outcome. */
  answered: boolean;
  /** Nothing will come of it any more from any stream. Its place is free when it is off and answered. */
  off: boolean;
}

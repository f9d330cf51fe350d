/** An upgraded connection: bytes both ways, and a polite end when we have to end it. */

import type { Exchange } from "./engine.ts";
import { cutWire, endWire, setSource, type Wire, writeBytes } from "./socket-writer.ts";
import {
  closeFrame,
  createFrameFollower,
  type FrameFollower,
  follow,
  followToEnd,
  isBetweenFrames,
} from "./websocket-frames.ts";

/** How long the side that is left gets to take its last bytes, ms. */
const PATIENCE_MS = 10_000;

/** After how long of silence the system asks whether the other machine is still there, ms. */
const PROBE_AFTER_MS = 60_000;

/** One direction. */
interface Direction {
  readonly to: Wire;
  readonly follower: FrameFollower;
  /** Our own close frame, once one is to be sent: `due` until the present frame has passed. */
  closing: "no" | "due" | "sent";
  /** Towards a server frames are masked (RFC 6455, section 5.3). */
  readonly isMasked: boolean;
}

/** A client and a target that talk to each other directly. */
export interface Tunnel {
  readonly kind: "tunnel";
  readonly exchange: Exchange;
  readonly up: Direction;
  readonly down: Direction;
  /** When what is left is cut, ms since the epoch; `null`: both sides are there. */
  cutAtMs: number | null;
  code: number;
  isOver: boolean;
  /** Called once, when both sides have closed. */
  readonly onOver: (tunnel: Tunnel) => void;
}

/** Joins both ends. From here on what comes from either belongs to the other. */
export function openTunnel(
  ends: { readonly client: Wire; readonly upstream: Wire; readonly exchange: Exchange },
  onOver: (tunnel: Tunnel) => void,
): Tunnel {
  const { client, upstream, exchange } = ends;
  setSource(client, upstream);
  setSource(upstream, client);
  // A machine that vanished must not keep an app awake.
  for (const wire of [client, upstream]) wire.socket.setKeepAlive(true, PROBE_AFTER_MS);
  const direction = (to: Wire): Direction => ({
    to,
    follower: createFrameFollower(),
    closing: "no",
    isMasked: to === upstream,
  });
  return {
    kind: "tunnel",
    exchange,
    up: direction(upstream),
    down: direction(client),
    cutAtMs: null,
    code: 0,
    isOver: false,
    onOver,
  };
}

/** What the client sent. */
export function fromClient(tunnel: Tunnel, bytes: Buffer): void {
  carry(tunnel, tunnel.up, bytes);
  // It has answered our close: a server hangs up first.
  if (tunnel.down.closing === "sent" && tunnel.up.follower.hasClosed) endWire(tunnel.down.to);
}

/** What the target sent. */
export function fromTarget(tunnel: Tunnel, bytes: Buffer): void {
  carry(tunnel, tunnel.down, bytes);
}

function carry(tunnel: Tunnel, direction: Direction, bytes: Buffer) {
  const { follower, to } = direction;
  if (direction.closing === "no") {
    follow(follower, bytes);
    return writeBytes(to, bytes);
  }
  if (direction.closing === "sent") return follow(follower, bytes);
  const end = followToEnd(follower, bytes, 0);
  if (end === -1) return writeBytes(to, bytes);
  writeBytes(to, bytes.subarray(0, end));
  placeClose(tunnel, direction);
  follow(follower, bytes.subarray(end));
}

/** Asks both sides to close. Each gets the frame as soon as the one that is passing has ended. */
export function closeTunnel(tunnel: Tunnel, code: number): void {
  if (tunnel.isOver || tunnel.code !== 0) return;
  tunnel.code = code;
  for (const direction of [tunnel.down, tunnel.up]) {
    if (isBetweenFrames(direction.follower)) placeClose(tunnel, direction);
    else direction.closing = "due";
  }
}

function placeClose(tunnel: Tunnel, direction: Direction): void {
  direction.closing = "sent";
  // Behind a close frame of the other side nothing may follow, and nothing is missing.
  if (direction.follower.hasClosed) return;
  writeBytes(direction.to, closeFrame(tunnel.code, direction));
}

/** One side has closed, or will send nothing more: the other one ends when it has got everything. */
export function sideIsOver(tunnel: Tunnel, nowMs: number): void {
  if (tunnel.isOver) return;
  tunnel.cutAtMs ??= nowMs + PATIENCE_MS;
  endWire(tunnel.down.to);
  endWire(tunnel.up.to);
  settle(tunnel);
}

/** Ends both sides now; what a side has not taken is lost. */
export function cutTunnel(tunnel: Tunnel): void {
  for (const { to } of [tunnel.down, tunnel.up]) {
    if (to.unsentBytes > 0) cutWire(to);
    else endWire(to);
  }
}

function settle(tunnel: Tunnel): void {
  if (tunnel.isOver || !tunnel.up.to.isOver || !tunnel.down.to.isOver) return;
  tunnel.isOver = true;
  tunnel.onOver(tunnel);
}

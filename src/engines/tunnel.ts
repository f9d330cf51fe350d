/** An upgraded connection: bytes both ways, and a polite end when we have to end it. */

import type { Exchange } from "./engine.ts";
import type { FollowedSocket } from "./quiet-sockets.ts";
import { cutWire, endWire, setSource, type Wire, writeBytes } from "./socket-writer.ts";
import {
  closeFrame,
  createFrameFollower,
  type FrameFollower,
  follow,
  followToEnd,
  isBetweenFrames,
  isInMessage,
} from "./websocket-frames.ts";

/** How long the side that is left gets to take its last bytes, ms. */
const PATIENCE_MS = 10_000;

/**
 * How long a side that has got everything may take to answer a close frame, ms. Closing before it has answered would
 * reset its connection, and it could lose what it has not read yet (RFC 6455, section 7.1.1).
 */
const ANSWER_MS = 2_000;

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
  /** When what is left is cut, ms since the epoch; `null`: both sides are there, and were not asked to close by us. */
  cutAtMs: number | null;
  /** What we have asked both sides to close with; 0: we have not. */
  code: number;
  isOver: boolean;
  /** Whoever wants to know of messages; `null`: nobody. */
  followed: FollowedSocket | null;
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
    followed: null,
    onOver,
  };
}

/** What the client sent. */
export function fromClient(tunnel: Tunnel, bytes: Buffer): void {
  const { up, down, exchange } = tunnel;
  exchange.receivedBytes += bytes.length;
  carry(tunnel, up, bytes);
  if (!up.follower.hasClosed || !wasAsked(down)) return;
  // It has answered. A server hangs up first: we do for a target that has left, or when it was we who asked.
  if (tunnel.code !== 0 || isEnded(up.to)) endWire(down.to);
}

/** What the target sent. */
export function fromTarget(tunnel: Tunnel, bytes: Buffer): void {
  const { up, down, exchange } = tunnel;
  exchange.sentBytes += bytes.length;
  carry(tunnel, down, bytes);
  if (down.follower.hasClosed && wasAsked(up) && isEnded(down.to)) endWire(up.to);
}

function carry(tunnel: Tunnel, direction: Direction, bytes: Buffer): void {
  if (tunnel.followed === null) carryOn(tunnel, direction, bytes);
  else carryFollowed(tunnel, direction, bytes);
}

/** A piece of a message is as good as all of it. */
function carryFollowed(tunnel: Tunnel, direction: Direction, bytes: Buffer): void {
  const { follower } = direction;
  const isWithin = isInMessage(follower);
  follower.hasMessage = false;
  carryOn(tunnel, direction, bytes);
  if (isWithin || follower.hasMessage) tunnel.followed?.said();
}

function carryOn(tunnel: Tunnel, direction: Direction, bytes: Buffer) {
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

/** The target has closed: the client ends when it has got everything. */
export function targetIsOver(tunnel: Tunnel, nowMs: number): void {
  sideIsOver(tunnel, nowMs, { left: tunnel.down, gone: tunnel.up });
}

/** The client has closed: the target ends when it has got everything. */
export function clientIsOver(tunnel: Tunnel, nowMs: number): void {
  sideIsOver(tunnel, nowMs, { left: tunnel.up, gone: tunnel.down });
}

/** The client will send nothing more. It may wait for the answer to a close frame of its own. */
export function clientHasEnded(tunnel: Tunnel, nowMs: number): void {
  if (tunnel.code !== 0 || !owesAnswer(tunnel.up, tunnel.down)) endWire(tunnel.down.to);
  clientIsOver(tunnel, nowMs);
}

/** @param ends by where they lead: to the side that is left, and to the one that has gone */
function sideIsOver(
  tunnel: Tunnel,
  nowMs: number,
  { left, gone }: { readonly left: Direction; readonly gone: Direction },
): void {
  if (tunnel.isOver) return;
  tunnel.cutAtMs ??= nowMs + patienceWith(tunnel);
  if (!owesAnswer(left, gone)) endWire(left.to);
  settle(tunnel);
}

/** Whether the side that `direction` leads to was sent a close frame, by the other side or by us. */
function wasAsked({ closing, follower }: Direction): boolean {
  return closing === "sent" || follower.hasClosed;
}

/** Whether that side has a close frame to answer. @param back what comes from it */
function owesAnswer(direction: Direction, back: Direction): boolean {
  return wasAsked(direction) && !back.follower.hasClosed;
}

function isEnded(wire: Wire): boolean {
  return wire.isOver || wire.isEnding;
}

function patienceWith({ up, down }: Tunnel): number {
  return up.to.unsentBytes + down.to.unsentBytes > 0 ? PATIENCE_MS : ANSWER_MS;
}

/** Ends what takes too long. To be called now and then. */
export function lookAtTunnel(tunnel: Tunnel, nowMs: number): void {
  const { up, down } = tunnel;
  if (tunnel.cutAtMs !== null) {
    if (nowMs >= tunnel.cutAtMs) cutTunnel(tunnel);
  } else if (up.closing === "sent" && down.closing === "sent") {
    tunnel.cutAtMs = nowMs + patienceWith(tunnel);
  }
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

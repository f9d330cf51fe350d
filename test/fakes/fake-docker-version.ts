/** Versions of the Engine API, and what an engine says to one that it does not speak. Pure. */

import type { FakeAnswer } from "./fake-answer.ts";

export interface ApiVersion {
  readonly major: number;
  readonly minor: number;
}

/** What an engine speaks. */
export interface VersionRange {
  readonly min: ApiVersion;
  readonly max: ApiVersion;
  /** A client has been told this range: another version is its mistake. */
  readonly isTold: boolean;
}

/** @param text `1.44` @throws Error for anything else */
export function parseVersion(text: string): ApiVersion {
  const [, major, minor] = /^(\d+)\.(\d+)$/.exec(text) ?? [];
  if (major === undefined || minor === undefined) throw new Error(`"${text}" is no version`);
  return { major: Number(major), minor: Number(minor) };
}

export function isOlder(one: ApiVersion, other: ApiVersion): boolean {
  return one.major !== other.major ? one.major < other.major : one.minor < other.minor;
}

/** `null`: it speaks this version. Source: messages of engines 20.10 and 27. */
export function versionRefusal(asked: ApiVersion, { min, max }: VersionRange): FakeAnswer | null {
  const said = `client version ${text(asked)} is too`;
  if (isOlder(max, asked)) {
    return refusal(`${said} new. Maximum supported API version is ${text(max)}`);
  }
  if (!isOlder(asked, min)) return null;
  const message = `${said} old. Minimum supported API version is ${text(min)}, please upgrade your client to a newer version`;
  // To clients from before JSON errors the message is plain text.
  return isOlder(asked, parseVersion("1.24")) ? { status: 400, body: message } : refusal(message);
}

function text({ major, minor }: ApiVersion): string {
  return `${major}.${minor}`;
}

function refusal(message: string): FakeAnswer {
  return { status: 400, body: { message } };
}

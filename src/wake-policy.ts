/** Which requests neither wake an app nor count as its use: the rules, and the decision. Pure. */

import { isbot } from "isbot";
import type { RequestHead } from "./engines/engine.ts";

/** One entry of `wake.ignore`. A request is ignored when all that the entry says is true of it; at least one thing is said. */
export interface IgnoreRule {
  /** In lower case; `*` stands for anything. One of them is found in `User-Agent`. `null`: whatever. */
  readonly userAgents: readonly string[] | null;
  /** Begin with `/`; `*` stands for anything. One of them is the whole path, without the query. */
  readonly paths: readonly string[] | null;
  /** In capitals. */
  readonly methods: readonly string[] | null;
  /** By its `User-Agent` it is a program rather than a browser with somebody before it. */
  readonly bots: boolean;
  /** A browser asks ahead of its user. */
  readonly prefetch: boolean;
  /** Status of the answer while the app is not awake. */
  readonly status: number;
}

/** What a request gets that its sender was not told of: nothing is wrong, and nothing is there. */
export const IGNORED_STATUS = 503;

/** The first of the rules that a request is ignored by; `null`: it is like any other. */
export function ignoredBy(rules: readonly IgnoreRule[], head: RequestHead): IgnoreRule | null {
  for (const rule of rules) if (applies(rule, head)) return rule;
  return null;
}

/** The cheap questions first. */
function applies(rule: IgnoreRule, head: RequestHead): boolean {
  if (rule.methods !== null && !rule.methods.includes(head.method)) return false;
  if (rule.paths !== null && !isOneOf(rule.paths, pathOf(head.target))) return false;
  if (rule.prefetch && !isPrefetch(head)) return false;
  if (rule.userAgents === null && !rule.bots) return true;
  const userAgent = head.header("user-agent") ?? "";
  if (rule.userAgents !== null && !isFoundIn(rule.userAgents, userAgent.toLowerCase())) {
    return false;
  }
  return !rule.bots || (isbot(userAgent) && !TEXT_BROWSER.test(userAgent));
}

/** `isbot` takes them for programs, and somebody sits before them. */
const TEXT_BROWSER = /^(?:lynx|w3m|e?links)\b/i;

function pathOf(target: string): string {
  const query = target.indexOf("?");
  return query === -1 ? target : target.slice(0, query);
}

function isOneOf(patterns: readonly string[], path: string): boolean {
  return patterns.some((pattern) => matches(pattern, path));
}

function isFoundIn(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => matches(`*${pattern}*`, text));
}

/**
 * Whether a browser asks for what nobody has asked it for yet.
 * Sources: W3C Resource Hints and WHATWG Fetch (`Sec-Purpose: prefetch;prerender`), older Chrome and Safari
 * (`Purpose`, `X-Purpose`), older Firefox (`X-Moz`).
 */
export function isPrefetch(head: Pick<RequestHead, "header">): boolean {
  const purpose = head.header("sec-purpose") ?? head.header("purpose") ?? head.header("x-purpose");
  if (purpose !== null) return /\b(?:prefetch|prerender|preview)\b/i.test(purpose);
  return head.header("x-moz")?.toLowerCase() === "prefetch";
}

/**
 * Whether a pattern stands for the whole text; `*` stands for anything, and nothing. Takes the time of one pass over
 * the text for each piece of the pattern, whatever a stranger sends.
 */
export function matches(pattern: string, text: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return pattern === text;
  if (!text.startsWith(first) || text.length < first.length + last.length) return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found === -1 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return at <= end && text.endsWith(last);
}

/** For people: which request it is. */
export function ignoreText(rule: IgnoreRule): string {
  const parts = [
    rule.methods?.join(" or ") ?? "",
    rule.prefetch ? "a prefetch" : "",
    rule.bots ? "a bot" : "",
    rule.userAgents === null ? "" : `User-Agent with ${rule.userAgents.join(" or ")}`,
    rule.paths === null ? "" : `for ${rule.paths.join(" or ")}`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

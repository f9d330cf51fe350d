/** Reads clients' addresses and knows which of them are proxies to believe. */

import { BlockList, isIP } from "node:net";

/** How many addresses are remembered; more are looked up afresh. */
const MEMORY_MAX = 10_000;

const MAPPED = "::ffff:";

/** An IPv4 address that stands in an IPv6 one, as dual-stack listeners report them, in its own form. */
export function plainAddress(address: string): string {
  if (!address.startsWith(MAPPED)) return address;
  const rest = address.slice(MAPPED.length);
  return rest.includes(".") ? rest : dotted(rest);
}

/** `a09:101` is 10.9.1.1 (RFC 4291, section 2.5.5.2); what is neither form stays. */
function dotted(halves: string): string {
  if (!/^[\da-f]{1,4}:[\da-f]{1,4}$/i.test(halves)) return halves;
  const [high = 0, low = 0] = halves.split(":").map((half) => Number.parseInt(half, 16));
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/**
 * Answers whether an address belongs to a trusted proxy. A map look-up for addresses seen before.
 * @param proxies addresses and CIDRs
 * @throws Error when an entry is neither; the configuration has checked them before
 */
export function createTrust(proxies: readonly string[]): (address: string) => boolean {
  if (proxies.length === 0) return () => false;
  const list = new BlockList();
  for (const proxy of proxies) addTo(list, proxy);
  const memory = new Map<string, boolean>();
  return (address) => {
    const known = memory.get(address);
    if (known !== undefined) return known;
    const trusted = isIP(address) !== 0 && list.check(address, familyOf(address));
    if (memory.size < MEMORY_MAX) memory.set(address, trusted);
    return trusted;
  };
}

function addTo(list: BlockList, proxy: string): void {
  const [address = "", bits] = proxy.split("/");
  if (isIP(address) === 0) throw new Error(`Not an address or a CIDR: ${JSON.stringify(proxy)}`);
  if (bits === undefined) list.addAddress(address, familyOf(address));
  else list.addSubnet(address, Number(bits), familyOf(address));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}

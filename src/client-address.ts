/** Reads clients' addresses and knows which of them are proxies to believe. */

import { BlockList, isIP } from "node:net";

/** How many addresses are remembered; more are looked up afresh. */
const MEMORY_MAX = 10_000;

/** An IPv4 address that a dual-stack listener reports as IPv6, in its own form. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
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

/** The software bill of materials: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/. Made of the lock file. */

import { createHash } from "node:crypto";
import { findPackage, type LockedPackage, type LockFile } from "./lock-file.ts";

/** What the bill is about, besides the packages. */
export interface BillSubject {
  readonly version: string;
  readonly commit: string;
  /** Seconds since the Unix epoch; `null`: left out of the bill. */
  readonly madeS: number | null;
  /** Folders, below the checkout, of the packages of which something is inside of the program. */
  readonly inside: ReadonlySet<string>;
}

interface Component {
  readonly "bom-ref": string;
  readonly [field: string]: unknown;
}

/**
 * Pure: the same lock file and subject give the same text. Packages that only build or test the program, or of which
 * nothing is inside of it, have the scope `excluded`.
 */
export function billOfMaterials(lock: LockFile, subject: BillSubject): string {
  const { version, commit, madeS, inside } = subject;
  const own = `pkg:npm/paastis@${version}`;
  const isInside = ({ path }: LockedPackage) => inside.has(path);
  const components = new Map<string, Component>();
  // One that is installed in several folders is one component, and inside if any of them is.
  for (const one of lock.packages.toSorted((a, b) => Number(isInside(a)) - Number(isInside(b)))) {
    components.set(purlOf(one), componentOf(one, isInside(one)));
  }
  const sorted = [...components.values()].toSorted((a, b) => compare(a["bom-ref"], b["bom-ref"]));
  const bill = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      ...(madeS === null ? {} : { timestamp: new Date(madeS * 1000).toISOString() }),
      component: {
        type: "application",
        "bom-ref": own,
        name: "paastis",
        version,
        purl: own,
        licenses: [{ license: { id: "AGPL-3.0-only" } }],
        properties: [{ name: "commit", value: commit }],
      },
    },
    components: sorted,
    dependencies: dependenciesOf(lock, own),
  };
  const serialNumber = `urn:uuid:${uuidOf(JSON.stringify(bill))}`;
  return `${JSON.stringify({ ...bill, serialNumber }, null, 2)}\n`;
}

/** What runs everything else. */
function isRuntime(name: string): boolean {
  return name === "bun" || name.startsWith("@oven/bun-");
}

/** https://github.com/package-url/purl-spec/blob/main/types-doc/npm-definition.md */
function purlOf({ name, version }: LockedPackage): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

function componentOf(one: LockedPackage, isInside: boolean): Component {
  const [scope, name] = one.name.startsWith("@") ? one.name.split("/") : [undefined, one.name];
  return {
    type: isRuntime(one.name) ? "platform" : "library",
    "bom-ref": purlOf(one),
    ...(scope === undefined ? {} : { group: scope }),
    name,
    version: one.version,
    scope: isInside ? "required" : "excluded",
    hashes: [hashOf(one)],
    licenses: [licenceOf(one.license)],
    purl: purlOf(one),
  };
}

/** Of the package as it lies in the registry. */
function hashOf({ integrity }: LockedPackage): Readonly<Record<string, string>> {
  const [algorithm = "", content = ""] = integrity.split("-");
  const alg = algorithm.replace(/^sha(\d+)$/, "SHA-$1");
  return { alg, content: Buffer.from(content, "base64").toString("hex") };
}

function licenceOf(text: string): Readonly<Record<string, unknown>> {
  if (/ (?:OR|AND|WITH) /.test(text)) return { expression: text };
  return { license: /^[\w.+-]+$/.test(text) ? { id: text } : { name: text } };
}

function dependenciesOf(lock: LockFile, own: string): readonly unknown[] {
  const edges = new Map<string, Set<string>>([[own, purls(lock, "", lock.needs)]]);
  for (const one of lock.packages) {
    const refs = edges.get(purlOf(one)) ?? new Set();
    edges.set(purlOf(one), refs.union(purls(lock, one.path, [...one.needs, ...one.canUse])));
  }
  return [...edges]
    .toSorted(([a], [b]) => compare(a, b))
    .map(([ref, dependsOn]) => ({ ref, dependsOn: [...dependsOn].toSorted(compare) }));
}

function purls(lock: LockFile, from: string, names: readonly string[]): Set<string> {
  const found = names.map((name) => findPackage(lock, name, from));
  return new Set(found.filter((one) => one !== null).map(purlOf));
}

/** The same on every machine, whatever its language. */
function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** Made of a hash, as version 8 of RFC 9562, section 5.8, allows. */
function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
  ];
  return [...parts, hex.slice(20, 32)].join("-");
}

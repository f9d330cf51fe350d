/** What Clever Cloud's API answers, read field by field: what is unknown is passed over, what is missing is told. */

import { type Fields, fieldsOf, isFields, objectsIn, textOf } from "./platform-json.ts";
import { ProviderError } from "./provider.ts";

/** An app in the summary of everything that a credential may see. */
export interface SummaryApp {
  readonly ownerId: string;
  readonly appId: string;
  readonly name: string;
  /** The platform's own word, `SHOULD_BE_UP` say. */
  readonly state: string;
}

/** A person or an organisation in the summary. */
export interface Owner {
  /** `user_<uuid>` or `orga_<uuid>`. */
  readonly id: string;
  readonly name: string;
  readonly isPersonal: boolean;
  readonly apps: readonly SummaryApp[];
}

/** One app, in full. */
export interface AppDetail {
  readonly appId: string;
  readonly name: string;
  readonly state: string;
  /** Names that lead to it, as they are written: with a path, perhaps with a leading `*.`. */
  readonly vhosts: readonly string[];
  /** It runs a task and ends, or was given up: nothing of ours. */
  readonly isForeign: boolean;
  /** When it was made, ms since the epoch; `null`: not said. */
  readonly createdMs: number | null;
}

/** One deployment. Words are the platform's own, of its API v2 or v4. */
export interface Deployment {
  /** `deployment_<uuid>`, or its number within the app. */
  readonly id: string;
  readonly state: string;
  readonly action: string;
}

/** Archived apps are left out. @throws ProviderError `protocol` */
export function readSummary(body: unknown): readonly Owner[] {
  const { user, organisations } = fieldsOf(body);
  if (!isFields(user) || !Array.isArray(organisations)) {
    throw unreadable("list the apps", "the summary names no user or no organisations");
  }
  return [ownerOf(user, true), ...objectsIn(organisations).map((fields) => ownerOf(fields, false))];
}

function ownerOf(fields: Fields, isPersonal: boolean): Owner {
  const id = textOf(fields.id);
  const apps = objectsIn(fields.applications)
    .filter((app) => app.archived !== true && id !== "" && textOf(app.id) !== "")
    .map((app) => ({
      ownerId: id,
      appId: textOf(app.id),
      name: textOf(app.name),
      state: textOf(app.state),
    }));
  return { id, name: textOf(fields.name), isPersonal, apps };
}

/** @throws ProviderError `protocol` when it is no app */
export function readApp(body: unknown): AppDetail {
  const fields = fieldsOf(body);
  if (textOf(fields.id) === "" || textOf(fields.state) === "") {
    throw unreadable("read an app", "the answer has no id or no state");
  }
  return detailOf(fields);
}

/** Entries that are no apps are left out. */
export function readApps(body: unknown): readonly AppDetail[] {
  return objectsIn(body)
    .filter((fields) => textOf(fields.id) !== "")
    .map(detailOf);
}

function detailOf(fields: Fields): AppDetail {
  return {
    appId: textOf(fields.id),
    name: textOf(fields.name),
    state: textOf(fields.state),
    vhosts: objectsIn(fields.vhosts)
      .map((vhost) => textOf(vhost.fqdn))
      .filter((fqdn) => fqdn !== ""),
    isForeign: fields.archived === true || fieldsOf(fields.instance).lifetime === "TASK",
    createdMs: typeof fields.creationDate === "number" ? fields.creationDate : null,
  };
}

/** The newest deployment, which comes first; `null` when there is none. @throws ProviderError `protocol` */
export function readNewest(body: unknown): Deployment | null {
  if (!Array.isArray(body)) throw unreadable("read the deployments", "the answer is no list");
  const [newest] = objectsIn(body);
  if (newest === undefined) return null;
  return {
    id: textOf(newest.uuid) || idIn(newest),
    state: textOf(newest.state),
    action: textOf(newest.action),
  };
}

/** Of some APIs it is a number. */
function idIn({ id }: Fields): string {
  return typeof id === "number" ? String(id) : textOf(id);
}

/** The state of each instance, in the platform's own word. @throws ProviderError `protocol` */
export function readInstances(body: unknown): readonly string[] {
  if (!Array.isArray(body)) throw unreadable("read the instances", "the answer is no list");
  return objectsIn(body).map((instance) => textOf(instance.state));
}

/** The platform's own number for what went wrong: `4014` of a body `{"id":4014,"type":"error"}`; `null`: none. */
export function errorIdOf(body: unknown): number | null {
  const id = fieldsOf(body).id;
  return typeof id === "number" ? id : null;
}

function unreadable(what: string, why: string): ProviderError {
  return new ProviderError("protocol", `could not ${what}: ${why}`);
}

/** Builds and releases on the fake Heroku. */

import type { Build, HerokuApp, Release, ReleaseStatus, World } from "./fake-heroku-model.ts";

/** The newest that succeeded: what dynos are started from. */
export function currentRelease(app: HerokuApp): Release {
  const release = app.releases.findLast(({ status }) => status === "succeeded");
  if (release === undefined) throw new Error(`${app.name} has no release`);
  return release;
}

/** Whether a build, or a release phase, goes on. */
export function isDeploying(app: HerokuApp): boolean {
  return app.builds.at(-1)?.status === "pending" || app.releases.at(-1)?.status === "pending";
}

export function addRelease(
  world: World,
  app: HerokuApp,
  { status, what }: { readonly status: ReleaseStatus; readonly what: string },
): Release {
  const nowMs = world.clock.now();
  const release: Release = {
    id: world.nextId(),
    version: (app.releases.at(-1)?.version ?? 0) + 1,
    description: what,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    status,
  };
  app.releases.push(release);
  touch(world, app);
  return release;
}

/** A push: a build is `pending`. The app goes on as it is. */
export function beginBuild(world: World, app: HerokuApp): Build {
  const nowMs = world.clock.now();
  const build: Build = {
    id: world.nextId(),
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    status: "pending",
    release: null,
  };
  app.builds.push(build);
  return build;
}

/**
 * A release phase begins: after the build that is pending, or by itself, as when config vars
 * change.
 */
export function beginReleasePhase(world: World, app: HerokuApp): void {
  const release = addRelease(world, app, { status: "pending", what: "Deploy abcdef12" });
  endBuild(world, app, release);
}

/** What was pending succeeded. The release is the current one; dynos are the caller's business. */
export function succeed(world: World, app: HerokuApp): void {
  const pending = app.releases.at(-1)?.status === "pending" ? app.releases.at(-1) : undefined;
  if (pending === undefined) {
    endBuild(world, app, addRelease(world, app, { status: "succeeded", what: "Deploy abcdef12" }));
  } else {
    endRelease(world, pending, "succeeded");
  }
  app.releasedAtMs = world.clock.now();
  touch(world, app);
}

/**
 * What was pending failed: the release phase if it had come so far, else the build. Dynos go on as
 * they are.
 */
export function fail(world: World, app: HerokuApp, status: "failed" | "expired"): void {
  const release = app.releases.at(-1);
  const build = app.builds.at(-1);
  if (release?.status === "pending") endRelease(world, release, status);
  else if (build?.status === "pending") endBuild(world, app, null);
  else throw new Error(`nothing of ${app.name} is pending`);
}

function endBuild(world: World, app: HerokuApp, release: Release | null): void {
  const build = app.builds.at(-1);
  if (build?.status !== "pending") return;
  build.status = release === null ? "failed" : "succeeded";
  build.release = release;
  build.updatedAtMs = world.clock.now();
}

function endRelease(world: World, release: Release, status: ReleaseStatus): void {
  release.status = status;
  release.updatedAtMs = world.clock.now();
}

/** Now is when the app was changed last. */
export function touch(world: World, app: HerokuApp): void {
  app.updatedAtMs = world.clock.now();
}

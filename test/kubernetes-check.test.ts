/** What `paastis check --online` asks a cluster, and what it says of the answers. */

import { expect, test } from "bun:test";
import { patient } from "./contract/provider.ts";
import { startDemoCluster } from "./support/one-workload-cluster.ts";
import { failureOf } from "./support/platform-server.ts";
import { statusAnswer } from "./support/scripted-cluster.ts";

test.each([403, 404])(
  "kubernetes check: a version that is kept back (%i) hides no apps",
  async (status) => {
    await using demo = await startDemoCluster();
    demo.state.instead = ({ path }) => (path === "/version" ? statusAnswer(status) : null);
    const account = `Kubernetes of an unknown version at ${new URL(demo.cluster.origin).host}`;
    expect(await demo.provider.check?.(patient())).toEqual([
      { account, region: "preview", apps: 1, remaining: null },
    ]);
  },
);

test("kubernetes check: credentials that are refused are a failure", async () => {
  await using demo = await startDemoCluster();
  demo.state.instead = () => statusAnswer(401);
  const failure = await failureOf(demo.provider.check?.(patient()) ?? Promise.resolve());
  expect(failure.kind).toBe("auth");
});

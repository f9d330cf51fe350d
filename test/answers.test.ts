import { describe, expect, test } from "bun:test";
import type { WakeProgress } from "../src/answers.ts";
import {
  createAnswers,
  isNavigation,
  isProgressRequest,
  progressAnswer,
  type WaitingPageOptions,
} from "../src/answers.ts";
import type { Answer, RequestHead } from "../src/engines/engine.ts";
import type { AnswerCode } from "../src/errors.ts";
import { ANSWER_CODES } from "../src/errors.ts";
import { LANGUAGES } from "../src/pages/language.ts";
import { OWN_LOOK } from "../src/pages/look.ts";
import { TEXTS } from "../src/pages/texts.ts";

const { error: errorAnswer, waiting } = createAnswers(OWN_LOOK);

const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const CODES = Object.keys(ANSWER_CODES) as AnswerCode[]; // The keys of a literal object.

function headOf(headers: Readonly<Record<string, string>> = {}, method = "GET"): RequestHead {
  return {
    method,
    target: "/",
    host: "shop.example",
    clientAddress: "10.0.0.7",
    header: (name) => headers[name] ?? null,
  };
}

function waitingPage(options: Omit<WaitingPageOptions, "head">, language = "en"): Answer {
  return waiting({ ...options, head: headOf({ "accept-language": language }) });
}

function headerOf(answer: Answer, name: string): string | null {
  const values = answer.headers.filter(([key]) => key.toLowerCase() === name.toLowerCase());
  expect(values.length).toBeLessThanOrEqual(1);
  return values[0]?.[1] ?? null;
}

function bodyOf(answer: Answer): string {
  if (typeof answer.body !== "string") throw new Error("the answer is a stream");
  return answer.body;
}

/** What a browser makes of a page: elements and their text, entities decoded. */
async function textsOf(page: string, selector: string): Promise<string[]> {
  const texts: string[] = [];
  const rewriter = new HTMLRewriter().on(selector, {
    element: () => void texts.push(""),
    text: (chunk) => void texts.push(`${texts.pop() ?? ""}${chunk.text}`),
  });
  await rewriter.transform(new Response(page)).text();
  return texts.map(decode);
}

function decode(text: string): string {
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', "#x27": "'", amp: "&" };
  return text.replaceAll(/&(lt|gt|quot|#x27|amp);/g, (_, name: string) => entities[name] ?? "");
}

describe("answers: errors", () => {
  for (const code of CODES) {
    test(`${code} has its status, code and headers in every form`, () => {
      const forms = {
        "*/*": "application/json",
        "text/plain": "text/plain",
        [BROWSER]: "text/html",
      };
      for (const [accept, type] of Object.entries(forms)) {
        const answer = errorAnswer({
          code,
          app: "shop",
          why: "it is so",
          head: headOf({ accept }),
        });
        expect(answer.status).toBe(ANSWER_CODES[code].status);
        expect(headerOf(answer, "paastis-error")).toBe(code);
        expect(headerOf(answer, "content-type")).toStartWith(type);
        expect(headerOf(answer, "cache-control")).toBe("no-store");
        expect(headerOf(answer, "x-content-type-options")).toBe("nosniff");
        expect(headerOf(answer, "content-length")).toBeNull();
        expect(headerOf(answer, "retry-after") !== null).toBe(answer.status === 503);
        expect(headerOf(answer, "allow") !== null).toBe(answer.status === 405);
        expect(bodyOf(answer)).toContain("it is so");
        expect(bodyOf(answer)).toContain("shop");
        expect(bodyOf(answer)).toContain(code);
      }
    });
  }

  test("JSON says what, which app, why and what to do", () => {
    const answer = errorAnswer({
      code: "app_failed",
      app: "shop",
      why: "exited with status 1\nboom",
      retryAfterMs: 1200,
      reference: "k3x9",
      head: headOf(),
    });
    expect(JSON.parse(bodyOf(answer))).toEqual({
      error: "app_failed",
      message: ANSWER_CODES.app_failed.meaning,
      app: "shop",
      reason: "exited with status 1\nboom",
      remedy: ANSWER_CODES.app_failed.remedy,
      retry_after_s: 2,
      reference: "k3x9",
    });
  });

  test("JSON leaves out what there is not, and says null for no app", () => {
    const answer = errorAnswer({ code: "unknown_app", app: null, why: "", head: headOf() });
    expect(JSON.parse(bodyOf(answer))).toEqual({
      error: "unknown_app",
      message: ANSWER_CODES.unknown_app.meaning,
      app: null,
      reason: "",
      remedy: ANSWER_CODES.unknown_app.remedy,
    });
  });

  test("Retry-After is in whole seconds, rounded up, at least 1", () => {
    const secondsOf = (retryAfterMs: number) =>
      headerOf(
        errorAnswer({ code: "app_failed", app: "a", why: "", retryAfterMs, head: headOf() }),
        "retry-after",
      );
    expect([0, -5, 1, 1000, 1001, 90_000].map(secondsOf)).toEqual(["1", "1", "1", "1", "2", "90"]);
  });

  test("text is plain lines", () => {
    const head = headOf({ accept: "text/plain" });
    const answer = errorAnswer({ code: "hold_full", app: "shop", why: "100 wait", head });
    expect(bodyOf(answer).split("\n")).toEqual([
      ANSWER_CODES.hold_full.meaning,
      "App: shop",
      "Reason: 100 wait",
      `What to do: ${ANSWER_CODES.hold_full.remedy}`,
      "Try again after: 5 s",
      "Code: hold_full",
      "",
    ]);
  });

  test("a POST gets HTML only when it names text/html, and no button that would send it again", () => {
    const answerTo = (head: RequestHead) =>
      errorAnswer({ code: "app_failed", app: "shop", why: "it fell", head });
    expect(headerOf(answerTo(headOf({ accept: "*/*" }, "POST")), "content-type")).toBe(
      "application/json",
    );
    const form = answerTo(headOf({ accept: BROWSER }, "POST"));
    expect(headerOf(form, "content-type")).toStartWith("text/html");
    expect(bodyOf(form)).not.toContain('class="retry"');
    expect(bodyOf(answerTo(headOf({ accept: BROWSER })))).toContain('class="retry"');
  });

  test("a page shows names between backticks as code, and the reference", async () => {
    const head = headOf({ accept: BROWSER });
    const answer = errorAnswer({
      code: "hold_full",
      app: "s",
      why: "x",
      reference: "k3-`9`",
      head,
    });
    expect(await textsOf(bodyOf(answer), "code")).toEqual([
      "k3-`9`",
      "HOLD_MAX_PER_APP",
      "HOLD_MAX_TOTAL",
      "hold_full",
    ]);
  });
});

const HOSTILE = [
  "exited; </script><script>alert(1)</script></style><!-- \"a\" 'b' &amp; &lt;",
  "\u001b[31mred\u001b[0m\u0000\u0007 <img src=x onerror=alert(2)>",
  "x".repeat(2000),
].join("\n");
const HOSTILE_SHOWN = HOSTILE.replace("\u001b[31mred\u001b[0m\u0000\u0007", "red");

describe("answers: hostile text", () => {
  const hostileKey = `"><script>alert(3)</script>`;

  test("a page shows an app's output as text", async () => {
    const head = headOf({ accept: BROWSER });
    const page = bodyOf(
      errorAnswer({
        code: "app_failed",
        app: hostileKey,
        why: HOSTILE,
        reference: hostileKey,
        head,
      }),
    );
    expect(await textsOf(page, "pre.reason.output")).toEqual([`\n${HOSTILE_SHOWN}`]);
    expect(await textsOf(page, "p.app")).toEqual([hostileKey]);
    expect(await textsOf(page, "script")).toHaveLength(1);
    expect(await textsOf(page, "img")).toEqual([]);
  });

  test("the waiting page shows an app's name as text, in attributes too", async () => {
    const page = bodyOf(waitingPage({ app: hostileKey, elapsedMs: 0, estimateMs: null }));
    expect(await textsOf(page, "title")).toEqual([`${hostileKey} is waking up`]);
    expect(await textsOf(page, "script")).toHaveLength(1);
    expect(page).toContain('aria-label="Waking &quot;&gt;&lt;script&gt;');
  });

  test("JSON and text hold no escape sequences", () => {
    for (const accept of ["application/json", "text/plain"]) {
      const head = headOf({ accept });
      const body = bodyOf(errorAnswer({ code: "app_failed", app: "s", why: HOSTILE, head }));
      const reason = accept === "text/plain" ? body : JSON.parse(body).reason;
      expect(reason).toContain(HOSTILE_SHOWN);
      expect(reason).not.toMatch(/(?![\n\t])\p{Cc}/u);
    }
  });
});

describe("answers: pages", () => {
  const pages = {
    waiting: waitingPage({ app: "shop", elapsedMs: 4000, estimateMs: 12_000 }),
    error: errorAnswer({
      code: "app_failed",
      app: "shop",
      why: "x",
      head: headOf({ accept: BROWSER }),
    }),
  };
  for (const [name, answer] of Object.entries(pages)) {
    test(`the ${name} page's policy allows its own script and style, and nothing else`, () => {
      const page = bodyOf(answer);
      const policy = headerOf(answer, "content-security-policy") ?? "";
      const hashOf = (text: string | undefined) =>
        `'sha256-${new Bun.CryptoHasher("sha256").update(text ?? "").digest("base64")}'`;
      // As a browser cuts them out: up to the first end tag.
      const script = /<script[^>]*>([\s\S]*?)<\/script/.exec(page)?.[1];
      const style = /<style>([\s\S]*?)<\/style/.exec(page)?.[1];
      expect(script?.length).toBeGreaterThan(1000);
      expect(style?.length).toBeGreaterThan(1000);
      expect(policy.split("; ")).toEqual([
        "default-src 'none'",
        `script-src ${hashOf(script)}`,
        `style-src ${hashOf(style)}`,
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
      ]);
      expect(`${script}${style}`).not.toContain("\r"); // Browsers hash `\n` instead.
      expect(page).not.toMatch(/\s(style|on\w+)="/);
      expect(page.match(/\b(?:src|href|action)="(?!data:|")/g)).toBeNull();
      expect(page).toContain('<meta name="robots" content="noindex');
      expect(headerOf(answer, "referrer-policy")).toBe("no-referrer");
    });
  }

  test.each(LANGUAGES)("pages in %s say that they are, and are small", async (language) => {
    const head = headOf({ accept: BROWSER, "accept-language": language });
    const answers = [
      waitingPage({ app: "shop", elapsedMs: 4000, estimateMs: 12_000 }, language),
      errorAnswer({ code: "app_failed", app: "shop", why: "it took too long", head }),
    ];
    const headings = [
      TEXTS[language].wakingTitle.replace("{app}", "shop"),
      TEXTS[language].errors.app_failed.replace(/\.$/, ""),
    ];
    for (const [index, answer] of answers.entries()) {
      const page = bodyOf(answer);
      expect(page).toContain(`<html lang="${language}" dir="ltr">`);
      expect(headerOf(answer, "content-language")).toBe(language);
      expect(headerOf(answer, "vary")).toBe("Accept-Language");
      expect((await textsOf(page, "h1"))[0]).toBe(headings[index] ?? "");
      expect(Buffer.byteLength(page)).toBeLessThan(15_000);
    }
    const other = headOf({ accept: "*/*", "accept-language": language });
    const inJson = errorAnswer({ code: "app_failed", app: "shop", why: "", head: other });
    expect(JSON.parse(bodyOf(inJson)).message).toBe(ANSWER_CODES.app_failed.meaning);
    expect(headerOf(inJson, "vary")).toBeNull();
  });

  test("the waiting page is a 503 that says when to come back", () => {
    const answer = pages.waiting;
    expect(answer.status).toBe(503);
    expect(headerOf(answer, "paastis-error")).toBe("app_waking");
    expect(headerOf(answer, "cache-control")).toBe("no-store");
    expect(headerOf(answer, "retry-after")).toBe("8");
    expect(bodyOf(answer)).toContain(
      '<noscript><meta http-equiv="refresh" content="8; url=/"></noscript>',
    );
  });

  const TARGETS: readonly (readonly [target: string, content: string])[] = [
    ["/a%20b?q=1;2", "8; url=/a%20b?q=1;2"],
    ['/"><script>', "8; url=/&quot;&gt;&lt;script&gt;"],
    ["//elsewhere.example/a", "8; url=/.//elsewhere.example/a"],
    ["/\\elsewhere.example/a", "8; url=/./\\elsewhere.example/a"],
    ["/\t/elsewhere.example", "8"],
    ["http://shop.example/a", "8"],
    ["*", "8"],
  ];
  for (const [target, content] of TARGETS) {
    test(`a browser without JavaScript at ${JSON.stringify(target)} stays at this origin`, () => {
      const head = { ...headOf(), target };
      const page = bodyOf(waiting({ app: "shop", elapsedMs: 4000, estimateMs: 12_000, head }));
      expect(page).toContain(`<meta http-equiv="refresh" content="${content}">`);
    });
  }

  const TIMES: readonly [
    elapsedMs: number,
    estimateMs: number | null,
    pace: string,
    after: string,
  ][] = [
    [0, null, "first", "5"],
    [90_000, null, "first", "5"],
    [0, 1000, "usual", "2"],
    [2000, 9500, "usual", "8"],
    [0, 60_000, "usual", "10"],
    [10_000, 10_000, "usual", "5"],
    [10_001, 10_000, "longer", "5"],
    [0, 0, "usual", "5"],
  ];
  for (const [elapsedMs, estimateMs, pace, after] of TIMES) {
    test(`the waiting page after ${elapsedMs} of ${estimateMs} ms speaks of ${pace}`, () => {
      const answer = waitingPage({ app: "shop", elapsedMs, estimateMs });
      expect(bodyOf(answer)).toContain(`data-pace="${pace}"`);
      expect(headerOf(answer, "retry-after")).toBe(after);
      expect(bodyOf(answer)).not.toMatch(/="[^"]*(NaN|Infinity|undefined|null)/);
    });
  }
});

describe("answers: progress", () => {
  async function* scripted(...steps: WakeProgress[]): AsyncGenerator<WakeProgress> {
    yield* steps;
  }

  async function eventsOf(answer: Answer): Promise<string[]> {
    const pieces: string[] = [];
    for await (const piece of answer.body) pieces.push(piece);
    return pieces;
  }

  test("is an event stream that nobody keeps or holds back", () => {
    const answer = progressAnswer(scripted(), headOf());
    expect(answer.status).toBe(200);
    expect(headerOf(answer, "content-type")).toStartWith("text/event-stream");
    expect(headerOf(answer, "cache-control")).toBe("no-store");
    expect(headerOf(answer, "x-accel-buffering")).toBe("no");
    expect(headerOf(answer, "paastis-progress")).toBe("1");
    expect(headerOf(answer, "paastis-error")).toBe("app_waking");
  });

  test("begins with a comment, and ends after ready even when more would come", async () => {
    const waking = { kind: "waking", elapsedMs: 5, estimateMs: null, step: "starting" } as const;
    let wasEnded = false;
    async function* endless(): AsyncGenerator<WakeProgress> {
      try {
        yield waking;
        for (let more = 0; more < 3; more += 1) yield { kind: "ready" };
      } finally {
        wasEnded = true;
      }
    }
    expect(await eventsOf(progressAnswer(endless(), headOf()))).toEqual([
      ": how the wake goes\n\n",
      'event: waking\ndata: {"elapsedMs":5,"estimateMs":null,"step":"starting"}\n\n',
      "event: ready\ndata: {}\n\n",
    ]);
    expect(wasEnded).toBe(true);
  });

  test("a failure with line breaks is one data line, cleaned", async () => {
    const shared = { hasCrashed: false, retryAfterMs: 9000, reference: "r1" };
    const failed = { kind: "failed", why: HOSTILE, ...shared } as const;
    const [, event = "", ...more] = await eventsOf(
      progressAnswer(scripted(failed), headOf({ "accept-language": "de" })),
    );
    expect(more).toEqual([]);
    const lines = event.split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[0]).toBe("event: failed");
    expect(JSON.parse(lines[1]?.slice("data: ".length) ?? "")).toEqual({
      why: HOSTILE_SHOWN,
      hasCrashed: false,
      retryAfterMs: 9000,
      reference: "r1",
      language: "en",
    });
  });

  test("a client that leaves ends the progress at once, while nothing comes", async () => {
    const left = Promise.withResolvers<IteratorResult<WakeProgress>>();
    let returns = 0;
    const silent: AsyncIterator<WakeProgress> = {
      next: () => left.promise,
      async return() {
        returns += 1;
        left.resolve({ done: true, value: undefined });
        return { done: true, value: undefined };
      },
    };
    const answer = progressAnswer({ [Symbol.asyncIterator]: () => silent }, headOf());
    const stream = (answer.body as AsyncIterable<string>)[Symbol.asyncIterator](); // As above.
    await stream.next();
    const pending = stream.next();
    await stream.return?.();
    expect(await pending).toEqual({ done: true, value: undefined });
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(returns).toBe(1);
  });
});

describe("answers: who asks", () => {
  const navigate = { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
  const CASES: readonly [
    who: string,
    isPage: boolean,
    headers: Readonly<Record<string, string>>,
    method?: string,
  ][] = [
    ["a browser over https", true, { accept: BROWSER, ...navigate }],
    ["a browser over http", true, { accept: BROWSER }],
    ["a frame", true, { accept: BROWSER, ...navigate, "sec-fetch-dest": "iframe" }],
    ["an object element", false, { accept: BROWSER, ...navigate, "sec-fetch-dest": "object" }],
    ["fetch() for HTML", false, { accept: "text/html", "sec-fetch-mode": "cors" }],
    ["an image", false, { accept: "image/*,*/*;q=0.8", "sec-fetch-mode": "no-cors" }],
    ["a script that claims HTML", false, { accept: BROWSER, "sec-fetch-mode": "no-cors" }],
    ["same-origin fetch()", false, { accept: "*/*", "sec-fetch-mode": "same-origin" }],
    ["jQuery over http", false, { accept: "text/html, */*", "x-requested-with": "XMLHttpRequest" }],
    ["curl", false, { accept: "*/*" }],
    ["a client without Accept", false, {}],
    ["an API client that would take HTML", false, { accept: "application/json, text/html;q=0.5" }],
    ["a client that refuses HTML", false, { accept: "text/html;q=0, */*" }],
    ["a form", false, { accept: BROWSER, ...navigate }, "POST"],
    ["HEAD", false, { accept: BROWSER, ...navigate }, "HEAD"],
    ["the waiting page", false, { accept: "text/event-stream", "paastis-progress": "1" }],
    ["progress that claims HTML", false, { accept: BROWSER, "paastis-progress": "1" }],
  ];
  for (const [who, isPage, headers, method] of CASES) {
    test(`${who} ${isPage ? "may" : "may not"} get the waiting page`, () => {
      expect(isNavigation(headOf(headers, method))).toBe(isPage);
    });
  }

  test("only a GET with our header asks for progress", () => {
    expect(isProgressRequest(headOf({ "paastis-progress": "1" }))).toBe(true);
    expect(isProgressRequest(headOf({ "paastis-progress": "1" }, "POST"))).toBe(false);
    expect(isProgressRequest(headOf({ accept: "text/event-stream" }))).toBe(false);
  });
});

test.each([
  ["app_maintenance", "This is on purpose, and will pass."],
  ["app_failed", "Trying again often helps."],
  ["unknown_app", "Please check the address."],
] as const)("error pages: what to do about %s is %s", (code, advice) => {
  const head = headOf({ accept: BROWSER });
  const page = errorAnswer({ code, app: "shop", why: "Back at noon", head });
  expect(String(page.body)).toContain(`<p>${advice}`);
});

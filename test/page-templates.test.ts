import { describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createAnswers } from "../src/answers.ts";
import type { Answer, RequestHead } from "../src/engines/engine.ts";
import type { Theme } from "../src/pages/look.ts";
import { templateFor } from "../src/pages/look.ts";
import { readTemplate, render, type TemplateKind } from "../src/pages/template.ts";
import { readTheme } from "../src/pages/theme.ts";
import { watchTheme } from "../src/pages/theme-watch.ts";
import { recordingLog } from "./support/recording-log.ts";
import { tempDir } from "./support/temp-dir.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const page = (body: string, head = "{{head}}") =>
  `<!doctype html>\n<html lang="{{lang}}"><head>${head}</head>\n<body>\n${body}\n</body></html>`;
const WAITING = page("<h1>{{app}}</h1>{{progress}}");
const ERROR = page("{{problem}}");

function problemsOf(text: string, kind: TemplateKind = "waiting"): readonly string[] {
  const reading = readTemplate(kind, text);
  if ("template" in reading) return [];
  return reading.problems.map(({ line, why }) => `${line}: ${why}`);
}

function templateOf(text: string, kind: TemplateKind = "waiting") {
  const reading = readTemplate(kind, text);
  if ("problems" in reading) throw new Error(JSON.stringify(reading.problems));
  return reading.template;
}

function headOf(headers: Readonly<Record<string, string>> = {}): RequestHead {
  const clientAddress = "10.0.0.7";
  const header = (name: string) => headers[name] ?? null;
  return { method: "GET", target: "/", host: "shop.example", clientAddress, header };
}

const bodyOf = ({ body }: Answer) => (typeof body === "string" ? body : "");
const headerOf = (answer: Answer, name: string) =>
  answer.headers.find(([key]) => key === name)?.[1] ?? "";

describe("templates", () => {
  const REFUSED: readonly (readonly [what: string, text: string, problem: string])[] = [
    [
      "an unknown placeholder",
      page("{{progress}}\n{{colour}}"),
      "5: unknown placeholder {{colour}}",
    ],
    ["one of another page", page("{{progress}}{{reason}}"), "4: unknown placeholder {{reason}}"],
    ["a missing block", page("{{app}}"), "5: the required placeholder {{progress}} is missing"],
    ["a missing head", page("{{progress}}", ""), "5: the required placeholder {{head}} is missing"],
    [
      "a block in a comment only",
      page("<!-- {{progress}} -->"),
      "5: the required placeholder {{progress}} is missing",
    ],
    ["an open placeholder", page("{{progress}}\n{{app"), "5: {{ begins a placeholder"],
    ["a block in an attribute", page('{{progress}}<p title="{{style}}">'), "4: {{style}} brings"],
    ["a block in the title", page("{{progress}}<title>{{head}}</title>"), "4: {{head}} brings"],
    ["an unquoted value", page("{{progress}}<p lang={{lang}}>"), "4: {{lang}} in a tag must be"],
    ["a placeholder in a style", page("{{progress}}<style>a{}\n{{app}}</style>"), "5: a <style>"],
    ["an import", page("{{progress}}<style>@import 'a.css';</style>"), "4: @import"],
    [
      "a picture from elsewhere",
      page('{{progress}}\n<img alt="" src="/a.png">'),
      '5: src="/a.png"',
    ],
    ["a picture in a style", page("{{progress}}<style>a{b:url(/a)}</style>"), "4: url(/a"],
    ["a style sheet", page('{{progress}}<link rel="stylesheet" href="/a">'), '4: href="/a"'],
    ["a script", page("{{progress}}<script>1</script>"), "4: <script> is not allowed"],
    ["a handler", page('{{progress}}<p onclick="x()">'), "4: onclick= is not allowed"],
    ["an inline style", page('{{progress}}<p style="color:red">'), "4: style= is not allowed"],
    ["a refresh", page('{{progress}}<meta http-equiv="refresh">'), "4: <meta http-equiv>"],
    ["a form", page("{{progress}}<form></form>"), "4: <form> is not allowed"],
    ["a filled link", page('{{progress}}<a href="/{{app}}">x</a>'), "4: href= cannot have"],
    ["an open style", page("{{progress}}\n<style>a{}"), "5: <style> is never closed"],
    ["an open comment", page("{{progress}}\n<!-- x"), "5: <!-- is never closed"],
    ["another mode of the browser", "<html>{{head}}{{progress}}", "1: it must begin with"],
  ];
  for (const [what, text, problem] of REFUSED) {
    test(`${what} is refused, with its line`, () => {
      const problems = problemsOf(text);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toStartWith(problem);
    });
  }

  test("all problems of a file are told at once", () => {
    expect(problemsOf("{{x}}\n{{y}}").map((text) => text.slice(0, 24))).toEqual([
      "1: it must begin with <!",
      "1: unknown placeholder {",
      "2: unknown placeholder {",
      "2: the required placehol",
      "2: the required placehol",
    ]);
  });

  test("what is harmless is allowed: links, pictures in the page, styles, white space", () => {
    const text = page(
      [
        '<a href="https://example.org/help?a=1">help</a> <img alt="" src="data:image/png;base64,AA">',
        '<svg><use href="#logo"/></svg> <p class=quiet title=\'{{ app }} > "x"\'>{ {not one} }</p>',
        "<style>a { background: url(data:image/png;base64,AA) }</style> {{ progress }}",
      ].join("\n"),
      "{{head}}<title>{{title}}</title>{{style}}",
    );
    expect(problemsOf(text)).toEqual([]);
  });

  test("values are escaped, in elements and attributes; comments are left out", () => {
    const template = templateOf(page('<!-- {{app}} --><p title="{{app}}">{{app}}</p>{{progress}}'));
    const hostile = `"><script>alert(1)</script>'&`;
    const text = render(template, { app: hostile, progress: { markup: "<b>ok</b>" } });
    const escaped = Bun.escapeHTML(hostile);
    expect(text).toContain(`<body>\n<p title="${escaped}">${escaped}</p><b>ok</b>`);
    expect(text).not.toContain("{{");
  });
});

describe("themes", () => {
  test("a folder's templates are read, an app's own one comes first", () => {
    using folder = tempDir();
    writeFileSync(folder.file("waiting.html"), WAITING);
    writeFileSync(folder.file("waiting.shop.html"), page("shop{{progress}}"));
    writeFileSync(folder.file("error.html"), ERROR);
    writeFileSync(folder.file("README.md"), "{{nothing}}");
    const reading = readTheme(folder.path);
    if (reading.kind === "unusable") throw new Error(reading.problems.join());
    const { theme } = reading;
    expect([...theme.keys()]).toEqual(["error", "waiting", "waiting.shop"]);
    expect(templateFor(theme, "waiting", "shop")).toBe(theme.get("waiting.shop") ?? null);
    expect(templateFor(theme, "waiting", "blog")).toBe(theme.get("waiting") ?? null);
    expect(templateFor(theme, "error", null)).toBe(theme.get("error") ?? null);
    expect(templateFor(null, "error", "shop")).toBeNull();
  });

  test("what cannot be used is told with file and line, all of it", () => {
    using folder = tempDir();
    writeFileSync(folder.file("error.html"), page("{{problem}}\n{{x}}"));
    writeFileSync(folder.file("failed.html"), ERROR);
    writeFileSync(folder.file("waiting.Shop.html"), WAITING);
    writeFileSync(folder.file("waiting.html"), new Uint8Array([0xff, 0xfe, 0x41]));
    writeFileSync(folder.file("waiting.blog.html"), WAITING + " ".repeat(300_000));
    mkdirSync(folder.file("waiting.docs.html"));
    const reading = readTheme(folder.path);
    expect(reading.kind === "unusable" ? reading.problems : []).toEqual([
      expect.stringMatching(/^error\.html, line 5: unknown placeholder \{\{x\}\}/),
      expect.stringMatching(/^failed\.html is no template: it must be waiting\.html/),
      expect.stringMatching(/^waiting\.Shop\.html is no template/),
      expect.stringMatching(/^waiting\.blog\.html is too large: 300\d+ characters, at most 262144/),
      "waiting.docs.html must be a file: it is a folder",
      "waiting.html is not UTF-8 text",
    ]);
  });

  test("a folder without templates, or that is none, is told", () => {
    using folder = tempDir();
    writeFileSync(folder.file("a.txt"), "");
    const problemsIn = (path: string) => {
      const reading = readTheme(path);
      return reading.kind === "unusable" ? reading.problems.join() : "";
    };
    expect(problemsIn(folder.path)).toContain("has no template: it must have waiting.html");
    expect(problemsIn(folder.file("none"))).toEndWith("none must be a folder that exists");
    expect(problemsIn(folder.file("a.txt"))).toEndWith("a.txt must be a folder that exists");
  });

  test("pages are made from them, with a policy for the styles of the template", () => {
    const style = "h1 { color: teal }";
    const theme: Theme = new Map([
      ["waiting", templateOf(page(`<style>${style}</style><h1>{{title}}</h1>{{progress}}`))],
      ["error", templateOf(page("{{status}} {{code}} {{reference}}{{problem}}"), "error")],
    ]);
    const answers = createAnswers({ current: () => theme });
    const waiting = answers.waiting({
      ...{ app: "shop", elapsedMs: 0, estimateMs: null },
      head: headOf({ "accept-language": "fr" }),
    });
    expect(bodyOf(waiting)).toContain("<h1>shop se réveille</h1>");
    expect(bodyOf(waiting)).toContain('<html lang="fr">');
    expect(bodyOf(waiting)).toContain('http-equiv="refresh"');
    const hash = new Bun.CryptoHasher("sha256").update(style).digest("base64");
    expect(headerOf(waiting, "Content-Security-Policy")).toContain(`'sha256-${hash}'`);
    const error = answers.error({
      ...{ code: "app_failed", app: "shop", why: "<b>", reference: "r1" },
      head: headOf({ accept: "text/html" }),
    });
    expect(bodyOf(error)).toContain("<body>\n503 app_failed r1<div");
    expect(bodyOf(error)).toContain("&lt;b&gt;");
    expect(headerOf(error, "Content-Security-Policy")).not.toContain(hash);
  });
});

describe("a theme that is watched", () => {
  const first = "<p>first</p>{{progress}}";

  async function watched() {
    const folder = tempDir();
    writeFileSync(folder.file("waiting.html"), page(first));
    const reading = readTheme(folder.path);
    if (reading.kind === "unusable") throw new Error(reading.problems.join());
    const clock = createVirtualClock();
    const { log, lines } = recordingLog();
    const source = watchTheme({ folder: folder.path, theme: reading.theme, clock, log });
    const shown = () =>
      /<p>(\w+)<\/p>/.exec(source.current()?.get("waiting")?.parts.join("") ?? "")?.[1] ?? null;
    const look = async () => {
      await clock.advance(2000);
      await clock.advance(2000);
    };
    return { folder, clock, lines, source, shown, look };
  }

  test("takes over what was changed, also by a rename, and says so once", async () => {
    const { folder, lines, shown, look, source } = await watched();
    using _folder = folder;
    await look();
    expect(lines).toEqual([]);
    writeFileSync(folder.file("waiting.html"), page("<p>second</p>{{progress}}"));
    await look();
    expect(shown()).toBe("second");
    writeFileSync(folder.file("waiting.new"), page("<p>third</p>{{progress}}"));
    renameSync(folder.file("waiting.new"), folder.file("waiting.html"));
    await look();
    await look();
    expect(shown()).toBe("third");
    expect(lines.map(({ message }) => message)).toEqual(
      Array(2).fill("new templates of pages are in use"),
    );
    source.end();
  });

  test("keeps the old templates while the new ones cannot be used, and says why once", async () => {
    const { folder, lines, shown, look, source } = await watched();
    using _folder = folder;
    writeFileSync(folder.file("waiting.html"), page("<p>broken</p>"));
    await look();
    await look();
    expect(shown()).toBe("first");
    expect(lines).toHaveLength(1);
    expect(JSON.stringify(lines[0])).toContain("waiting.html, line 5: the required placeholder");
    rmSync(folder.path, { recursive: true });
    await look();
    expect(shown()).toBe("first");
    source.end();
  });

  test("looks no longer when it has ended", async () => {
    const { folder, shown, look, source } = await watched();
    using _folder = folder;
    source.end();
    writeFileSync(folder.file("waiting.html"), page("<p>second</p>{{progress}}"));
    await look();
    expect(shown()).toBe("first");
  });
});

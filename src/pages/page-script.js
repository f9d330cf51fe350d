/** What our pages do by themselves: count down to a retry, follow a wake, open the app when it is ready. */

const RECONNECT_FIRST_MS = 500;
const RECONNECT_LAST_MS = 10_000;
/** Nothing heard for so long: something on the way keeps the stream back. Loading anew always works. */
const SILENCE_MAX_MS = 30_000;
/** So many refusals in a row are no passing trouble: show whatever is there now. */
const REFUSALS_MAX = 5;
/** A page that was loaded by itself stays at least so long, or two that disagree would take turns at full speed. */
const STAYS_MS = 2000;
const SHOWN_EVERY_MS = 200;
const BELOW_UNITS = 96;

const byId = (id) => document.getElementById(id);
const root = byId("paastis");
const texts = JSON.parse(root.dataset.texts);
const retry = root.querySelector(".retry");
retry?.addEventListener("click", onRetry);
if (root.dataset.state === "waking") followWake();
else if (retry !== null) countDown(Number(retry.dataset.afterS));

// Back again on a page that had gone on: what it shows is long over.
addEventListener("pageshow", (event) => event.persisted && location.reload());

function onRetry(event) {
  event.preventDefault();
  // Unlike the bare link, this keeps the address's fragment.
  if (retry.getAttribute("aria-disabled") !== "true") location.reload();
}

function countDown(seconds) {
  const endMs = performance.now() + seconds * 1000;
  const show = () => {
    const left = Math.ceil((endMs - performance.now()) / 1000);
    retry.textContent = left > 0 ? fill(texts.retryIn, timeText(left)) : texts.retry;
    if (left > 0) {
      retry.setAttribute("aria-disabled", "true");
      setTimeout(show, SHOWN_EVERY_MS);
    } else {
      retry.removeAttribute("aria-disabled");
    }
  };
  show();
}

async function followWake() {
  const wake = {
    startedMs: performance.now() - Number(root.dataset.elapsedMs),
    estimateMs: root.dataset.estimateMs === "" ? null : Number(root.dataset.estimateMs),
    isOver: false,
    troubles: 0,
    refusals: 0,
  };
  showTime(wake);
  while (!wake.isOver) {
    const went = await listen(wake);
    if (wake.isOver) return;
    wake.troubles += 1;
    wake.refusals = went === "refused" ? wake.refusals + 1 : 0;
    // Nobody looks at a hidden tab: it need not ask again and again.
    await shown();
    if (went === "app" || went === "silent" || wake.refusals >= REFUSALS_MAX) return open(wake);
    // A stream that was cut once is nothing to speak of.
    if (wake.troubles > 2) showStep(texts.interrupted);
    await pause(Math.min(RECONNECT_LAST_MS, RECONNECT_FIRST_MS * 2 ** (wake.troubles - 1)));
  }
}

/**
 * Reads the progress stream until it ends.
 * @returns `cut`: no connection, or it ended early; `refused`: somebody on the way, or Paastis, cannot serve it
 *   now; `silent`: nothing came; `app`: the app itself answered
 */
async function listen(wake) {
  const controller = new AbortController();
  let isSilent = false;
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      isSilent = true;
      controller.abort();
    }, SILENCE_MAX_MS);
  };
  heard();
  try {
    // Built from parts: `fetch` refuses an address with a user name in it.
    const response = await fetch(location.origin + location.pathname + location.search, {
      headers: { accept: "text/event-stream", "paastis-progress": "1" },
      cache: "no-store",
      redirect: "manual",
      signal: controller.signal,
    });
    if (response.headers.get("paastis-progress") !== "1") {
      controller.abort();
      return [502, 503, 504].includes(response.status) ? "refused" : "app";
    }
    await readEvents(response.body, (event) => {
      heard();
      wake.troubles = 0;
      wake.refusals = 0;
      onProgress(wake, event);
    });
    return "cut";
  } catch {
    return isSilent ? "silent" : "cut";
  } finally {
    clearTimeout(timer);
  }
}

/** The part of the event stream format that Paastis uses: `event`, one line of JSON in `data`, comments. */
async function readEvents(body, onEvent) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    pending += decoder.decode(value, { stream: true });
    const blocks = pending.split("\n\n");
    pending = blocks.pop();
    for (const block of blocks) {
      const kind = /^event: (.*)$/m.exec(block);
      const data = /^data: (.*)$/m.exec(block);
      if (kind !== null && data !== null) onEvent({ kind: kind[1], ...JSON.parse(data[1]) });
    }
  }
}

function onProgress(wake, progress) {
  if (wake.isOver) return;
  if (progress.kind === "waking") {
    wake.startedMs = performance.now() - progress.elapsedMs;
    wake.estimateMs = progress.estimateMs;
    showStep(fill(texts.steps[progress.step] ?? "", progress.obstacle ?? ""));
  } else if (progress.kind === "ready") {
    open(wake);
  } else if (progress.kind === "failed") {
    wake.isOver = true;
    showFailure(progress);
  }
}

/** `reload` keeps the whole address, and asks the way the browser asked the first time. */
async function open(wake) {
  wake.isOver = true;
  showStep(texts.ready);
  const isReloaded = performance.getEntriesByType("navigation")[0]?.type === "reload";
  if (isReloaded) await pause(STAYS_MS - performance.now());
  location.reload();
}

function showStep(text) {
  const step = byId("step");
  // Said again, the same words would be read out again.
  if (step.textContent !== text) step.textContent = text;
}

function showTime(wake) {
  if (wake.isOver) return;
  const { estimateMs } = wake;
  const elapsedMs = performance.now() - wake.startedMs;
  const pace = estimateMs === null ? "first" : elapsedMs <= estimateMs ? "usual" : "longer";
  root.dataset.pace = pace;
  const elapsed = timeText(Math.max(0, Math.floor(elapsedMs / 1000)));
  const usually = timeText(Math.max(1, Math.round((estimateMs ?? 0) / 1000)));
  byId("time").textContent = `${fill(texts.elapsed, elapsed)} ${fill(texts.pace[pace], usually)}`;
  const share = pace === "usual" ? Math.min(1, elapsedMs / (estimateMs || 1)) : null;
  showShare(byId("bar"), share);
  setTimeout(() => showTime(wake), SHOWN_EVERY_MS);
}

/** In steps of five, as some screen readers speak or beep with each change. */
function showShare(bar, share) {
  byId("sun")?.setAttribute("transform", `translate(0 ${BELOW_UNITS * (1 - (share ?? 0.4))})`);
  if (share === null) return bar.removeAttribute("aria-valuenow");
  byId("fill").setAttribute("width", `${(100 * share).toFixed(1)}%`);
  bar.setAttribute("aria-valuenow", String(Math.floor(share * 20) * 5));
}

function showFailure({ why, language, hasCrashed, retryAfterMs, reference }) {
  const failed = byId("failed");
  const reason = failed.querySelector(".reason");
  reason.textContent = why;
  reason.lang = language;
  reason.classList.toggle("output", why.includes("\n"));
  const named = failed.querySelector(".reference");
  named.hidden = reference === null;
  named.querySelector("code").textContent = reference;
  byId("waking").hidden = true;
  failed.hidden = false;
  root.dataset.state = "failed";
  const title = hasCrashed ? texts.crashed : texts.failed;
  failed.querySelector("h1").textContent = title;
  document.title = title;
  countDown(Math.ceil(retryAfterMs / 1000));
}

function fill(text, value) {
  return text.replace(/\{\w+\}/, () => value);
}

function timeText(seconds) {
  if (seconds < 100) return `${seconds} s`;
  const rest = seconds % 60;
  const minutes = `${Math.floor(seconds / 60)} min`;
  return rest === 0 ? minutes : `${minutes} ${rest} s`;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function shown() {
  while (document.hidden) {
    await new Promise((resolve) =>
      document.addEventListener("visibilitychange", resolve, { once: true }),
    );
  }
}

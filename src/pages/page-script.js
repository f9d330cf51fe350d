/** What our pages do by themselves: count down to a retry, follow a wake, open the app when it is ready. */

const RECONNECT_FIRST_MS = 500;
const RECONNECT_LAST_MS = 10_000;
/** Nothing heard for so long: something on the way keeps the stream back. Loading anew always works. */
const SILENCE_MAX_MS = 30_000;
/** So many refusals in a row are not a passing trouble: show whatever is there now. */
const REFUSALS_MAX = 5;
const SHOWN_EVERY_MS = 200;

const main = document.querySelector("main");
const retry = main.querySelector(".retry");
if (retry !== null) retry.addEventListener("click", onRetry);
if (main.dataset.state === "waking") followWake();
else if (retry !== null) countDown(Number(retry.dataset.afterS));

function onRetry(event) {
  event.preventDefault();
  // Unlike the bare link, this keeps the address's fragment.
  if (retry.getAttribute("aria-disabled") !== "true") location.reload();
}

function countDown(seconds) {
  const endMs = performance.now() + seconds * 1000;
  const show = () => {
    const left = Math.ceil((endMs - performance.now()) / 1000);
    retry.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
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
    startedMs: performance.now() - Number(main.dataset.elapsedMs),
    estimateMs: main.dataset.estimateMs === "" ? null : Number(main.dataset.estimateMs),
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
    if (went === "app" || went === "silent" || wake.refusals >= REFUSALS_MAX) return open(wake);
    // A stream that was cut once is nothing to speak of.
    if (wake.troubles > 2) showStep("The connection is interrupted; trying again.");
    const delayMs = Math.min(RECONNECT_LAST_MS, RECONNECT_FIRST_MS * 2 ** (wake.troubles - 1));
    await new Promise((resolve) => setTimeout(resolve, delayMs));
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
    showStep(`Now: ${progress.step}`);
  } else if (progress.kind === "ready") {
    open(wake);
  } else if (progress.kind === "failed") {
    wake.isOver = true;
    showFailure(progress);
  }
}

/** `reload` keeps the whole address, and asks the way the browser asked the first time. */
function open(wake) {
  wake.isOver = true;
  showStep("Ready. Opening it.");
  location.reload();
}

function showStep(text) {
  const step = document.getElementById("step");
  // Said again, the same words would be read out again.
  if (step.textContent !== text) step.textContent = text;
}

function showTime(wake) {
  if (wake.isOver) return;
  const { estimateMs } = wake;
  const elapsedMs = performance.now() - wake.startedMs;
  const pace = estimateMs === null ? "first" : elapsedMs <= estimateMs ? "usual" : "longer";
  main.dataset.pace = pace;
  document.getElementById("elapsed").textContent = Math.max(0, Math.floor(elapsedMs / 1000));
  for (const usually of main.querySelectorAll(".usually")) {
    usually.textContent = Math.max(1, Math.round((estimateMs ?? 0) / 1000));
  }
  const bar = document.getElementById("bar");
  if (pace === "usual") {
    const percent = Math.min(100, (100 * elapsedMs) / (estimateMs || 1));
    document.getElementById("fill").setAttribute("width", `${percent.toFixed(1)}%`);
    bar.setAttribute("aria-valuenow", String(Math.round(percent)));
  } else {
    bar.removeAttribute("aria-valuenow");
  }
  setTimeout(() => showTime(wake), SHOWN_EVERY_MS);
}

function showFailure(progress) {
  const reason = main.querySelector("#failed .reason");
  reason.textContent = progress.why;
  reason.classList.toggle("output", progress.why.includes("\n"));
  document.getElementById("waking").hidden = true;
  document.getElementById("failed").hidden = false;
  main.dataset.state = "failed";
  const heading = document.querySelector("#failed h1");
  if (progress.hasCrashed) heading.textContent = heading.dataset.crashed;
  document.title = heading.textContent;
  countDown(Math.ceil(progress.retryAfterMs / 1000));
}

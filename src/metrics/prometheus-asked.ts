/** Which form of the metrics a request asks for. Pure. */

/** JSON, or one of the two that Prometheus reads. */
export type MetricsForm = "json" | "text" | "openmetrics";

const FORMS: Readonly<Record<string, MetricsForm>> = {
  "application/openmetrics-text": "openmetrics",
  "text/plain": "text",
  "text/*": "text",
  "application/json": "json",
  "application/*": "json",
  "*/*": "json",
};

/**
 * What `?format=` says, or else what the header `Accept` likes best; of what it likes equally, the first. JSON where
 * neither says anything.
 * @param accept `null`: there is none
 */
export function metricsFormOf(format: string | null, accept: string | null): MetricsForm {
  const wanted = accept === null ? "json" : bestOf(accept);
  if (format === "json") return "json";
  if (format === "openmetrics") return "openmetrics";
  // Scrapers say by the header which of the two it is to be.
  if (format === "prometheus") return wanted === "json" ? "text" : wanted;
  return wanted;
}

function bestOf(accept: string): MetricsForm {
  let best: MetricsForm = "json";
  let bestQuality = 0;
  for (const part of accept.split(",")) {
    const [type = "", ...parameters] = part.split(";").map((word) => word.trim().toLowerCase());
    const form = FORMS[type];
    const quality = qualityOf(parameters);
    if (form === undefined || quality <= bestQuality) continue;
    best = form;
    bestQuality = quality;
  }
  return best;
}

/** RFC 9110, section 12.4.2. */
function qualityOf(parameters: readonly string[]): number {
  const given = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
  const quality = given === undefined ? 1 : Number(given);
  return quality >= 0 && quality <= 1 ? quality : 0;
}

/** The environment variables that our runtime must find at its start. */

/**
 * How many requests the HTTP client makes at a time (its most; 256 without), and how long it keeps a DNS
 * answer, in seconds (30 without). Apps must not inherit them.
 */
export const RUNTIME_VARIABLES = {
  BUN_CONFIG_MAX_HTTP_REQUESTS: "65535",
  BUN_CONFIG_DNS_TIME_TO_LIVE_SECONDS: "5",
} as const;

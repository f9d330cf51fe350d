/** Header names that come again and again, so that the usual request lower-cases none. */

const USUAL = `
Accept Accept-CH Accept-Charset Accept-Encoding Accept-Language Accept-Ranges
Access-Control-Allow-Credentials Access-Control-Allow-Headers Access-Control-Allow-Methods
Access-Control-Allow-Origin Access-Control-Expose-Headers Access-Control-Max-Age
Access-Control-Request-Headers Access-Control-Request-Method Age Allow Alt-Svc Authorization
Cache-Control Connection Content-Disposition Content-Encoding Content-Language Content-Length
Content-Location Content-Range Content-Security-Policy Content-Type Cookie
Cross-Origin-Embedder-Policy Cross-Origin-Opener-Policy Cross-Origin-Resource-Policy DNT Date ETag
Expect Expires Forwarded From Host If-Match If-Modified-Since If-None-Match If-Range
If-Unmodified-Since Keep-Alive Last-Event-ID Last-Modified Link Location Max-Forwards Origin
Permissions-Policy Pragma Priority Proxy-Authenticate Proxy-Authorization Proxy-Connection Range
Referer Referrer-Policy Refresh Retry-After Sec-CH-UA Sec-CH-UA-Mobile Sec-CH-UA-Platform
Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User Sec-WebSocket-Accept
Sec-WebSocket-Extensions Sec-WebSocket-Key Sec-WebSocket-Protocol Sec-WebSocket-Version Server
Server-Timing Set-Cookie Strict-Transport-Security TE Trailer Transfer-Encoding Upgrade
Upgrade-Insecure-Requests User-Agent Vary Via WWW-Authenticate Warning X-Content-Type-Options
X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X-Frame-Options X-Powered-By
X-Real-IP X-Request-Id X-Requested-With X-XSS-Protection traceparent tracestate`;

/** From a name as it is usually written, or in lower case, to the name in lower case. */
export const HEADER_NAMES: ReadonlyMap<string, string> = new Map(
  USUAL.trim()
    .split(/\s/)
    .flatMap((name) => {
      const lower = name.toLowerCase();
      return [
        [name, lower],
        [lower, lower],
      ];
    }),
);

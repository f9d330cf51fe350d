-- For wrk. What follows the address on its command line says more:
--   varied          no two requests on a connection are alike, nor the answers to them
--   upload <bytes>  each request has a body of so many bytes
--   hosts <count>   each request is for another of so many hosts, h0.example, h1.example …
function init(args)
  local path = wrk.path
  local count = math.random(1000000)
  if args[1] == "varied" then
    request = function()
      count = count + 1
      return wrk.format("GET", path .. "-" .. (count * 7 % 61) .. "?q=" .. count)
    end
  elseif args[1] == "upload" then
    wrk.method = "POST"
    wrk.body = string.rep("u", tonumber(args[2]))
  elseif args[1] == "hosts" then
    local hosts = tonumber(args[2])
    request = function()
      count = count + 7919
      wrk.headers["Host"] = "h" .. (count % hosts) .. ".example"
      return wrk.format("GET", path)
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %d %d %d %d %d %d %d\n",
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)
  ))
end

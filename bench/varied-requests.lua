-- For wrk: asks for another path each time, so that no two heads on a connection are alike.
local count = math.random(1000000)
local path = wrk.path
request = function()
  count = count + 1
  return wrk.format("GET", path .. "-" .. (count * 7 % 61) .. "?q=" .. count)
end

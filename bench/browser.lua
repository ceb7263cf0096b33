-- Sends the requests of a file, one after the other, whoever's turn it is; tells exact figures at the end.
-- wrk -s browser.lua URL -- FILE PAUSE, the pause of each connection between two requests, in milliseconds

-- Any name in the URL (TLS needs it for SNI) leads to this machine, without DNS.
function wrk.resolve(host, service)
  wrk.addrs = wrk.lookup("127.0.0.1", service)
end

local requests, count, last = {}, 0, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  for request in file:read("*a"):gmatch("(.-\r\n\r\n)") do
    count = count + 1
    requests[count] = request
  end
  file:close()
  local pause = tonumber(arguments[2])
  if pause > 0 then
    -- That there is such a function is what wrk asks for.
    function delay()
      return pause
    end
  end
end

function request()
  last = last % count + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %d, "p90": %d, "p99": %d, "most": %d, '
      .. '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end

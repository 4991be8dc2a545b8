-- Its arguments, if any, are the file with the request's body, or "-" for none, and "numbered": then every 00000000 of
-- the request is a number that no other request has. Without that word wrk makes the request once, after this.
init = function(arguments)
  if arguments[1] and arguments[1] ~= "-" then
    local file = assert(io.open(arguments[1], "rb"))
    wrk.method = "POST"
    wrk.body = file:read("*a")
    file:close()
  end
  if arguments[2] == "numbered" then
    local template = wrk.format()
    math.randomseed(os.time())
    local number = math.random(0, 89999999)
    request = function()
      number = number + 1
      return (template:gsub("00000000", string.format("%08d", number)))
    end
  end
end

-- What wrk measured, as one line of JSON.
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d,'
      .. '"connect_errors":%d,"read_errors":%d,"write_errors":%d,"timeouts":%d,"bad_statuses":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end

-- Counts and times of the requests, for the CloudWatch agent: StatsD on the host's own address, summed up in each worker and
-- sent every ten seconds. A request only adds to a table. Nobody has to listen: what can't be sent is forgotten.
local _M = {}

local HOST, PORT = "127.0.0.1", 8125
local INTERVAL = 10
-- What fits into one packet on any network.
local PACKET = 1400
-- Times are kept by their logarithm: 40 steps for each power of ten are at most 3 % off, in a table that stays small.
local STEPS = 40
local MEASURED_FROM = 0.1

-- |#Fleet:demo,Cell:main
local tags = ""
local counts, times = {}, {}

-- Health checks say nothing about what clients see.
local UNCOUNTED = { ["/health"] = true, ["/ready"] = true, ["/api/v1/health"] = true }
-- What the query cache notes of a request; another status (bypass, off) is neither.
local CACHED = { hit = "CacheHits", shared = "CacheHits", miss = "CacheMisses", skipped = "CacheMisses" }

function _M.configure(dimensions)
    local parts = {}
    for name, value in pairs(dimensions) do
        parts[#parts + 1] = name .. ":" .. value
    end
    table.sort(parts)
    tags = #parts > 0 and "|#" .. table.concat(parts, ",") or ""
end

function _M.count(name)
    counts[name] = (counts[name] or 0) + 1
end

function _M.time(name, seconds)
    local milliseconds = math.max(seconds * 1000, MEASURED_FROM)
    local step = math.floor(math.log10(milliseconds) * STEPS + 0.5)
    times[name] = times[name] or {}
    times[name][step] = (times[name][step] or 0) + 1
end

-- Log phase, once for each request. By the request's line and by variables: another location changes the path and loses ngx.ctx.
function _M.log()
    local var = ngx.var
    -- Without one nginx got no further than the request's first line.
    if UNCOUNTED[(var.request_uri or ""):match("^[^?]*")] then
        return
    end
    local status = tonumber(var.status)
    _M.count("Requests")
    if status == 429 then
        _M.count("RequestsShed")
    elseif status >= 500 then
        _M.count("ServerErrors")
    elseif status >= 400 then
        _M.count("ClientErrors")
    end
    _M.time("RequestMilliseconds", tonumber(var.request_time))
    local cached = CACHED[var.cache_status]
    if cached then
        _M.count(cached)
    end
end

-- A time that was seen n times is one line with the sample rate 1/n.
local function lines()
    local found = {}
    for name, count in pairs(counts) do
        found[#found + 1] = name .. ":" .. count .. "|c" .. tags
    end
    for name, steps in pairs(times) do
        for step, count in pairs(steps) do
            local rate = count > 1 and string.format("|@%.9f", 1 / count) or ""
            found[#found + 1] = string.format("%s:%.4g|ms%s%s", name, 10 ^ (step / STEPS), rate, tags)
        end
    end
    counts, times = {}, {}
    return found
end

function _M.send()
    local socket = ngx.socket.udp()
    if not socket:setpeername(HOST, PORT) then
        return
    end
    local packet, length = {}, 0
    for _, line in ipairs(lines()) do
        if length > 0 and length + #line > PACKET then
            socket:send(table.concat(packet, "\n"))
            packet, length = {}, 0
        end
        packet[#packet + 1] = line
        length = length + #line + 1
    end
    if length > 0 then
        socket:send(table.concat(packet, "\n"))
    end
    socket:close()
end

-- Of each worker, when it starts.
function _M.start()
    ngx.timer.every(INTERVAL, _M.send)
end

return _M

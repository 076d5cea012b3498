-- Bridges a restart of Chroma: while it doesn't answer, requests wait here rather than fail.
local waiters = require "chromafleet.waiters"

local _M = {}

-- How often a request is given to Chroma, the first time included. A query that kills the server must come to an end.
_M.TRIES = 5

-- Tells host and port of Chroma.
local find
local patience = 0
-- Of this worker: whether Chroma has failed a request and not answered since.
local down = false

-- `address` of Chroma, or a function that tells host and port; seconds that a request waits for it in all.
function _M.configure(address, seconds)
    find = type(address) == "function" and address or function() return address:match("^(.+):(%d+)$") end
    patience = seconds
end

-- A request, not just a connection: something between (a proxy of Docker) might take connections for a server that isn't there.
local function answers()
    local socket = ngx.socket.tcp()
    socket:settimeout(2000)
    local line
    local host, port = find()
    if socket:connect(host, tonumber(port)) and socket:send("GET /api/v2/heartbeat HTTP/1.0\r\nHost: chroma\r\n\r\n") then
        line = socket:receive("*l")
    end
    socket:close()
    return line ~= nil and line:find("^HTTP/1%.%d 200") ~= nil
end

-- Whoever waits next has it looked at; while nobody does, nothing is asked.
local wait = waiters.new(function()
    down = not answers()
    return not down
end, 0.1)

-- Chroma failed a request: perhaps it is gone, perhaps it only closed a connection that it had kept.
function _M.suspect()
    down = true
end

-- Until when this request waits, whatever for: from the first time that it is asked.
function _M.deadline()
    if ngx.var.bridged_until == "" then
        ngx.var.bridged_until = ngx.now() + patience
    end
    return tonumber(ngx.var.bridged_until)
end

-- Waits while Chroma is down, and tells whether it is back.
function _M.wait()
    local left = _M.deadline() - ngx.now()
    return not down or (left > 0 and wait(left))
end

-- Asks an internal location, and again as long as Chroma is away. For what may be asked twice only.
function _M.capture(uri, options)
    local answer
    for _ = 1, _M.TRIES do
        _M.wait()
        answer = ngx.location.capture(uri, options)
        if answer.status ~= 502 then
            break
        end
        _M.suspect()
    end
    return answer
end

return _M

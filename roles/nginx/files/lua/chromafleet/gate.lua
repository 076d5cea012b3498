-- How many requests may be in Chroma at a time. It answers as many as it has processors and queues the rest inside, where
-- nobody can tell an answer in time from one that comes too late: waiting here is bounded, and the rest is told to come again.
local metrics = require "chromafleet.metrics"
local semaphore = require "ngx.semaphore"

local _M = {}

-- Of each worker process: free places, and seconds that a request waits for one.
local places
local patience = 0

function _M.configure(count, seconds)
    places = count
    patience = seconds
end

-- A semaphore belongs to the worker that made it.
local free

-- Access phase, the last thing before the request is passed on.
function _M.enter()
    free = free or semaphore.new(places)
    local began = ngx.now()
    if free:wait(patience) then
        metrics.time("QueueMilliseconds", ngx.now() - began)
        ngx.ctx.entered = true
        return
    end
    metrics.count("RequestsShed")
    ngx.header["Retry-After"] = "1"
    return require("chromafleet.authorize").refuse(503, "InternalError",
        "ChromaDB on this host is busy: " .. places .. " requests for each processor are under way; try again in a second.")
end

-- Log phase: it comes for every request, also one whose client went away.
function _M.leave()
    if ngx.ctx.entered then
        ngx.ctx.entered = nil
        free:post(1)
    end
end

return _M

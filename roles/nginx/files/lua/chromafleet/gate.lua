-- How many requests may be in Chroma at a time. It answers as many as it has processors and queues the rest inside, where
-- nobody can tell an answer in time from one that comes too late: waiting here is bounded, and the rest is told to come again.
-- Queries with a filter have fewer places, so that the others always have some.
local metrics = require "chromafleet.metrics"
local semaphore = require "ngx.semaphore"

local _M = {}

-- Of each worker process: free places, those of them that filtered queries may take, seconds that a request waits for one.
local places, filtered_places
local patience = 0

function _M.configure(count, filtered, seconds)
    places = count
    filtered_places = filtered
    patience = seconds
end

-- A semaphore belongs to the worker that made it.
local free, free_filtered

local function refuse(what)
    metrics.count("RequestsShed")
    ngx.header["Retry-After"] = "1"
    return require("chromafleet.authorize").refuse(503, "InternalError",
        "ChromaDB on this host is busy: " .. what .. " for each processor are under way; try again in a second.")
end

-- The last thing before the request is passed on.
function _M.enter(filtered)
    free = free or semaphore.new(places)
    free_filtered = free_filtered or semaphore.new(filtered_places)
    local began = ngx.now()
    if filtered then
        if not free_filtered:wait(patience) then
            return refuse(filtered_places .. " queries with a filter")
        end
        ngx.var.place = "filtered"
    end
    if not free:wait(math.max(0, began + patience - ngx.now())) then
        return refuse(places .. " requests")
    end
    metrics.time("QueueMilliseconds", ngx.now() - began)
    ngx.var.place = filtered and "both" or "one"
end

-- For every request, also one whose client went away. In a variable, because ngx.ctx is lost on the way to another location.
function _M.leave()
    local place = ngx.var.place
    if place == "" then
        return
    end
    ngx.var.place = ""
    if place ~= "filtered" then
        free:post(1)
    end
    if place ~= "one" then
        free_filtered:post(1)
    end
end

return _M

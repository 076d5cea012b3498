-- One question to Chroma for many that ask the same at the same time: the first leads, the others wait for its answer. What is
-- the same has the same generations too, so nobody gets an answer that is older than a write before his question.
local bridge = require "chromafleet.bridge"
local semaphore = require "ngx.semaphore"

local _M = {}

-- Seconds after which nobody waits for a leader any more, and between two looks at that of another worker.
local PATIENCE = 10
local PAUSE = 0.01

local state = ngx.shared.cache
-- Of this worker: by what is asked, and by the request that leads.
local under_way = {}
local led = {}

-- Seconds that this request may wait for a leader.
local function patience()
    return math.max(0, math.min(PATIENCE, bridge.deadline() - ngx.now()))
end

local function mark(flight)
    return "flight:" .. flight.what
end

-- The flight for what is asked, and whether the caller leads it. Who doesn't has waited until it landed.
function _M.join(what)
    local flight = under_way[what]
    if flight then
        flight.waiting = flight.waiting + 1
        flight.landed:wait(patience())
        return flight, false
    end
    flight = { what = what, landed = semaphore.new(0), waiting = 0, parts = {}, size = 0 }
    under_way[what] = flight
    led[ngx.var.request_id] = flight
    return flight, true
end

-- Leads for the other workers too. False if one of them did so before and has landed now.
function _M.lead(flight)
    if state:add(mark(flight), true, PATIENCE) then
        flight.marked = true
        return true
    end
    local deadline = ngx.now() + patience()
    repeat
        ngx.sleep(PAUSE)
    until not state:get(mark(flight)) or ngx.now() > deadline
    return false
end

-- The flight that this request leads and that has not landed.
function _M.mine()
    return led[ngx.var.request_id]
end

-- With an answer, or with none: then whoever waited asks again, or alone if this answer is nothing to share.
function _M.land(flight, body, alone)
    flight.body, flight.alone = body, alone
    under_way[flight.what] = nil
    led[ngx.var.request_id] = nil
    if flight.waiting > 0 then
        flight.landed:post(flight.waiting)
    end
    if not body then
        _M.clear(flight)
    end
end

-- The other workers may look: the answer is where they find it, or there is none.
function _M.clear(flight)
    if flight.marked then
        state:delete(mark(flight))
    end
end

return _M

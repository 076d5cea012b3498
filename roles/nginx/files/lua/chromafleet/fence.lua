-- Holds writes back, so that Chroma's data stands still for a snapshot, or that no write is under way when Chroma is
-- restarted. Reads go on. What a write is, is said in routes.lua.
--
-- On the status server, for the host only:
--   PUT /fence?owner=NAME&hold=SECONDS&for=SECONDS[&wait=SECONDS]
--       Closes the fence. From now on a write waits at most `hold` and is then told 503 with Retry-After. After `for` the fence
--       opens by itself, so that a holder that died fences nobody for good. With `wait` the answer comes when no write is under
--       way any more: 200. 504: some still were after that time; the fence is closed all the same. Its owner may send this again
--       to prolong it. 409: it is somebody else's.
--   DELETE /fence?owner=NAME
--       Opens it. 200: it was closed all the time since the owner closed it. 409: it was not, as `for` has passed, nginx was
--       restarted or it is another's: what was copied meanwhile is worth nothing.
--   GET /fence
-- Each answers with {"fenced", "in_flight", "waiting"} and, while fenced, {"owner", "hold", "until"} (seconds since 1970).
-- `in_flight` counts the writes that Chroma may be at work on, `waiting` those that the fence holds.
--
-- The state outlives a reload; after a restart of nginx the fence is open.
local cjson = require "cjson.safe"
local waiters = require "chromafleet.waiters"

local _M = {}

local LONGEST = 3600
local shared = ngx.shared.fence

-- Each worker counts under its own process id, so that what a worker that crashed had under way is not counted for good.
local begun = false

local function count(what, by)
    local pid = ngx.worker.pid()
    if not begun then
        -- Another worker may have had this id before.
        shared:delete("in_flight:" .. pid)
        shared:delete("waiting:" .. pid)
        begun = true
    end
    shared:incr(what .. ":" .. pid, by, 0)
end

local function lives(pid)
    local file = io.open("/proc/" .. pid .. "/comm")
    local name = file and file:read("*l")
    if file then
        file:close()
    end
    return name == "nginx"
end

local function total(what)
    local sum = 0
    for _, key in ipairs(shared:get_keys(0)) do
        local of, pid = key:match("^([%l_]+):(%d+)$")
        if of and not lives(pid) then
            shared:delete(key)
        elseif of == what then
            sum = sum + (shared:get(key) or 0)
        end
    end
    return sum
end

local function current()
    local text = shared:get("fence")
    return text and cjson.decode(text)
end

local wait = waiters.new(function() return not shared:get("fence") end, 0.05)

-- Before a write is passed on: waits while the fence is closed.
function _M.pass()
    local deadline
    while true do
        -- Counted first, looked at then: who closes the fence does it the other way round, so that no write slips through.
        count("in_flight", 1)
        local fence = current()
        if not fence then
            ngx.var.writing = "1"
            return
        end
        count("in_flight", -1)
        deadline = deadline or ngx.now() + fence.hold
        if ngx.now() >= deadline then
            ngx.header["Retry-After"] = tostring(math.max(1, math.ceil(fence["until"] - ngx.now())))
            return require("chromafleet.authorize").refuse(503, "InternalError",
                "Writes are held back for a moment (" .. fence.owner .. "); try again.")
        end
        count("waiting", 1)
        wait(deadline - ngx.now())
        count("waiting", -1)
    end
end

-- When Chroma has answered, or never will.
function _M.leave()
    if ngx.var.writing == "1" then
        ngx.var.writing = ""
        count("in_flight", -1)
    end
end

local function answer(status, message)
    local state = current() or {}
    state.fenced = state.owner ~= nil
    state.in_flight = total("in_flight")
    state.waiting = total("waiting")
    state.message = message
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode(state))
end

local function close(owner, hold, seconds, patience)
    local fence = cjson.encode({ owner = owner, hold = hold, ["until"] = ngx.now() + seconds })
    if not shared:add("fence", fence, seconds) then
        local held = current()
        if held and held.owner ~= owner then
            return answer(409, "The fence is held by " .. held.owner .. ".")
        end
        shared:set("fence", fence, seconds)
    end
    local deadline = ngx.now() + patience
    while patience > 0 and total("in_flight") > 0 do
        if ngx.now() >= deadline then
            return answer(504, "Writes are still under way after " .. patience .. " s; the fence stays closed.")
        end
        ngx.sleep(0.02)
    end
    return answer(200)
end

local function open(owner)
    local fence = current()
    if not fence then
        return answer(409, "The fence is open already: it was not held until now.")
    elseif fence.owner ~= owner then
        return answer(409, "The fence is held by " .. fence.owner .. ".")
    end
    shared:delete("fence")
    return answer(200)
end

-- A number of seconds from 0 to LONGEST.
local function seconds(text)
    local number = tonumber(text)
    return number and number >= 0 and number <= LONGEST and number or nil
end

-- Content phase, on the status server.
function _M.answer()
    local method, args = ngx.req.get_method(), ngx.req.get_uri_args()
    local named = type(args.owner) == "string" and args.owner:find("^[%w_.-]+$")
    if method == "GET" then
        return answer(200)
    elseif method ~= "PUT" and method ~= "DELETE" then
        return answer(405, "The methods are GET, PUT and DELETE.")
    elseif not named then
        return answer(400, "owner must be a name of letters, digits, dots, dashes and underscores.")
    elseif method == "DELETE" then
        return open(args.owner)
    end
    local hold, lasts, patience = seconds(args.hold), seconds(args["for"]), seconds(args.wait or 0)
    if not hold or not lasts or lasts == 0 or not patience then
        return answer(400, "hold, for and wait are numbers of seconds up to " .. LONGEST .. ", and for is more than 0.")
    end
    return close(args.owner, hold, lasts, patience)
end

return _M

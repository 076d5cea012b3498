-- What a reader answers itself, and what it leaves to the writer: whatever is no read, what its snapshot doesn't have, and what a
-- client wants fresher than it is. The writer gets the client's own token and decides anew; its answers pass as they are.
local balancer = require "ngx.balancer"
local cjson = require "cjson.safe"
local authorize = require "chromafleet.authorize"
local cache = require "chromafleet.cache"
local passage = require "chromafleet.passage"
local recent = require "chromafleet.recent"
local serving = require "chromafleet.serving"

local _M = {}

local AWAY = cjson.encode({ error = "InternalError", message = "The writer does not answer; try again." })
-- Seconds after which data is too old for everybody, or 0; port of the writer's endpoint.
local limit, port

function _M.configure(max_age, writer_port)
    limit, port = max_age, writer_port
    authorize.absent = function() return ngx.exec("@writer") end
end

local function age_of(state)
    return math.max(0, ngx.time() - math.floor(state.time))
end

-- Access phase, when the token is known, before anything is asked of the server beside.
function _M.note()
    local state = serving.current()
    local wish = ngx.var.http_x_chroma_max_age
    local most = tonumber(wish)
    if wish and not (most and most >= 0) then
        return authorize.refuse(400, "InvalidArgumentError", "X-Chroma-Max-Age is a number of seconds, 0 or more.")
    elseif not state or (limit > 0 and age_of(state) > limit) or (most and age_of(state) > most) or most == 0 then
        return ngx.exec("@writer")
    end
    ngx.ctx.serving = state
end

-- The version of the data for the query cache.
function _M.version()
    return ngx.ctx.serving and ngx.ctx.serving.snapshot or "none"
end

-- Access phase, when the route is known.
function _M.choose()
    local route = ngx.ctx.route
    if route.writes then
        return ngx.exec("@writer")
    end
    ngx.req.read_body()
    recent.note(route)
end

-- Rewrite phase of the way to the writer, the first time and each time that nginx comes back with an error of the connection: then
-- another of its addresses is tried, but only where not a byte of the request was sent. What was sent may have been done.
function _M.pass()
    local tries = tonumber(ngx.var.writer_tries) or 0
    local was_sent = tries > 0 and (ngx.var.upstream_bytes_sent or ""):match("(%d+)%D*$") ~= "0"
    ngx.var.writer_tries = tries + 1
    passage.leave()
    serving.done()
    cache.forgo()
    ngx.var.cache_status = "passed"
    ngx.header["X-Cache"] = nil
    -- The writer is found by an endpoint; should that lead to a reader, nobody is asked twice.
    if ngx.var.http_x_chroma_passed or was_sent or tries >= #serving.addresses() then
        return ngx.exec("@writer_away")
    end
end

-- Of this worker: requests by turns.
local turn = math.random(1000)

-- Balancer phase of the writer.
function _M.balance()
    local addresses = serving.addresses()
    turn = turn + 1
    balancer.set_current_peer(addresses[turn % #addresses + 1], port)
end

-- Header filter of what is answered here.
function _M.head()
    if ngx.is_subrequest then
        return serving.done()
    end
    local state = serving.answered()
    if state then
        -- Switched between the look into the cache and the question: the answer is right, and belongs to other data.
        cache.expect(state.snapshot)
        ngx.header["X-Chroma-Snapshot"] = state.snapshot
        ngx.header["X-Chroma-Data-Age"] = age_of(state)
    end
end

-- Header filter of what the writer answers. Errors in JSON are its own; others are of the load balancer, where it has no writer.
function _M.passed()
    ngx.header["X-Chroma-Data-Age"] = 0
    local status = ngx.status
    if status ~= 502 and status ~= 503 and status ~= 504 then
        return
    end
    local is_its_own = (ngx.header["Content-Type"] or ""):find("^application/json")
    if not is_its_own then
        ngx.status = 503
        ngx.header["Content-Type"] = "application/json"
        ngx.header["Content-Length"] = #AWAY + 1
        ngx.ctx.instead = AWAY .. "\n"
    end
    if ngx.status == 503 and not ngx.header["Retry-After"] then
        ngx.header["Retry-After"] = "5"
    end
end

-- Body filter of what the writer answers.
function _M.explain()
    if ngx.ctx.instead then
        ngx.arg[1] = ngx.arg[2] and ngx.ctx.instead or nil
    end
end

-- Access phase of the health check.
function _M.ready()
    if not serving.current() then
        return ngx.exit(503)
    end
end

return _M

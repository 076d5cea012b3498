-- Which server of this host serves, where it has two by turns: a reader, which starts one on newer data beside the other. Chosen
-- anew for every attempt of a request, so that a switch closes no connection and fails nobody.
--
-- On the status server, for the host only:
--   PUT /serving {"port", "snapshot", "time"}   From now on requests go to this port, where the snapshot of that id serves; its
--                                               data stood still at that time (seconds since 1970).
--   DELETE /serving                             None serves: the host is not ready, and the writer is asked instead.
--   GET /serving                                {"serving", "in_flight": {"8000": 3}}; what is in flight has its answer not whole yet.
--   PUT, GET /writer {"addresses"}              Where the writer is reached, ["10.0.0.1"].
--   GET /recent                                 The latest different questions, for who has root only: see recent.lua.
--
-- The state outlives a reload; at a start it is read from the file that the same host tool has written before.
local balancer = require "ngx.balancer"
local cjson = require "cjson.safe"

local _M = {}

local shared = ngx.shared.serving

-- Of this worker: what it has decoded already, by the text.
local decoded = {}

local function decode(key)
    local text = shared:get(key)
    local known = decoded[key]
    if not known or known.text ~= text then
        known = { text = text, value = text and cjson.decode(text) or nil }
        decoded[key] = known
    end
    return known.value
end

-- What serves now: {port, snapshot, time}, or nil.
function _M.current()
    return decode("serving")
end

-- What this request was given to, or would be now.
function _M.answered()
    local port = ngx.var.serving_port
    return port ~= "" and decode("port:" .. port) or ngx.ctx.serving or _M.current()
end

function _M.addresses()
    return (decode("writer") or {}).addresses or {}
end

-- For whoever looks whether the server answers.
function _M.address()
    local now = _M.current()
    return "127.0.0.1", now and now.port or 1
end

-- When the whole answer is there, or a new attempt is made.
function _M.done()
    local port = ngx.var.serving_port
    if port ~= "" then
        ngx.var.serving_port = ""
        shared:incr("in_flight:" .. port, -1, 0)
    end
end

-- Balancer phase of the server beside.
function _M.balance()
    _M.done()
    local now = _M.current()
    if not now then
        return ngx.exit(ngx.ERROR)
    end
    shared:incr("in_flight:" .. now.port, 1, 0)
    ngx.var.serving_port = now.port
    balancer.set_current_peer("127.0.0.1", now.port)
end

local function is_sound(state)
    return type(state) == "table" and type(state.port) == "number" and state.port > 0 and state.port < 65536
        and type(state.snapshot) == "string" and state.snapshot:find("^[%w.-]+$") and type(state.time) == "number"
end

local function serve(text)
    local state = text and cjson.decode(text)
    if not is_sound(state) then
        return nil, "port, snapshot and time are expected."
    end
    local now = decode("serving")
    if not now or now.port ~= state.port then
        -- Nothing can be under way there: it is the one that did not serve. What a worker that crashed had, is forgotten.
        shared:set("in_flight:" .. state.port, 0)
    end
    shared:set("port:" .. state.port, text)
    shared:set("serving", text)
    return true
end

local function find_writer(text)
    local state = text and cjson.decode(text)
    if type(state) ~= "table" or type(state.addresses) ~= "table" then
        return nil, "addresses are expected."
    end
    shared:set("writer", text)
    return true
end

-- While nginx reads its configuration. Without the file nothing has served yet.
function _M.seed(serving, writer)
    for path, take in pairs({ [serving] = serve, [writer] = find_writer }) do
        local file = io.open(path, "rb")
        local text = file and file:read("*a")
        if file then
            file:close()
        end
        if text and not shared:get(take == serve and "serving" or "writer") then
            take(text)
        end
    end
end

local function in_flight()
    local found = {}
    for _, key in ipairs(shared:get_keys(0)) do
        local port = key:match("^in_flight:(%d+)$")
        if port then
            found[port] = shared:get(key)
        end
    end
    return found
end

local function answer(status, told)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode(told))
end

local function put(take)
    ngx.req.read_body()
    local done, message = take(ngx.req.get_body_data())
    return answer(done and 200 or 400, { message = message })
end

-- Content phase, on the status server.
function _M.answer()
    local method = ngx.req.get_method()
    if method == "PUT" then
        return put(serve)
    elseif method == "DELETE" then
        shared:delete("serving")
        return answer(200, {})
    end
    return answer(200, { serving = _M.current(), in_flight = in_flight() })
end

function _M.answer_writer()
    if ngx.req.get_method() == "PUT" then
        return put(find_writer)
    end
    return answer(200, { addresses = _M.addresses() })
end

return _M
